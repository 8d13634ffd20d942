"""What goes into the images, prepared on the host: the Debian base and Python wheels."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors

from core.settings import Settings

Report = Callable[[str], None]

PYTHON = "3.11.2"
"""Of Debian 12, in the images. Wheels are chosen for it, whatever Python runs this."""

GLIBC = 36
"""Debian 12 has glibc 2.36."""

PULL_SECONDS = 20
DEBIAN = "bookworm"
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PartError(RuntimeError):
    """A part that could not be made: what, why, and what to do."""


def cache_dir(settings: Settings) -> Path:
    """Where downloads and builds are kept between runs; survives `./dli down --purge`."""
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    try:
        (base / "dli").mkdir(parents=True, exist_ok=True)
    except OSError:
        return settings.state_dir / "cache"
    return base / "dli"


def has_gpu() -> bool:
    """Whether NVML finds at least one GPU on this machine."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    try:
        return bool(pynvml.nvmlDeviceGetCount() > 0)
    finally:
        pynvml.nvmlShutdown()


# ---- base ---------------------------------------------------------------------------------------


def ensure_base(client: docker.DockerClient, tag: str, report: Report) -> None:
    """Debian 12 as `tag`: from the engine's registry when one answers, else by debootstrap."""
    try:
        client.images.get(tag)
        return
    except docker.errors.ImageNotFound:
        pass
    report("Base image: asking the registry for Debian …")
    if not _pull_base(tag):
        report("Base image: no registry answers; making Debian with debootstrap (about a minute) …")
        _bootstrap_base(tag)


def _pull_base(tag: str) -> bool:
    """Pull and tag the base. The docker command is used because it can be given a time limit."""
    image = f"debian:{DEBIAN}-slim"
    try:
        subprocess.run(
            ["docker", "pull", "--quiet", image],
            check=True,
            capture_output=True,
            timeout=PULL_SECONDS,
        )
        subprocess.run(["docker", "tag", image, tag], check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def _bootstrap_base(tag: str) -> None:
    import tempfile

    tool = _debootstrap()
    with tempfile.TemporaryDirectory(prefix="dli-base-") as work:
        root = Path(work) / "root"
        log = Path(work) / "log"
        with log.open("wb") as output:
            made = subprocess.run(
                [
                    tool,
                    "--variant=minbase",
                    "--force-check-gpg",  # Ubuntu has Debian's keys in a package apart
                    "--include=python3,ca-certificates",
                    "--exclude=e2fsprogs",
                    DEBIAN,
                    str(root),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if made.returncode:
            tail = log.read_text(errors="replace").splitlines()[-5:]
            raise PartError("debootstrap failed:\n" + "\n".join(tail))
        _import_base(root, tag)


def _import_base(root: Path, tag: str) -> None:
    excluded = (
        "./var/lib/apt/lists/*",
        "./var/cache/apt/*",
        "./usr/share/doc/*",
        "./usr/share/locale/*",
        "./usr/share/man/*",
        "./dev/*",
        "./proc/*",
        "./sys/*",
    )
    with subprocess.Popen(
        ["tar", "-C", str(root), "-c", *[f"--exclude={name}" for name in excluded], "."],
        stdout=subprocess.PIPE,
    ) as tar:
        done = subprocess.run(
            ["docker", "import", "-c", "LABEL dli.built=1", "-", tag],
            stdin=tar.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PartError(f"docker import of the base image failed: {done.stderr.strip()}")


def _debootstrap() -> str:
    """The tool, with Debian's keys; installed when this account may. Raises PartError."""
    root = os.geteuid() == 0
    if root and shutil.which("apt-get") and not (_tool() and DEBIAN_KEYS.exists()):
        packages = ["debootstrap", "debian-archive-keyring", "gpgv"]
        quiet = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(
            ["apt-get", "install", *quiet, *packages],
            check=False,
            capture_output=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    tool = _tool()
    if not tool or not DEBIAN_KEYS.exists() or not root:
        raise PartError(
            f"no base image: no registry has debian:{DEBIAN}-slim for this Docker engine, and "
            "debootstrap needs root. Either run `docker pull` against a registry you have and tag "
            "it dli/base:bookworm, or run `sudo apt-get install debootstrap "
            "debian-archive-keyring` and `./dli up` as root"
        )
    return tool


def _tool() -> str | None:
    return shutil.which("debootstrap") or shutil.which("debootstrap", path="/usr/sbin")


# ---- wheels -------------------------------------------------------------------------------------


def ensure_wheels(requirements: list[Path], cache: Path, report: Report) -> list[Path]:
    """Wheels for exactly these requirement files, by this host's own pip configuration.

    They are kept per set of requirements, so that an image never gets a stray wheel. Raises
    PartError naming what could not be downloaded, and when torch is not the build asked for.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in requirements)).hexdigest()[:16]
    folder = cache / "wheels" / f"{platform.machine()}-{digest}"
    if not folder.is_dir():
        report("Downloading Python packages for the images …")
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _download(requirements, partial)
            if any(path.name == "torch-cpu.txt" for path in requirements):
                _check_cpu_torch(partial)
            partial.rename(folder)
        except FileExistsError:
            pass  # another run finished first
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(folder.glob("*.whl"))


def _download(requirements: list[Path], folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        PYTHON,
        "--implementation",
        "cp",
        "--dest",
        str(folder),
    ]
    for abi in ("cp311", "abi3", "none"):
        command += ["--abi", abi]
    for tag in wheel_platforms(platform.machine()):
        command += ["--platform", tag]
    for path in requirements:
        command += ["--requirement", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        problems = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise PartError(
            "pip could not download the packages of the images:\n"
            + "\n".join(line[:300] for line in problems[-3:] or done.stderr.splitlines()[-3:])
            + "\nCheck `pip config list` (index, certificates) and run this again."
        )


def wheel_platforms(machine: str) -> list[str]:
    """Platform tags that Debian 12 on `machine` can run, best first."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)]
    return [*tags, f"manylinux2014_{machine}", f"manylinux2010_{machine}", "any"]


def _check_cpu_torch(folder: Path) -> None:
    for wheel in folder.glob("torch-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            metadata = archive.read(name).decode()
        needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
        if any("nvidia" in line or "cuda" in line for line in needs):
            raise PartError(
                "the package index offers only the CUDA build of torch, several GB that a CPU lab "
                "does not need. Point pip at CPU wheels, then run this again: set "
                "PIP_EXTRA_INDEX_URL to PyTorch's CPU index (pytorch.org, Get Started, Compute "
                "Platform: CPU), or put the +cpu wheel into a folder and set PIP_FIND_LINKS to it"
            )
