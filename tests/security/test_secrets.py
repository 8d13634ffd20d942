"""No image holds a secret: neither in its settings and history, nor in its files."""

from __future__ import annotations

import io
import re
import tarfile

import docker
import pytest

pytestmark = pytest.mark.docker

IMAGES = ("dli/lab-cpu:latest", "dli/sandbox:latest")
NAMES = re.compile(r"(^|/)(id_(rsa|ed25519|ecdsa)|\.netrc|\.pypirc|\.git-credentials|\.env|key-\w+|"
                   r"hub-(cookie|crypt)|proxy-auth|\.docker/config\.json)$")  # fmt: skip
CONTENT = re.compile(
    rb"-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"
    rb"|\b(ghp|gho|github_pat)_[A-Za-z0-9_]{30}|\bAKIA[0-9A-Z]{16}\b|\bpypi-[A-Za-z0-9_-]{60}"
)
WORDS = re.compile(
    r"(?i)(password|passwd|secret|token|api_?key)=[^\s\"']+|https?://[^/\s]+:[^/\s]+@"
)
PLACES = ("/opt/dli", "/home/learner", "/etc", "/root", "/srv")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_no_secret(image: str) -> None:
    client = docker.from_env()
    found = client.images.get(image)
    said = "\n".join(layer["CreatedBy"] for layer in found.history())
    said += "\n".join(found.attrs["Config"].get("Env") or [])
    assert not WORDS.search(said), WORDS.findall(said)
    container = client.containers.create(
        image, "true", network_mode="none", labels={"dli.kind": "test"}
    )
    try:
        seen = 0
        for place in PLACES:
            try:
                stream, _about = container.get_archive(place)
            except docker.errors.NotFound:
                continue
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                for member in tar:
                    file = tar.extractfile(member) if member.isreg() else None
                    if file is None:
                        continue
                    seen += 1
                    assert not NAMES.search(member.name), member.name
                    content = file.read()
                    assert not CONTENT.search(content), member.name
                    if "/shadow" in member.name:
                        assert b":$" not in content, "an account has a password"
        print(f"{image}: {seen} files below {', '.join(PLACES)}")
        assert seen > 50
    finally:
        container.remove(force=True)
        client.close()
