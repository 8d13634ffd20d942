"""nbgrader's exchange against the running service: list, fetch, submit, receipts, forgeries."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from dli_lab import coursework
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeError, ExchangeFactory
from traitlets.config import Config

from core import secrets
from grader import receipts
from grader.audit import AuditRow
from grader.exchange import archive, autofetch, config, restore
from grader.exchange.client import Client, Refused, Unavailable
from grader.protocol import Outcome
from grader.runner import Task
from tests.grading import Service, lab_home


class NoSandbox:
    """For tests that grade nothing."""

    def run(self, task: Task) -> Outcome:
        raise AssertionError("nothing is graded here")


@pytest.fixture(scope="module")
def published(service: Service) -> Service:
    client = service.client("ines")
    job = client.act("c1", "sums", "publish")["job"]
    assert service.worker(NoSandbox()).step()
    assert client.job(job) == {"state": "done", "reason": ""}
    return service


@pytest.fixture
def lab(published: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "lab-ada")
    return lab_home(published, tmp_path, monkeypatch)


def hook(name: str, assignment: str = "", **options: Any) -> Any:
    """One of nbgrader's exchange hooks, configured as in a lab."""
    c = Config()
    config.apply(c)
    if assignment:
        c.CourseDirectory.assignment_id = assignment
    made = getattr(ExchangeFactory(config=c), name)(
        coursedir=CourseDirectory(config=c), authenticator=None, config=c
    )
    for key, value in options.items():
        setattr(made, key, value)
    return made


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def notebook_of(service: Service) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(service.client("ada").release("c1", "sums"))) as tar:
        file = tar.extractfile("sums.ipynb")
        assert file
        return file.read()


def test_list_fetch_work_submit(lab: Path, published: Service) -> None:
    assert [(a["assignment_id"], a["status"]) for a in hook("List").start()] == [
        ("sums", "released")
    ]
    hook("FetchAssignment", "sums").start()
    released = (lab / "c1" / "sums" / "sums.ipynb").read_text()
    assert "return 2 * x" not in released
    assert "the-secret" not in released
    fetched = hook("List").start()[0]
    assert fetched["status"] == "fetched"
    assert fetched["notebooks"][0]["path"] == str(lab / "c1/sums/sums.ipynb")
    submit = hook("Submit", "sums")
    submit.start()
    receipt = submit.receipt
    assert (receipt.username, receipt.late) == ("ada", False)
    sent = archive.build(lab / "c1" / "sums")
    assert receipt.sha256 == hashlib.sha256(sent).hexdigest()
    assert published.client("ada").submission(receipt.id) == sent
    key = secrets.load(published.settings.state_dir, "receipt")
    assert receipts.is_genuine(asdict(receipt), key)
    assert not receipts.is_genuine({**asdict(receipt), "attempt": 2}, key)
    listed = hook("List", cached=True).start()
    assert listed[0]["submissions"][-1]["submission_id"] == receipt.id
    assert not listed[0]["submissions"][-1]["has_exchange_feedback"]


def test_fetch_again_needs_replace_and_keeps_work(lab: Path) -> None:
    hook("FetchAssignment", "sums").start()
    file = lab / "c1" / "sums" / "sums.ipynb"
    file.write_text("my work")
    with pytest.raises(ExchangeError, match="already have"):
        hook("FetchAssignment", "sums").start()
    hook("FetchAssignment", "sums", replace_missing_files=True).start()
    assert file.read_text() == "my work"
    file.unlink()
    hook("FetchAssignment", "sums", replace_missing_files=True).start()
    assert "nbgrader" in file.read_text()


def test_autofetch_at_start(lab: Path) -> None:
    assert autofetch.main(["c1", "sums", "~/c1"]) == 0
    file = lab / "c1" / "sums" / "sums.ipynb"
    file.write_text("my work")
    assert autofetch.main(["c1", "sums", "~/c1/sums"]) == 0
    assert file.read_text() == "my work"
    assert autofetch.main(["c1", "ps1", "~/c1"]) == 1


