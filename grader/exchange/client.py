"""A lab's line to the grader service, with the lab's own Hub token. Standard library only.

Reads are tried again on a broken connection; a submission carries an idempotency key, so that
one cut off by a service restart can be sent again and still ends with exactly one receipt.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from grader.exchange import archive

_BUSY = {429, 502, 503, 504}
_DELAYS = (0.3, 0.7, 1.5, 3.0, 5.0, 8.0)
"""Seconds between tries: a service restart takes a few seconds."""
QUICK = (0.3, 0.7, 1.5)
"""For what somebody waits to see, or what holds a lab's server up meanwhile: no restart."""
_ASK_FIRST, _PER_FILE = 1_000_000, 2_000
"""Bytes from which the service is asked whether it will take so much, and bytes of tar per file."""

Json = dict[str, Any]


class Refused(Exception):
    """The service understood and said no. The text is a sentence in the learner's language."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unavailable(Exception):
    """No usable answer after several tries. The text is a sentence in the learner's language."""


@dataclass(frozen=True)
class Receipt:
    """Proof of a submission, given once its bytes and its row are durable."""

    id: str
    course: str
    assignment: str
    username: str
    attempt: int
    sha256: str
    size: int
    received_at: str
    """ISO 8601 with zone; the server's clock."""
    late: bool
    signature: str
    """HMAC-SHA-256 by the service over all other fields."""


