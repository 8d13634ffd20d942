"""`./dli audit`: known holes in the pinned Python and npm packages, as their registries know them.

Not part of `./dli test`, since the answer changes from day to day without a change of ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli import proxy
from cli.errors import CliError
from cli.image_parts import cache_dir
from cli.text import _
from core.settings import ROOT, Settings

LOCKED_NPM = (ROOT / "web", ROOT / "labextension")
"""Folders with a package-lock.json: what pages and the proxy run on, and what builds the lab's."""


def commands(tools: Path) -> list[tuple[str, list[str], Path]]:
    """Name, words and folder of each question. `tools`: the virtual environment of pip-audit."""
    lock = str(ROOT / "requirements.lock")
    python = [str(tools / "bin" / "pip-audit"), "-r", lock, "--no-deps", "--disable-pip"]
    node = Path(proxy.node())
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    asked = [("requirements.lock", python, ROOT)]
    for folder in LOCKED_NPM:
        words = [str(node), str(npm), "audit", "--package-lock-only"]
        asked.append((f"{folder.name}/package-lock.json", words, folder))
    return asked


def run(settings: Settings) -> list[str]:
    """Ask, showing the answers; the names of what has known holes or could not be asked."""
    tools = cache_dir(settings) / "audit"
    if not (tools / "bin" / "pip-audit").exists():
        _call([sys.executable, "-m", "venv", str(tools)])
        _call([str(tools / "bin" / "pip"), "install", "--quiet", "pip-audit"])
    bad = []
    for name, words, folder in commands(tools):
        print(f"== {name}", flush=True)
        if subprocess.run(words, cwd=folder, check=False).returncode != 0:
            bad.append(name)
    return bad


def _call(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CliError(_("Failed: {command}", command=" ".join(words)) + f"\n{done.stderr}")
