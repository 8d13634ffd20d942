"""The API for the usage service (key-usage)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from grader import certificates, people, standing
from grader.desk import AtDesk
from store.audit import PSEUDONYM
from web.auth import internal

router = APIRouter(prefix="/api/internal", dependencies=[Depends(internal("key-usage"))])


@router.get("/courses/{course}/progress")
def progress(desk: AtDesk, course: str, cohort: str) -> dict[str, Any]:
    """How far each person of a cohort is."""
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, "no such course")
    with desk.database.read() as session:
        return standing.progress(session, found, cohort)


@router.get("/completions")
def completions(desk: AtDesk) -> dict[str, int]:
    """How many valid certificates each cohort has."""
    with desk.database.read() as session:
        return certificates.count_by_cohort(session)


@dataclass
class Erasure:
    """Body of erase."""

    pseudonym: str
    actor: str


@router.get("/people/{username}/export")
def export(desk: AtDesk, username: str) -> FileResponse:
    """All coursework of one person as a ZIP."""
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as out:
        with desk.database.read() as session:
            people.export(session, desk.blobs, username, out)
        after = BackgroundTask(Path(out.name).unlink, missing_ok=True)
    return FileResponse(out.name, media_type="application/zip", background=after)


@router.post("/people/{username}/erase", status_code=204)
def erase(desk: AtDesk, username: str, body: Erasure) -> Response:
    """Take a person out of coursework; again is harmless."""
    if not body.pseudonym.startswith(PSEUDONYM):
        raise HTTPException(422, "not a pseudonym")
    with desk.database.write() as session:
        people.erase(
            session, desk.blobs, desk.settings.state_dir, username, body.pseudonym, body.actor
        )
    return Response(status_code=204)