def test_a_students_name_in_the_payload_counts_for_nothing(lab: Path, published: Service) -> None:
    hook("FetchAssignment", "sums").start()
    submit = hook("Submit", "sums")
    submit.coursedir.student_id = "dora"
    with pytest.raises(ExchangeError, match="--student"):
        submit.start()
    (lab / "c1" / "sums" / "timestamp.txt").write_text("2000-01-01 00:00:00 UTC")
    (lab / "c1" / "sums" / "student.txt").write_text("dora")
    before = len(published.client("ada").submissions("c1", "sums"))
    hook("Submit", "sums").start()
    assert published.client("dora").submissions("c1", "sums") == []
    own = published.client("ada").submissions("c1", "sums")
    assert len(own) == before + 1
    assert own[-1]["received_at"] > "2026"


def test_a_link_is_refused_before_it_is_sent(lab: Path) -> None:
    hook("FetchAssignment", "sums").start()
    (lab / "c1" / "sums" / "host.txt").symlink_to("/etc/hostname")
    with pytest.raises(ExchangeError, match=r"host\.txt is a link"):
        hook("Submit", "sums").start()


BAD_NAMES = [
    "../up.txt",
    "/etc/passwd",
    "a/../../b.txt",
    "a//b.txt",
    "./a.txt",
    "a\\b.txt",
    "x\ny.txt",
    "right\u202eleft.txt",
    "n" * 256,
    "/".join("abcdefghijk"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_refused(published: Service, name: str) -> None:
    data = tar_of((member("sums.ipynb"), notebook_of(published)), (member(name), b"x"))
    with pytest.raises(Refused, match="file name"):
        published.client("ada").submit("c1", "sums", data)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_everything_but_regular_files_is_refused(published: Service, kind: bytes) -> None:
    data = tar_of(
        (member("sums.ipynb"), notebook_of(published)), (member("x", kind, "/etc/hostname"), b"")
    )
    with pytest.raises(Refused, match="link or a special file"):
        published.client("ada").submit("c1", "sums", data)


def test_a_sparse_member_is_refused(published: Service) -> None:
    info = member("big.bin")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "big.bin",
        "GNU.sparse.realsize": str(1 << 40),
    }
    data = tar_of((member("sums.ipynb"), notebook_of(published)), (info, b"1\n0\n" + b"\0" * 508))
    with pytest.raises(Refused):
        published.client("ada").submit("c1", "sums", data)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"sums.ipynb": b"not json"}, r"sums\.ipynb is not a valid notebook"),
        ({"sums.ipynb": b'{"cells": 3}'}, r"sums\.ipynb is not a valid notebook"),
        ({"sums.ipynb": b"[" * 100_000}, r"sums\.ipynb is not a valid notebook"),
        ({"sums.ipynb": b"\xff\xfe"}, r"sums\.ipynb is not a valid notebook"),
        ({"sums.ipynb": json.dumps({"cells": [{}] * 2001}).encode()}, "more than 2000 cells"),
        ({"notes.txt": b"hello"}, "no notebook"),
        ({f"{n}.txt": b"" for n in range(21)}, "More than 20 files"),
        ({"big.bin": b"\0" * 1_500_000}, "larger than 1 MB"),
        ({"sums.ipynb": b"{}", "run.EXE": b""}, r"run\.EXE is of a type"),
        ({"a.txt": b"", "A.txt": b""}, "same name"),
        ({"\u00e9.txt": b"", "e\u0301.txt": b""}, "same name"),
        ({"a": b"", "a/b": b""}, "same name"),
        ({"huge.bin": b"\0" * 4_000_000}, "larger than 1 MB"),
    ],
)
def test_contents_that_are_refused(
    published: Service, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        published.client("ada").submit("c1", "sums", archive.build_from(files))
    assert list((published.settings.state_dir / "blobs" / "incoming").iterdir()) == []


def test_a_folder_that_is_too_much_is_refused_unread(lab: Path) -> None:
    """Sent, it would be cut off in the middle, and its sender would never learn why."""
    hook("FetchAssignment", "sums").start()
    model = lab / "c1" / "sums" / "model.bin"
    with model.open("wb") as file:
        file.truncate(50_000_000_000)
    with pytest.raises(ExchangeError, match=r"larger than 1 MB\. Remove data and model files"):
        hook("Submit", "sums").start()
    assert coursework.submit("ko", "c1", "sums")["error"].startswith("제출물이 1 MB보다 큽니다")
    model.unlink()
    for number in range(600):
        (model.parent / f"{number}.txt").touch()
    with pytest.raises(ExchangeError, match=r"More than 20 files\. Remove what"):
        hook("Submit", "sums").start()
    assert coursework.submit("ko", "c1", "sums")["error"].startswith("파일이 20개를 넘습니다")


def test_packed_bytes_are_refused(published: Service) -> None:
    import gzip

    bomb = gzip.compress(archive.build_from({"a.bin": b"\0" * 50_000_000}))
    assert len(bomb) < 1_000_000
    with pytest.raises(Refused, match="plain tar"):
        published.client("ada").submit("c1", "sums", bomb)


def test_refusals_come_in_the_learners_language(published: Service) -> None:
    korean = published.client("ada", "ko")
    with pytest.raises(Refused, match="노트북"):
        korean.submit("c1", "sums", archive.build_from({"sums.ipynb": b"no"}))
    with pytest.raises(Unavailable, match="서비스"):
        Client("http://127.0.0.1:9/services/grader", "t", "ko", delays=()).assignments()


def read_by_staff(service: Service) -> list[tuple[str, str]]:
    """Whose submissions were taken by whom, as the audit log has it."""
    with service.app.state.desk.database.read() as session:
        rows = session.query(AuditRow).filter_by(action="submission.read").order_by(AuditRow.id)
        return [(row.actor, row.target) for row in rows]


def test_strangers_and_other_courses(published: Service) -> None:
    with pytest.raises(Refused, match="not enrolled"):
        published.client("mallory").release("c1", "sums")
    assert published.client("mallory").assignments() == []
    with pytest.raises(Refused, match="token"):
        Client(published.url, "made-up", delays=()).assignments()
    with pytest.raises(Refused, match="instructors"):
        published.client("ada").act("c1", "sums", "publish")
    with pytest.raises(Refused, match="not published"):
        published.client("ada").release("c1", "ps1")
    receipt = published.client("ada").submit(
        "c1", "sums", archive.build_from({"sums.ipynb": notebook_of(published)})
    )
    with pytest.raises(Refused, match="no such submission"):
        published.client("bob").submission(receipt.id)
    before = read_by_staff(published)
    assert published.client("ada").submission(receipt.id)
    assert published.client("ines").submission(receipt.id)
    assert read_by_staff(published) == [*before, ("ines", "ada")]


def test_a_repeated_request_is_one_attempt_and_two_at_once_are_two(published: Service) -> None:
    client = published.client("cleo")
    data = archive.build_from({"sums.ipynb": notebook_of(published)})
    first = client.resubmit("c1", "sums", data, "the-same-key")
    assert client.resubmit("c1", "sums", data, "the-same-key") == first
    other = archive.build_from({"sums.ipynb": notebook_of(published), "x.txt": b"x"})
    with pytest.raises(Refused, match="used for something else"):
        client.resubmit("c1", "sums", other, "the-same-key")
    attempts: list[int] = []
    threads = [
        threading.Thread(target=lambda: attempts.append(client.submit("c1", "sums", data).attempt))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(attempts) == [2, 3, 4, 5, 6, 7]


def test_a_submit_over_a_restart_ends_with_one_receipt(published: Service) -> None:
    data = archive.build_from({"sums.ipynb": notebook_of(published)})
    client = published.client("emil")
    published.stop()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(client.submit("c1", "sums", data)))
    thread.start()
    published.start()
    thread.join(120)
    assert got[0].attempt == 1
    assert len(client.submissions("c1", "sums")) == 1


def test_an_answer_that_is_lost_doubles_nothing(
    published: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service dies after its commit and before its answer: the client asks again."""
    client = published.client("dora")
    send, lost = client._opener.open, []

    def losing(*request: Any, **more: Any) -> Any:
        answer = send(*request, **more)
        if not lost:
            lost.append(json.load(answer)["id"])
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(client._opener, "open", losing)
    data = archive.build_from({"sums.ipynb": notebook_of(published)})
    before = len(published.client("dora").submissions("c1", "sums"))
    receipt = client.submit("c1", "sums", data)
    assert [receipt.id] == lost
    assert len(client.submissions("c1", "sums")) == before + 1


def test_the_restored_submission_equals_what_was_sent(lab: Path, published: Service) -> None:
    hook("FetchAssignment", "sums").start()
    folder = lab / "c1" / "sums"
    (folder / "데이터").mkdir()
    (folder / "데이터" / "값.csv").write_text("1,2\n")
    hook("Submit", "sums").start()
    one = published.client("ada").submissions("c1", "sums")[-1]
    archive.unpack(published.client("ada").submission(one["id"]), lab / "back")
    assert (lab / "back" / "데이터" / "값.csv").read_text() == "1,2\n"
    assert json.loads((lab / "back" / "sums.ipynb").read_text())["cells"]


def test_instructors_collect_the_latest_attempts(
    lab: Path, published: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive.build_from({"sums.ipynb": notebook_of(published)})
    published.client("ada").submit("c1", "sums", data)
    published.client("bob").submit("c1", "sums", data)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "lab-ines")
    hook("Collect", "sums").start()
    assert sorted(p.name for p in (lab / "submitted").iterdir() if p.name in ("ada", "bob")) == [
        "ada",
        "bob",
    ]
    assert (lab / "submitted" / "ada" / "sums" / "timestamp.txt").read_text().endswith(" UTC")


def test_every_version_is_listed_and_restored_without_losing_work(
    lab: Path, published: Service
) -> None:
    hook("FetchAssignment", "sums").start()
    work = lab / "c1" / "sums"
    first = hook("Submit", "sums")
    (work / "notes.txt").write_text("first")
    first.start()
    (work / "notes.txt").write_text("second")
    client = published.client("ada")
    version = client.submissions("c1", "sums")[-1]
    assert (version["attempt"], version["late"], version["score"]) == (
        first.receipt.attempt,
        False,
        None,
    )
    beside = restore.restore(client, version, work)
    assert (beside.folder.name, beside.kept) == (f"sums-attempt-{version['attempt']}", None)
    assert (beside.folder / "notes.txt").read_text() == "first"
    assert restore.restore(client, version, work).folder.name.endswith("-2")
    assert (work / "notes.txt").read_text() == "second"
    placed = restore.restore(client, version, work, replace=True)
    assert placed.folder == work
    assert (work / "notes.txt").read_text() == "first"
    assert placed.kept is not None
    assert (placed.kept / "notes.txt").read_text() == "second"


def test_restore_from_a_terminal(
    lab: Path, published: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    hook("FetchAssignment", "sums").start()
    hook("Submit", "sums").start()
    last = published.client("ada").submissions("c1", "sums")[-1]
    assert restore.main(["c1", "sums"]) == 0
    assert last["id"] in capsys.readouterr().out
    assert restore.main(["c1", "sums", "999"]) == 1
    assert restore.main(["c1", "sums", "last"]) == 2
    assert restore.main(["c1", "sums", str(last["attempt"]), "--replace"]) == 0
    assert "sums-before-" in capsys.readouterr().out
