"""`python -m grader`: serve on loopback at ports.grader."""

from __future__ import annotations

import sys

import uvicorn

from core import course, log, settings
from grader.app import create_app


def main() -> int:
    """Exit status: 0 after an orderly stop, 2 when settings or courses are wrong."""
    log.setup()
    try:
        loaded = settings.load()
        app = create_app(loaded)
    except (settings.SettingsError, course.CourseError, FileNotFoundError) as error:
        print(f"grader: {error}", file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=loaded.ports.grader,
        log_config=None,
        access_log=False,
        forwarded_allow_ips="127.0.0.1",
        timeout_keep_alive=75,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
