"""`./dli test`: bring up what the tests need, run every check, leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli import browser, engine
from cli.steps import Steps
from cli.system import apt_install
from cli.text import _
from core.programs import which
from core.settings import ROOT, Settings

INSTANCE = "dli-test"


@dataclass(frozen=True)
class Linter:
    """One check besides the tests."""

    name: str
    arguments: list[str]


LINTERS = [
    Linter("ruff check", ["-m", "ruff", "check", "."]),
    Linter("ruff format", ["-m", "ruff", "format", "--check", "."]),
    Linter("mypy --strict", ["-m", "mypy"]),
    Linter("import-linter", ["-c", "from importlinter.cli import lint_imports_command as c; c()"]),
]


def run(console: Console, arguments: list[str]) -> int:
    """Every linter, then pytest; with `arguments` pytest alone. Returns the exit code.

    pytest's own summary is the last line of the output, also when a linter failed.
    """
    os.chdir(ROOT)
    # A terminated run must still stop what it started.
    signal.signal(signal.SIGTERM, lambda *_arguments: sys.exit(143))
    steps = Steps(console)
    failed = [] if arguments else _lint(console, steps)
    with ExitStack() as leave:
        _prepare(steps, leave)
        code, last = _pytest(arguments)
    for name in failed:
        console.print(Text(_("{name} failed, see above", name=name), style="red"))
    sys.stdout.write(last)
    sys.stdout.flush()
    return code or (1 if failed else 0)


def _lint(console: Console, steps: Steps) -> list[str]:
    failed = []
    for linter in LINTERS:
        with steps.step(linter.name) as step:
            done = subprocess.run(
                [sys.executable, *linter.arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            step.note(_("failed") if done.returncode else "")
        if done.returncode:
            failed.append(linter.name)
            console.print(Text(done.stdout[-20_000:]), soft_wrap=True)
    return failed


def _prepare(steps: Steps, leave: ExitStack) -> None:
    """Engine, images, browser and fonts."""
    from cli import images

    leave.callback(engine.release, INSTANCE, lambda _line: None)
    with steps.step(_("Docker engine")) as step:
        client = engine.ensure(INSTANCE, step.detail)
    if browser.find() is None:
        with steps.step("Chromium") as step:
            browser.install(step.detail)
    missing = []
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.append("postgresql")  # the ledger's tests run on it too
    if which("gcc") is None:
        missing += ["gcc", "libc6-dev"]  # builds the stand-in for NVIDIA's library
    if not _has_korean_font():
        missing.append("fonts-nanum")
    if missing:
        with steps.step(_("Packages for the tests")) as step:
            apt_install(missing, step.detail, purpose=_("The tests"))
    with steps.step(_("Container images")) as step:
        settings = Settings(instance=INSTANCE)
        images.ensure(settings, client, step.detail)
    client.close()


def _has_korean_font() -> bool:
    program = which("fc-list")
    if program is None:
        return False
    said = subprocess.run([program, ":lang=ko"], capture_output=True, text=True, check=False)
    return bool(said.stdout.strip())


def _pytest(arguments: list[str]) -> tuple[int, str]:
    """Run pytest, passing its output on except the last line; returns exit code and that line."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *colour, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    held = b""
    try:
        while chunk := os.read(process.stdout.fileno(), 65_536):
            held = _pass_on(held + chunk)
        return process.wait(), held.decode(errors="replace")
    except BaseException:
        process.send_signal(signal.SIGINT)  # pytest then tears its fixtures down
        _wait(process, 60)
        raise


def _pass_on(held: bytes) -> bytes:
    """Write all but the last line that is complete or begun; returns that line."""
    cut = held.rstrip(b"\n").rfind(b"\n") + 1
    sys.stdout.buffer.write(held[:cut])
    sys.stdout.buffer.flush()
    return held[cut:]


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
