"""Builds the JupyterLab extension on the host, once for each state of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core.i18n import LANGUAGES
from core.settings import ROOT

Report = Callable[[str], None]

FOLDER = ROOT / "labextension"
LOCALE = FOLDER / "dli_lab" / "locale"
_SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "src", "style")
_BUILT = Path("dli_lab") / "labextension"
_TIMEOUT_S = 600


class ExtensionError(RuntimeError):
    """The extension could not be built: the step, what it said, and what to do."""


def server_files() -> dict[str, Path]:
    """The Python side by its name below ``dli_lab/``: modules and catalogues."""
    folder = FOLDER / "dli_lab"
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".po")
    }


def ensure(cache: Path, report: Report) -> Path:
    """Folder with the prebuilt browser side; built only when its sources changed.

    Raises ExtensionError.
    """
    done = cache / "labextension" / _digest()
    if done.is_dir():
        return done
    report("Building the JupyterLab extension …")
    work = done.with_name(f"{done.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _copy_sources(work)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
        _run(["node", "node_modules/typescript/bin/tsc"], work)
        _run(
            [
                "node",
                "node_modules/@jupyter/builder/lib/build-labextension.js",
                "--core-package-file",
                str(_core_package_file()),
                ".",
            ],
            work,
        )
        (work / _BUILT).rename(done)
    except OSError:
        if not done.is_dir():  # else another run finished first
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


def catalogues() -> dict[str, dict[str, str]]:
    """Texts by language and English text, for the browser."""
    from babel.messages.pofile import read_po

    found: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        file = LOCALE / language / "LC_MESSAGES" / "messages.po"
        with file.open("rb") as source:
            found[language] = {
                str(message.id): str(message.string)
                for message in read_po(source, locale=language)
                if message.id and message.string
            }
    return found


def _copy_sources(work: Path) -> None:
    for name in _SOURCES:
        source = FOLDER / name
        if source.is_dir():
            shutil.copytree(source, work / name)
        else:
            shutil.copyfile(source, work / name)
    text = json.dumps(catalogues(), ensure_ascii=False, sort_keys=True)
    (work / "src" / "messages.json").write_text(text, encoding="utf-8")


def _digest() -> str:
    total = hashlib.sha256(json.dumps(catalogues(), sort_keys=True).encode())
    for name in _SOURCES:
        source = FOLDER / name
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file():
                total.update(f"{path.relative_to(FOLDER)}\0".encode() + path.read_bytes())
    return total.hexdigest()[:20]


def _core_package_file() -> Path:
    """JupyterLab's list of the packages it shares with extensions."""
    spec = importlib.util.find_spec("jupyterlab")
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError("jupyterlab is not installed beside the command; run ./dli again")
    return Path(spec.submodule_search_locations[0]) / "staging" / "package.json"


def _run(command: list[str], work: Path) -> None:
    programs = str(Path(sys.executable).parent)
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExtensionError(f"JupyterLab extension: {command[0]}: {error}") from None
    if done.returncode:
        said = (done.stdout + done.stderr)[-1500:]
        raise ExtensionError(
            f"JupyterLab extension: `{' '.join(command[:3])}` failed:\n{said}\n"
            "If a download failed, check `npm config list` (registry, certificates)."
        )
