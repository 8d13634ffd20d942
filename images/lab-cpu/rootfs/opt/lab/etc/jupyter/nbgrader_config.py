"""nbgrader in a lab talks to the grader service through our exchange plugin."""

from grader.exchange.config import apply

apply(get_config())  # noqa: F821
