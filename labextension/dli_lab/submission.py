"""Submitting the lab's assignment from JupyterLab, with a receipt."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

LOCALE = Path(__file__).parent / "locale"


async def submit(language: str) -> dict[str, Any]:
    """``{"receipt": …}``, or ``{"error": sentence}`` in `language`. Never raises for a refusal."""
    return await asyncio.to_thread(_submit, language)


def _submit(language: str) -> dict[str, Any]:
    from grader.exchange import archive
    from grader.exchange.client import Client, Refused, Unavailable

    course = os.environ.get("DLI_COURSE", "")
    assignment = os.environ.get("DLI_ASSIGNMENT", "")
    if not course or not assignment:
        return {"error": _say("This lab has no assignment to submit.", language)}
    folder = Path.home() / course / assignment
    if not folder.is_dir():
        text = _say("There is no folder {folder}. Fetch the assignment first.", language)
        return {"error": text.format(folder=f"{course}/{assignment}")}
    try:
        client = Client.from_environment({**os.environ, "DLI_LANG": language})
        receipt = client.submit(course, assignment, archive.build(folder))
    except archive.NotRegular as error:
        text = _say(
            "{name} is a link or a special file. Only regular files can be submitted: "
            "replace it by a copy or remove it.",
            language,
        )
        return {"error": text.format(name=error.name)}
    except (Refused, Unavailable) as error:
        return {"error": str(error)}
    except OSError as error:
        text = _say("Your files could not be read: {problem}", language)
        return {"error": text.format(problem=error)}
    return {"receipt": asdict(receipt)}


def _say(message: str, language: str) -> str:
    from core import i18n

    return i18n.translations(LOCALE, language).gettext(message)
