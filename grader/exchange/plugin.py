"""nbgrader's eight exchange hooks, answered by the grader service over HTTP.

Who somebody is comes from their Hub token, never from `--student`, file owners or file names;
the time is the server's. Assignments lie at ``<assignment_dir>/<course>/<assignment>``.
"""

# mypy: disallow-subclassing-any=False
# (nbgrader publishes no type information)

from __future__ import annotations

import fnmatch
import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

from nbgrader.exchange import abc

from grader.exchange import archive
from grader.exchange.client import QUICK, Client, Refused, Unavailable, _text

_JOB_SECONDS = 600
"""Longest wait for a publication that an instructor started from a lab."""
EVERY = "*"
"""nbgrader's way to name all courses, assignments or students."""


class Exchange(abc.Exchange):
    """What the hooks share: the client, the folder, refusals as nbgrader's errors."""

    refusal = ""
    """What the last refusal in this process said."""

    def start(self) -> Any:
        """Do it; a refusal becomes an ExchangeError whose text is for the learner."""
        try:
            self.client = Client.from_environment()
            return super().start()
        except (Refused, Unavailable, archive.NotRegular) as error:
            self.fail(str(error))

    def fail(self, msg: str) -> None:
        """Raise ExchangeError, and keep why: nbgrader's own pages drop it."""
        Exchange.refusal = msg
        super().fail(msg)

    def init_src(self) -> None:
        """Nothing lies in a shared folder."""

    def init_dest(self) -> None:
        """Nothing lies in a shared folder."""

    def copy_files(self) -> None:
        """Nothing to copy unless a hook says so."""

    def say(self, message: str, **values: object) -> str:
        """`message` in the learner's language, filled in."""
        return _text(message, self.client.language).format(**values)

    def names(self) -> tuple[str, str]:
        """Course and assignment. Fails when one is missing."""
        course, assignment = self.coursedir.course_id, self.coursedir.assignment_id
        if not course:
            self.fail(self.say("No course is set. Add --course COURSE."))
        if not assignment:
            self.fail(self.say("No assignment is named."))
        return course, assignment

    def folder(self, course: str, assignment: str) -> Path:
        """Where a learner works on an assignment."""
        return Path(self.assignment_dir).resolve() / course / assignment


class ExchangeFetchAssignment(Exchange, abc.ExchangeFetchAssignment):
    """``nbgrader fetch_assignment``."""

    def copy_files(self) -> None:
        course, assignment = self.names()
        target = self.folder(course, assignment)
        if target.exists() and not self.replace_missing_files:
            self.fail(
                self.say(
                    "You already have this assignment in {folder}. To get back a file that you "
                    "deleted, add --replace.",
                    folder=target,
                )
            )
        data = self.client.release(course, assignment)
        written = archive.unpack(data, target, self.replace_missing_files)
        self.log.info("Fetched %s %s: %s", course, assignment, ", ".join(written) or "-")


class ExchangeSubmit(Exchange, abc.ExchangeSubmit):
    """``nbgrader submit``; the receipt is kept in `receipt`."""

    def init_src(self) -> None:
        course, assignment = self.coursedir.course_id, self.coursedir.assignment_id.rstrip("/")
        if "/" in assignment:  # nbgrader submit takes a path, too
            self.coursedir.assignment_id = Path(assignment).name
        course, assignment = self.names()
        if self.coursedir.student_id != "*":
            self.fail(
                self.say("--student is not possible here: you submit as the person who signed in.")
            )
        self.src_path = self.folder(course, assignment)
        if not self.src_path.is_dir():
            self.fail(
                self.say(
                    "There is no folder {folder}. Fetch the assignment first.", folder=self.src_path
                )
            )

    def copy_files(self) -> None:
        course, assignment = self.names()
        self._compare(course, assignment)
        try:
            self.receipt = self.client.submit_folder(course, assignment, self.src_path)
        except archive.NotRegular as error:
            self.fail(
                self.say(
                    "{name} is a link or a special file. Only regular files can be submitted: "
                    "replace it by a copy or remove it.",
                    name=error.name,
                )
            )
        self.log.info(
            self.say(
                "Submitted {course} {assignment}: attempt {attempt}, {size} bytes, at {at}, "
                "receipt {id}, SHA-256 {sha256}",
                course=course,
                assignment=assignment,
                attempt=self.receipt.attempt,
                size=self.receipt.size,
                at=self.receipt.received_at,
                id=self.receipt.id,
                sha256=self.receipt.sha256,
            )
        )

    def _compare(self, course: str, assignment: str) -> None:
        """Warn about, or with `strict` refuse, notebooks that are missing."""
        found = [a for a in self.client.assignments(course) if a["assignment"] == assignment]
        released = set(found[0]["notebooks"]) if found else set()
        missing = sorted(n for n in released if not (self.src_path / f"{n}.ipynb").exists())
        if not missing:
            return
        text = self.say("Missing notebooks: {names}", names=", ".join(missing))
        if self.strict:
            self.fail(text)
        self.log.warning(text)


