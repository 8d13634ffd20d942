"""What was used, by whom, to what end: per cohort and per organisation, as page, CSV and PDF."""
