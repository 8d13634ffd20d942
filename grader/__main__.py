"""`python -m grader`: serve on loopback at ports.grader."""

from __future__ import annotations

import sys

from grader.app import create_app
from web import serve


def main() -> int:
    """Exit status: 0 after an orderly stop, 2 when settings or courses are wrong."""
    return serve.run("grader", create_app, lambda ports: ports.grader)


if __name__ == "__main__":
    sys.exit(main())