class Client:
    """One person's view of the grader service."""

    def __init__(
        self,
        url: str,
        token: str,
        language: str = "en",
        delays: tuple[float, ...] = _DELAYS,
        cohort: str = "",
    ) -> None:
        """`url` is ``DLI_GRADER_URL``; `delays` are the seconds between tries; `cohort` the one
        that the lab was started for (empty: the service's rule, see grader.access)."""
        self.base_url = url.rstrip("/")
        self.token = token
        self.language = language
        self.cohort = cohort
        self._delays = delays
        # A lab talks to the gateway of its own network, never through an outside proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def from_environment(
        cls, environment: dict[str, str] | None = None, delays: tuple[float, ...] = _DELAYS
    ) -> Client:
        """The client of this lab. Raises Unavailable outside of one."""
        env = dict(os.environ) if environment is None else environment
        language = env.get("DLI_LANG", "en")
        missing = [k for k in ("DLI_GRADER_URL", "JUPYTERHUB_API_TOKEN") if not env.get(k)]
        if missing:
            raise Unavailable(
                _text("This is not a lab: {names} is not set.", language).format(
                    names=", ".join(missing)
                )
            )
        cohort = env.get("DLI_COHORT", "")
        return cls(env["DLI_GRADER_URL"], env["JUPYTERHUB_API_TOKEN"], language, delays, cohort)

    def assignments(self, course: str = "") -> list[Json]:
        """Published assignments of the person's courses, each with their submissions."""
        answer = self._json("GET", "/assignments", params={"course": course} if course else {})
        return list(answer)

    def release(self, course: str, assignment: str) -> bytes:
        """The published archive (tar) in the learner's language. Raises Refused."""
        return self._call("GET", _path(course, assignment, "release"))

    def submit_folder(self, course: str, assignment: str, folder: Path) -> Receipt:
        """Hand in the regular files of `folder`. Raises archive.NotRegular, Refused, Unavailable.

        Nothing is read of a folder that is too large, which could fill the lab's memory.
        """
        files = archive.files_of(folder)
        size = sum(path.stat().st_size for path in files.values())
        if size + len(files) * _PER_FILE > _ASK_FIRST:
            given = {"size": str(size), "files": str(len(files))}
            self._json("GET", _path(course, assignment, "room"), given)
        data = archive.build_from({name: path.read_bytes() for name, path in files.items()})
        return self.submit(course, assignment, data)

    def submit(self, course: str, assignment: str, data: bytes) -> Receipt:
        """Hand in `data` (tar). Raises Refused or Unavailable."""
        return self.resubmit(course, assignment, data, secrets.token_hex(16))

    def resubmit(self, course: str, assignment: str, data: bytes, key: str) -> Receipt:
        """Hand in under a key of one's own: the same key gives the same receipt."""
        headers = {"Content-Type": "application/x-tar", "Idempotency-Key": key}
        body = self._call("POST", _path(course, assignment, "submissions"), data, headers)
        receipt = Receipt(**json.loads(body))
        if receipt.sha256 != hashlib.sha256(data).hexdigest():
            raise Unavailable(self._say("What arrived is not what was sent. Submit again."))
        return receipt

    def submissions(self, course: str, assignment: str) -> list[Json]:
        """The person's own submissions, oldest first, with what feedback there is."""
        return list(self._json("GET", _path(course, assignment, "submissions")))

    def submission(self, submission: str) -> bytes:
        """The archive that was handed in, to restore it. Raises Refused."""
        return self._call("GET", f"/submissions/{quote(submission, safe='')}/archive")

    def feedback(self, submission: str, notebook: str) -> bytes:
        """Released feedback of one notebook as HTML. Raises Refused."""
        path = f"/submissions/{quote(submission, safe='')}/feedback/{quote(notebook, safe='')}"
        return self._call("GET", path)

    def act(self, course: str, assignment: str, action: str, student: str = "") -> Json:
        """Instructors: start ``publish`` or ``release-feedback`` (of one `student`, or of all).
        Raises Refused."""
        params = {"student": student} if student else None
        return dict(self._json("POST", _path(course, assignment, action), params))

    def job(self, job: str) -> Json:
        """State of what `act` started."""
        return dict(self._json("GET", f"/jobs/{quote(job, safe='')}"))

    def collect(self, course: str, assignment: str, which: str = "last") -> list[Json]:
        """Instructors: submissions of the class, of each learner the ``last``, the last that was
        ``in-time`` (where there is one), or ``all``. Raises Refused."""
        return list(self._json("GET", _path(course, assignment, "collect"), {"which": which}))

    # -- transport -----------------------------------------------------------------------------

    def _json(self, method: str, path: str, params: dict[str, str] | None = None) -> Any:
        query = f"?{urlencode(params)}" if params else ""
        return json.loads(self._call(method, path + query))

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        request = urllib.request.Request(  # noqa: S310 (the address is the platform's setting)
            f"{self.base_url}/api/lab{path}",
            data=body if body is not None else (b"" if method == "POST" else None),
            method=method,
            headers={
                "Authorization": f"token {self.token}",
                "Accept-Language": self.language,
                "X-DLI-Cohort": self.cohort,
                **(headers or {}),
            },
        )
        for delay in (*self._delays, None):
            try:
                with self._opener.open(request, timeout=60) as response:
                    return bytes(response.read())
            except urllib.error.HTTPError as error:
                if error.code not in _BUSY or delay is None:
                    raise self._refusal(error) from None
            except (OSError, http.client.HTTPException):
                if delay is None:
                    break
            time.sleep(delay)
        raise Unavailable(
            self._say(
                "The grading service does not answer. Your work is safe in this lab: "
                "try again in a few minutes."
            )
        )

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            data = json.loads(error.read(1_000_000))
            return Refused(str(data["error"]), str(data["message"]), error.code)
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            text = self._say("The grading service could not do that (HTTP {status}).")
            return Unavailable(text.format(status=error.code))

    def _say(self, message: str) -> str:
        return _text(message, self.language)


def _path(course: str, assignment: str, last: str) -> str:
    return f"/courses/{quote(course, safe='')}/assignments/{quote(assignment, safe='')}/{last}"


def _text(message: str, language: str) -> str:
    """`message` in the learner's language; only a failure pays for the import."""
    from core import i18n

    return i18n.translations(Path(__file__).parent / "locale", language).gettext(message)
