"""Run one service's app on loopback: what `python -m usage` and `python -m grader` share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from core import consent, course, log, settings
from core.settings import Ports, Settings


def run(name: str, create_app: Callable[[Settings], FastAPI], port: Callable[[Ports], int]) -> int:
    """Exit status: 0 after an orderly stop, 2 when settings or courses are wrong, 3 when it
    could not start."""
    log.setup()
    try:
        loaded = settings.load()
        app = create_app(loaded)
    except (
        settings.SettingsError,
        course.CourseError,
        consent.ConsentError,
        FileNotFoundError,
    ) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port(loaded.ports),
            log_config=None,
            access_log=False,
            forwarded_allow_ips="127.0.0.1",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        )
    )
    app.state.closing = lambda: server.should_exit  # live streams end by themselves (web.live)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 3
