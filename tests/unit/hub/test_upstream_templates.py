"""Fails when JupyterHub or NativeAuthenticator changes a template that hub/templates replaces.

Then: compare the old and new upstream file, carry over what matters, and put the new hash here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jupyterhub._data
import nativeauthenticator

from hub.pages import TEMPLATES

SOURCES = {
    "jupyterhub": Path(jupyterhub._data.DATA_FILES_PATH) / "templates",
    "nativeauthenticator": Path(nativeauthenticator.__file__).parent / "templates",
}

KNOWN = {
    "jupyterhub/404.html": "51c6d536817fb288",
    "nativeauthenticator/change-password.html": "1b7158ddf7ae4bee",
    "jupyterhub/error.html": "451a812b1a79b7e1",
    "jupyterhub/home.html": "1c8a1a30a81af4d3",
    "jupyterhub/login.html": "470fa03025fbbfa3",
    "jupyterhub/logout.html": "9366fbcecf7b8466",
    "nativeauthenticator/native-login.html": "702fbb0b2970eff5",
    "jupyterhub/not_running.html": "d32a6166eb810cfb",
    "jupyterhub/page.html": "3c7a6bab48766c93",
    "nativeauthenticator/page.html": "2d7da62f7b94d9f9",
    "nativeauthenticator/signup.html": "0ab19c7778408ea3",
    "jupyterhub/spawn.html": "4c31adff20afa915",
    "jupyterhub/spawn_pending.html": "fd786249c7941600",
    "jupyterhub/stop_pending.html": "42b845ad37de7b64",
}
"""Upstream template -> beginning of its SHA-256 when ours was written against it."""


def _upstream() -> dict[str, str]:
    names = [file.name for file in TEMPLATES.glob("*.html")]
    return {
        f"{source}/{name}": hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16]
        for source, folder in SOURCES.items()
        for name in names
        if (folder / name).exists()
    }


def test_every_replaced_template_is_the_one_we_know() -> None:
    assert _upstream() == KNOWN
