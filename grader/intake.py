"""Whether an uploaded archive may become a submission. Never trusts a name, a size or a type.

A submission is an uncompressed tar of regular files. Nothing is unpacked to find out.
"""

from __future__ import annotations

import json
import tarfile
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
import nbformat.reader

from core.i18n import N_
from grader.explained import Explained

_MAX_DEPTH = 10
_MAX_NAME = 255
_MAX_PATH = 500
_MAX_CELLS = 2000
"""Each costs the service and the worker time, an empty one too."""
RESERVED = {"timestamp.txt", "submission_secret.txt"}
"""Names by which nbgrader keeps its own notes beside a submission."""


class Unacceptable(Explained):
    """Why an archive is refused: a sentence with the file's name and the remedy."""


@dataclass(frozen=True)
class Contents:
    """What an accepted archive holds."""

    files: dict[str, bytes]
    notebooks: list[str]
    """Names of the notebooks at the top, without ``.ipynb``."""


def check(
    archive: Path, max_bytes: int, max_files: int, refused_types: Sequence[str] = ()
) -> Contents:
    """Read and check a whole archive; `refused_types` are endings of names, such as ``.exe``.

    Raises Unacceptable.
    """
    try:
        with tarfile.open(archive, mode="r:") as tar:
            files = _read(tar, max_bytes, max_files)
    except (tarfile.TarError, ValueError, EOFError, OSError, RecursionError) as error:
        raise Unacceptable(
            N_("The upload is not a plain tar archive. Submit with the Submit button.")
        ) from error
    _check_together(files, refused_types)
    notebooks = sorted(
        name.removesuffix(".ipynb") for name in files if name.endswith(".ipynb") and "/" not in name
    )
    if not notebooks:
        raise Unacceptable(
            N_(
                "There is no notebook (.ipynb) in this submission. Put it directly into the "
                "assignment's folder, then submit again."
            )
        )
    for name, data in files.items():
        if name.endswith(".ipynb"):
            _check_notebook(name, data)
    return Contents(files, notebooks)


def parse_notebook(name: str, data: bytes) -> Any:
    """The notebook as nbformat 4. Raises Unacceptable naming the file."""
    try:
        _loaded(data)
        # as nbformat.reads, which would check it once more and only log what is wrong
        notebook = nbformat.convert(nbformat.reader.reads(data.decode("utf-8")), 4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat meets odd shapes with whatever comes, asserts too
        raise _bad_notebook(name) from error
    return notebook


def _check_notebook(name: str, data: bytes) -> None:
    """As `parse_notebook` at half the cost: no notebook of format 4 is built to be thrown away."""
    try:
        found = _loaded(data)
        short = len(found["cells"]) <= _MAX_CELLS
        if short and found.get("nbformat") == 4:
            nbformat.validate(nbdict=found)
            return
    except Exception as error:
        raise _bad_notebook(name) from error
    if not short:
        raise _too_long(name)
    parse_notebook(name, data)


def _loaded(data: bytes) -> dict[str, Any]:
    found = json.loads(data.decode("utf-8"))
    if not isinstance(found.get("cells"), list):
        raise ValueError("no cells")
    return dict(found)


def _too_long(name: str) -> Unacceptable:
    return Unacceptable(
        N_(
            "%(name)s has more than %(count)s cells. Remove cells that do not belong to the "
            "assignment, then submit again."
        ),
        name=name,
        count=_MAX_CELLS,
    )


def _bad_notebook(name: str) -> Unacceptable:
    return Unacceptable(
        N_(
            "%(name)s is not a valid notebook. Open it in JupyterLab, save it, and submit again; "
            "if it does not open, fetch the assignment anew."
        ),
        name=name,
    )


def _read(tar: tarfile.TarFile, max_bytes: int, max_files: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for member in tar:
        _check_member(member)
        if member.name in files:
            raise Unacceptable(
                N_("%(name)s is in the submission twice. Submit with the Submit button."),
                name=member.name,
            )
        if len(files) >= max_files:
            raise too_many(max_files)
        total += member.size
        if total > max_bytes:
            raise too_large(max_bytes)
        source = tar.extractfile(member)
        data = source.read() if source else b""
        if len(data) != member.size:
            raise ValueError("cut short")
        files[member.name] = data
    return {name: data for name, data in files.items() if name not in RESERVED}


def too_many(max_files: int) -> Unacceptable:
    """For a submission of too many files."""
    return Unacceptable(
        N_("More than %(count)s files. Remove what does not belong to the assignment."),
        count=max_files,
    )


def too_large(max_bytes: int) -> Unacceptable:
    """For a submission over the limit."""
    return Unacceptable(
        N_(
            "The submission is larger than %(limit)s MB. Remove data and model files and clear "
            "large outputs, then submit again."
        ),
        limit=max_bytes // 1_000_000,
    )


def _check_member(member: tarfile.TarInfo) -> None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        raise Unacceptable(
            N_(
                "%(name)s is a link or a special file. Only regular files can be submitted: "
                "replace it by a copy or remove it."
            ),
            name=_shown(member.name),
        )
    if not acceptable_name(member.name):
        raise Unacceptable(
            N_("The file name %(name)s cannot be used. Rename the file and submit again."),
            name=_shown(member.name),
        )


def _check_together(names: Collection[str], refused_types: Sequence[str]) -> None:
    """No refused type; no two names that are one file on another computer or cannot both be."""
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold().endswith(tuple(refused_types)):
            raise Unacceptable(
                N_("%(name)s is of a type that cannot be submitted (%(types)s). Remove it."),
                name=name,
                types=", ".join(refused_types),
            )
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name or name in folders:
            raise Unacceptable(
                N_("%(name)s and another file would have the same name. Rename one of them."),
                name=name,
            )


def acceptable_name(name: str) -> bool:
    """A relative path of ordinary characters, no part of it empty, ``.``, ``..`` or too long."""
    parts = PurePosixPath(name).parts
    if not name or name != "/".join(parts) or name.startswith("/") or "\\" in name:
        return False
    if len(parts) > _MAX_DEPTH or len(name.encode("utf-8", "replace")) > _MAX_PATH:
        return False
    if any(p in ("..", ".") or len(p.encode("utf-8", "replace")) > _MAX_NAME for p in parts):
        return False
    # "C": control, format (bidirectional marks too), surrogate, private and unassigned characters
    return not any(unicodedata.category(letter).startswith("C") for letter in name)


def _shown(name: str) -> str:
    return "".join(c if unicodedata.category(c)[0] != "C" else "?" for c in name)[:100]
