"""`python -m usage`: serve on loopback at ports.usage."""

from __future__ import annotations

import sys

from usage.app import create_app
from web import serve


def main() -> int:
    """Exit status: 0 after an orderly stop, 2 when settings or courses are wrong."""
    return serve.run("usage", create_app, lambda ports: ports.usage)


if __name__ == "__main__":
    sys.exit(main())
