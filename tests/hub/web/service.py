"""A small service on web/, started like the real ones: ``python -m tests.hub.web.service``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse

from core import log
from core import settings as settings_module
from web.app import create_app
from web.auth import Person, admin_only, internal, lab_token, signed_in
from web.pages import render

ROOM = Path(__file__).parent / "room"


def build() -> FastAPI:
    """The application: one route for each way of saying who somebody is."""
    app = create_app(settings_module.load(), "usage", ROOM)

    @app.get("/")
    def home(request: Request, person: Annotated[Person, Depends(signed_in)]) -> HTMLResponse:
        return render(request, "home.html", note="")

    @app.post("/note")
    def note(
        request: Request,
        person: Annotated[Person, Depends(signed_in)],
        text: Annotated[str, Form()],
    ) -> HTMLResponse:
        return render(request, "home.html", note=text)

    @app.get("/whoami")
    def whoami(person: Annotated[Person, Depends(signed_in)]) -> dict[str, object]:
        return {"name": person.name, "admin": person.admin}

    @app.get("/admin")
    def admin(person: Annotated[Person, Depends(admin_only)]) -> dict[str, object]:
        return {"name": person.name}

    @app.get("/api/lab")
    def lab(person: Annotated[Person, Depends(lab_token)]) -> dict[str, object]:
        return {"name": person.name}

    @app.get("/api/internal")
    def ours(caller: Annotated[str, Depends(internal("key-hub", "key-cli"))]) -> dict[str, str]:
        return {"caller": caller}

    @app.get("/api/person")
    def person_api(person: Annotated[Person, Depends(signed_in)]) -> dict[str, object]:
        return {"name": person.name}

    @app.get("/number/{value}")
    def number(value: int) -> dict[str, int]:
        return {"value": value}

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("secret cause")

    return app


if __name__ == "__main__":
    log.setup()
    uvicorn.run(build(), host="127.0.0.1", port=settings_module.load().ports.usage, log_config=None)
