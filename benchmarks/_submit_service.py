"""The grader service for benchmarks/submit.py: ``python -m benchmarks._submit_service DIR PORT``.

The real application with two neighbours stood in for: tokens ``lab-<name>`` are <name>'s, and
everybody is enrolled. Nothing else differs from what `python -m grader` serves.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.submit import course
from core import secrets
from core.clock import now
from core.settings import Settings
from core.wire import Enrolment
from grader.app import create_app
from grader.desk import Desk
from grader.models import Release


class _Usage:
    def enrolments(self, _username: str) -> list[Enrolment]:
        return [Enrolment("bench", "trainee", ["bench"], True)]


async def _model(token: str, _session: str = "") -> dict[str, Any]:
    name = token.removeprefix("lab-")
    scopes = [f"access:servers!server={name}/", "access:services!service=grader"]
    return {"kind": "user", "name": name, "admin": False, "scopes": scopes}


def _publish(desk: Desk) -> None:
    with desk.database.write() as session:
        session.add(
            Release(
                course="bench", assignment="a1", version=1, notebooks=["nb"],
                archives={"en": desk.blobs.put(b"none")}, published_by="bench", published_at=now(),
            )
        )  # fmt: skip


def main(folder: Path, port: int, database: str = "") -> None:
    """Serve until SIGTERM."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not (folder / "courses").exists():
        course(folder / "courses" / "bench")
    settings = Settings(
        instance="bench", state_dir=folder / "var", courses_dir=folder / "courses",
        ports={"grader": port}, grader={"database": database},
    )  # fmt: skip
    secrets.ensure(settings.state_dir)
    app = create_app(settings)
    app.state.sign_in.model = _model
    app.state.desk.access._usage = _Usage()
    with app.state.desk.database.read() as session:
        published = session.query(Release).count()
    if not published:
        _publish(app.state.desk)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), os.environ.get("DLI_BENCH_DATABASE", ""))