class ExchangeList(Exchange, abc.ExchangeList):
    """``nbgrader list`` and the JupyterLab assignment list, in nbgrader's own shapes."""

    def start(self) -> Any:
        """nbgrader chooses by `remove`; removing is not a learner's to do here."""
        try:
            self.client = Client.from_environment(delays=QUICK)
            if self.inbound and self.cached:
                self.fail("Options --inbound and --cached are incompatible.")
            self.set_timestamp()
            files: list[dict[str, Any]] = self.remove_files() if self.remove else self.list_files()
            return files
        except (Refused, Unavailable) as error:
            self.fail(str(error))

    def remove_files(self) -> list[dict[str, Any]]:
        """Published versions and submissions are records: nothing is removed through a lab."""
        self.fail(self.say("Published assignments and submissions cannot be removed from a lab."))
        return []  # fail raised

    def list_files(self) -> list[dict[str, Any]]:
        """What `nbgrader list` prints and the extension shows."""
        course, wanted = self.coursedir.course_id, self.coursedir.assignment_id
        items = [
            item
            for item in self.client.assignments("" if course == EVERY else course)
            if wanted in ("", EVERY, item["assignment"])
        ]
        if self.inbound or self.cached:
            found = [self._submitted(item) for item in items if item["submissions"]]
            if self.inbound:
                taught = [group for item in items if item["teaches"] for group in self._class(item)]
                found = taught or found
            self.log.info("Submitted assignments:")
            for group in found:
                for one in group["submissions"]:
                    self.log.info(
                        "%(course_id)s %(student_id)s %(assignment_id)s %(timestamp)s", one
                    )
            return found
        released = [self._released(item) for item in items]
        self.log.info("Released assignments:")
        for entry in released:
            done = " (already downloaded)" if entry["status"] == "fetched" else ""
            self.log.info("%s %s%s", entry["course_id"], entry["assignment_id"], done)
        return released

    def _released(self, item: dict[str, Any]) -> dict[str, Any]:
        folder = self.folder(item["course"], item["assignment"])
        fetched = folder.is_dir()
        names = sorted(p.stem for p in folder.glob("*.ipynb")) if fetched else item["notebooks"]
        return {
            "course_id": item["course"],
            "assignment_id": item["assignment"],
            "status": "fetched" if fetched else "released",
            "path": str(folder),
            "notebooks": [{"notebook_id": n, "path": str(folder / f"{n}.ipynb")} for n in names],
        }

    def _submitted(self, item: dict[str, Any]) -> dict[str, Any]:
        submissions = [self._submission(item, one) for one in item["submissions"]]
        return {
            "course_id": item["course"],
            "student_id": item["username"],
            "assignment_id": item["assignment"],
            "status": "submitted",
            "submissions": submissions,
        }

    def _class(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """What the class handed in, by learner: `--inbound` is an instructor's question."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for one in self.client.collect(item["course"], item["assignment"], "all"):
            if fnmatch.fnmatchcase(one["student"], self.coursedir.student_id):
                groups.setdefault(one["student"], []).append(
                    {
                        "course_id": item["course"],
                        "student_id": one["student"],
                        "assignment_id": item["assignment"],
                        "timestamp": one["timestamp"],
                        "submission_id": one["id"],
                        "status": "submitted",
                        "notebooks": [],
                    }
                )
        return [{**group[0], "submissions": group} for group in groups.values()]

    def _submission(self, item: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
        folder = self.folder(item["course"], item["assignment"])
        local = folder / "feedback" / one["timestamp"]
        books = [self._notebook(folder, local, n, one["feedback"]) for n in one["notebooks"]]
        has_local = bool(books) and all(b["has_local_feedback"] for b in books)
        return {
            "course_id": item["course"],
            "student_id": item["username"],
            "assignment_id": item["assignment"],
            "timestamp": one["timestamp"],
            "submission_id": one["id"],
            "attempt": one["attempt"],
            "status": "submitted",
            "path": str(folder),
            "notebooks": books,
            "has_local_feedback": has_local,
            "has_exchange_feedback": bool(books) and all(b["has_exchange_feedback"] for b in books),
            "feedback_updated": any(b["feedback_updated"] for b in books),
            "local_feedback_path": str(local) if has_local else None,
        }

    def _notebook(
        self, folder: Path, local: Path, name: str, feedback: dict[str, str]
    ) -> dict[str, Any]:
        page = local / f"{name}.html"
        has_local, has_remote = page.is_file(), name in feedback
        newer = has_local and has_remote and _sha256(page) != feedback[name]
        return {
            "notebook_id": name,
            "path": str(folder / f"{name}.ipynb"),
            "has_local_feedback": has_local,
            "has_exchange_feedback": has_remote,
            "local_feedback_path": str(page) if has_local else None,
            "feedback_updated": newer,
        }


class ExchangeFetchFeedback(Exchange, abc.ExchangeFetchFeedback):
    """``nbgrader fetch_feedback``: every released page, under the submission's time."""

    def copy_files(self) -> None:
        course, assignment = self.names()
        count = 0
        for one in self.client.submissions(course, assignment):
            target = self.folder(course, assignment) / "feedback" / one["timestamp"]
            for notebook in one["feedback"]:
                target.mkdir(parents=True, exist_ok=True)
                page = self.client.feedback(one["id"], notebook)
                (target / f"{notebook}.html").write_bytes(page)
                count += 1
        self.log.info(self.say("Feedback pages fetched: {count}", count=count))


class _Ask(Exchange):
    """An instructor's action that the service does as a job."""

    action = ""

    def student(self) -> str:
        """The learner that it is for; empty: all."""
        return ""

    def copy_files(self) -> None:
        course, assignment = self.names()
        job = self.client.act(course, assignment, self.action, self.student())["job"]
        until = time.monotonic() + _JOB_SECONDS
        while time.monotonic() < until:
            state = self.client.job(job)
            if state["state"] == "done":
                self.log.info("%s %s: %s", course, assignment, self.action)
                return
            if state["state"] == "parked":
                self.fail(state["reason"])
            time.sleep(0.5)
        self.fail(self.say("Still waiting: see the course's page for how it went."))


class ExchangeReleaseAssignment(_Ask, abc.ExchangeReleaseAssignment):
    """``nbgrader release_assignment``: publish the course's own source on the server."""

    action = "publish"


class ExchangeReleaseFeedback(_Ask, abc.ExchangeReleaseFeedback):
    """``nbgrader release_feedback``."""

    action = "release-feedback"

    def student(self) -> str:
        """As ``--student`` and formgrader's button beside a learner say."""
        wanted = str(self.coursedir.student_id)
        return "" if wanted == EVERY else wanted


class ExchangeCollect(Exchange, abc.ExchangeCollect):
    """``nbgrader collect``: the latest submission of each learner, for an instructor."""

    def copy_files(self) -> None:
        course, assignment = self.names()
        which = "in-time" if self.before_duedate else "last"
        for one in self.client.collect(course, assignment, which):
            if fnmatch.fnmatchcase(one["student"], self.coursedir.student_id):
                self._collect(one, assignment)

    def _collect(self, one: dict[str, Any], assignment: str) -> None:
        steps = self.coursedir
        target = Path(steps.format_path(steps.submitted_directory, one["student"], assignment))
        stamp = target / "timestamp.txt"
        if target.exists():
            known = stamp.read_text().strip() if stamp.exists() else ""
            if known == one["timestamp"] or not self.update:
                self.log.info("Submission already exists: %s %s", one["student"], assignment)
                return
            shutil.rmtree(target)
        archive.unpack(self.client.submission(one["id"]), target)
        stamp.write_text(one["timestamp"])
        self.log.info("Collected: %s %s", one["student"], assignment)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
