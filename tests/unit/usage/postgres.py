"""A PostgreSQL server of Debian's package, for one test module, on a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path:
    """The newest installed server's programs. Raises RuntimeError that says what to install."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise RuntimeError(
            "no PostgreSQL server found in /usr/lib/postgresql; `./dli test` installs it, "
            "or: sudo apt-get install postgresql"
        )
    return found[-1].parent


@contextmanager
def server(durable: bool = False) -> Iterator[str]:
    """Run a server; gives the URL of its empty database `postgres`.

    `durable`: it waits for the disk, as one that is used in earnest does.
    """
    programs = binaries()
    folder = Path(tempfile.mkdtemp(prefix="dli-pg-"))
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if owner:
        account = pwd.getpwnam(owner)
        os.chown(folder, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, *arguments],
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            log = folder / "log"
            raise RuntimeError(
                f"{program} failed: {done.stdout}{done.stderr}"
                f"{log.read_text() if log.exists() else ''}"
            )

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-U", "dli", "--auth=trust", "-E", "UTF8", "--no-sync")
        fsync = "on" if durable else "off"
        options = f"-k {folder} -c listen_addresses= -c fsync={fsync} -c max_connections=60"
        log = str(folder / "log")
        run("pg_ctl", "-D", data, "-l", log, "-w", "-t", "300", "-o", options, "start")
        try:
            yield f"postgresql://dli@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
