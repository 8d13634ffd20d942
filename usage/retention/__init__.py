"""Personal data: all of one person's as a file, erasing it, and a cohort's after its date."""
