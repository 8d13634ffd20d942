"""Receipts: what a learner holds as proof, signed so that it cannot be made up later."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from grader.models import Submission


def fields(submission: Submission) -> dict[str, Any]:
    """What a receipt states."""
    return {
        "id": submission.id,
        "course": submission.course,
        "assignment": submission.assignment,
        "username": submission.username,
        "attempt": submission.attempt,
        "sha256": submission.sha256,
        "size": submission.size,
        "received_at": submission.received_at.isoformat(),
        "late": submission.late,
    }


def receipt(submission: Submission, key: str) -> dict[str, Any]:
    """The fields and their signature."""
    stated = fields(submission)
    return {**stated, "signature": sign(stated, key)}


def sign(stated: dict[str, Any], key: str) -> str:
    """HMAC-SHA-256 over the fields in canonical JSON."""
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_genuine(given: dict[str, Any], key: str) -> bool:
    """True for a receipt that this platform gave, unchanged."""
    stated = {k: v for k, v in given.items() if k != "signature"}
    return hmac.compare_digest(
        sign(stated, key).encode(), str(given.get("signature", "")).encode("utf-8", "replace")
    )


def stated(text: str, key: str) -> dict[str, Any] | None:
    """What a receipt states, from its JSON; None for anything that this platform did not give."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict) or not is_genuine(given, key):
        return None
    return given | {"received_at": datetime.fromisoformat(given["received_at"])}
