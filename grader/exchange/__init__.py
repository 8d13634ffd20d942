"""nbgrader's exchange over HTTP, for lab images: standard library, nbgrader and `core` only."""
