"""The Docker images of the platform, built on this machine and only when something changed.

Four images, each from a folder of `images/`: `python-cpu` (Debian's Python and every package),
`lab-cpu` and `sandbox` (our code on top), and, where there is a GPU, `python-gpu` and `lab-gpu`.
Each carries a label with the hash of everything that went into it, so that a second run only
compares hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors

from cli import image_extension, image_parts
from core.settings import ROOT, Settings

Report = Callable[[str], None]

HASH_LABEL = "dli.hash"
BUILT_LABEL = "dli.built"
STAGE_LABEL = "dli.stage"
BASE = "dli/base:bookworm"

LAB_CODE = (
    "core",
    "usage/__init__.py",
    "usage/client.py",
    "grader/__init__.py",
    "grader/exchange",
)


class ImageError(RuntimeError):
    """An image that could not be made: which, why, and what to do."""


@dataclass(frozen=True)
class Image:
    """One image: its folder in the checkout, its parent, and what is copied into its context."""

    tag: str
    folder: str
    parent: str
    code: tuple[str, ...] = ()
    """Paths in the checkout, copied below `dli/` of the context; missing ones are left out."""
    wheels: tuple[str, ...] = ()
    """Requirement files in the checkout; their wheels go into `wheels/` of the context."""
    extension: bool = False
    """Whether the JupyterLab extension goes in."""
    args: dict[str, str] = field(default_factory=dict)


PYTHON_CPU = Image(
    tag="dli/python-cpu:latest",
    folder="images/python",
    parent=BASE,
    wheels=(
        "images/python/build.txt",
        "images/python/requirements.txt",
        "images/python/torch-cpu.txt",
    ),
)
LAB_CPU = Image(
    tag="dli/lab-cpu:latest",
    folder="images/lab-cpu",
    parent=PYTHON_CPU.tag,
    code=LAB_CODE,
    extension=True,
)
SANDBOX = Image(tag="dli/sandbox:latest", folder="images/sandbox", parent=PYTHON_CPU.tag)
PYTHON_GPU = Image(
    tag="dli/python-gpu:latest",
    folder="images/python",
    parent=BASE,
    wheels=(
        "images/python/build.txt",
        "images/python/requirements.txt",
        "images/lab-gpu/torch-cuda.txt",
    ),
)
LAB_GPU = Image(
    tag="dli/lab-gpu:latest",
    folder="images/lab-cpu",
    parent=PYTHON_GPU.tag,
    code=LAB_CODE,
    extension=True,
)


def ensure(
    settings: Settings, client: docker.DockerClient, report: Report, gpu: bool | None = None
) -> None:
    """Build what is missing or out of date. `gpu` None: the GPU image only where NVML has a GPU.

    Raises ImageError with the remedy. `report` gets one line per step of progress.
    """
    if gpu is None:
        gpu = image_parts.has_gpu()
    named = {*settings.labs.images.values(), settings.labs.sandbox_image}
    for image in wanted(named, gpu):
        build(image, settings, client, report)


def wanted(named: set[str], gpu: bool) -> list[Image]:
    """The images to build, parents first, for the image names that the settings use.

    An image that the operator replaced by another name is theirs to build.
    """
    images: list[Image] = []
    if {LAB_CPU.tag, SANDBOX.tag} & named:
        images.append(PYTHON_CPU)
    images += [image for image in (LAB_CPU, SANDBOX) if image.tag in named]
    if gpu and LAB_GPU.tag in named:
        images += [PYTHON_GPU, LAB_GPU]
    return images


def build(image: Image, settings: Settings, client: docker.DockerClient, report: Report) -> None:
    """Build one image unless it is here in this state. Its parent must be here already.

    Raises ImageError, image_parts.PartError or image_extension.ExtensionError, with the remedy.
    """
    if image.parent == BASE:
        image_parts.ensure_base(client, BASE, report)
    files = dict(_context_files(image))
    if image.extension:
        built = image_extension.ensure(image_parts.cache_dir(settings), report)
        files.update(_tree(built, "labextension"))
        for name, path in image_extension.server_files().items():
            files[f"dli/dli_lab/{name}"] = path
    # Another copy of the base is no reason to build: Debian 12 stays Debian 12.
    parent = BASE if image.parent == BASE else _hash_of(client, image.parent)
    digest = _digest(image, files, parent)
    if _hash_of(client, image.tag) == digest:
        return
    for name in image.wheels:
        files[f"wheels/{Path(name).name}"] = ROOT / name
    if image.wheels:
        wheels = image_parts.ensure_wheels(
            [ROOT / name for name in image.wheels],
            image_parts.cache_dir(settings),
            report,
        )
        files.update({f"wheels/{wheel.name}": wheel for wheel in wheels})
    report(f"Building {image.tag} …")
    before = _id_of(client, image.tag)
    _build(image, files, digest, client, report)
    if before:
        # What it replaces; stays while a container or another image stands on it.
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(before)


def _context_files(image: Image) -> Iterator[tuple[str, Path]]:
    """Files of the build context by their name in it, without wheels and extension."""
    yield from _tree(ROOT / image.folder, "").items()
    for path in image.code:
        source = ROOT / path
        if source.is_dir():
            yield from _tree(source, f"dli/{path}").items()
        elif source.is_file():
            yield f"dli/{path}", source
    for name in image.wheels:
        yield f"requirements/{name}", ROOT / name


def _tree(folder: Path, prefix: str) -> dict[str, Path]:
    return {
        f"{prefix}/{path.relative_to(folder)}".lstrip("/"): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _digest(image: Image, files: dict[str, Path], parent: str) -> str:
    """Hash of everything that decides the image: files, modes, arguments and its parent."""
    total = hashlib.sha256(repr((parent, sorted(image.args.items()))).encode())
    for name, path in sorted(files.items()):
        executable = bool(path.stat().st_mode & 0o100)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}\0{executable}\0{content}\n".encode())
    return total.hexdigest()


def _hash_of(client: docker.DockerClient, tag: str) -> str:
    """The content hash in the label of an image; empty when it is not here or not ours."""
    try:
        return str((client.images.get(tag).labels or {}).get(HASH_LABEL, ""))
    except docker.errors.ImageNotFound:
        return ""


def _id_of(client: docker.DockerClient, tag: str) -> str:
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        return ""


def _build(
    image: Image,
    files: dict[str, Path],
    digest: str,
    client: docker.DockerClient,
    report: Report,
) -> None:
    with tempfile.TemporaryFile() as context:
        _pack(files, context)
        stream = client.api.build(
            fileobj=context,
            custom_context=True,
            tag=image.tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs={"BASE": image.parent, **image.args},
            labels={HASH_LABEL: digest, BUILT_LABEL: "1", STAGE_LABEL: ""},
        )
        try:
            _follow(image.tag, stream, report)
        except docker.errors.APIError as error:
            raise ImageError(f"{image.tag}: {error.explanation or error}") from None
    # The builder stage holds the wheels a second time; the hash above is our cache.
    client.images.prune(filters={"dangling": True, "label": f"{STAGE_LABEL}=builder"})


def _pack(files: dict[str, Path], context: IO[bytes]) -> None:
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, path in sorted(files.items()):
            info = archive.gettarinfo(str(path), arcname=name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(info, content)
    context.seek(0)


def _follow(tag: str, stream: Iterator[dict[str, Any]], report: Report) -> None:
    """Pass the engine's progress on; raise ImageError with the last lines if the build failed."""
    tail: list[str] = []
    for event in stream:
        if "error" in event:
            raise ImageError(
                f"{tag} could not be built: {event['error']}\n" + "\n".join(tail[-15:])
            )
        for line in str(event.get("stream", "")).splitlines():
            if line.strip():
                tail.append(line.rstrip())
            if line.startswith("Step "):
                report(f"  {tag}: {line.strip()[:100]}")
