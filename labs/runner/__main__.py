"""The runner's process: ``python -m labs.runner``."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import signal
import sys
from functools import partial
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from core import log, secrets, settings
from core.settings import Settings
from core.wire import Lease
from labs import homes
from labs.runner import HUB_ACCOUNT, socket_path
from labs.runner.relay import FindLease, Relay
from labs.runner.rules import Policy

_log = logging.getLogger("labs.runner")

_ENGINE = "unix:///var/run/docker.sock"
_LEASE_S = 5


def engine_path() -> str:
    """Path of Docker's own socket. Raises SettingsError for an engine that has none here."""
    kind, _sep, path = (os.environ.get("DOCKER_HOST") or _ENGINE).partition("://")
    if kind != "unix":
        raise settings.SettingsError(
            f"DOCKER_HOST={os.environ['DOCKER_HOST']}: only unix:// can be used; the labs' engine "
            "runs on this machine"
        )
    return path


def finder(loaded: Settings) -> FindLease:
    """Asks the usage service, with a key that can do nothing else."""
    url = f"http://127.0.0.1:{loaded.ports.usage}/services/usage/api/internal/leases/"
    headers = {"Authorization": f"Bearer {secrets.load(loaded.state_dir, 'key-runner')}"}

    async def find(lease_id: str) -> Lease | None:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=_LEASE_S)) as session,
                session.get(url + lease_id, headers=headers) as answer,
            ):
                return Lease.from_json(await answer.json()) if answer.status == 200 else None
        except (ClientError, TimeoutError, OSError):
            return None

    return find


async def serve(loaded: Settings) -> None:
    """Serve on the Hub's socket until a signal says to stop."""
    endless = homes.problem(loaded)
    if endless:
        log.event(_log, "homes have no size limit", why=endless)
    make = None if endless else partial(homes.options, loaded)
    relay = Relay(
        Policy.of(loaded), engine_path(), finder(loaded), make, partial(homes.remove, loaded)
    )
    runner = web.AppRunner(relay.application(), access_log=None, handle_signals=False)
    await runner.setup()
    path = socket_path(loaded)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)  # the socket is its owner's alone from its first moment
    await web.UnixSite(runner, path).start()
    os.umask(before)
    _hand_over(path)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def _hand_over(path: Path) -> None:
    """To the Hub's account where it has one of its own, else this account keeps it."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(HUB_ACCOUNT)
        os.chown(path, account.pw_uid, account.pw_gid)


def main() -> int:
    """Exit status: 0 after an orderly stop, 2 when the settings or the account are wrong."""
    log.setup()
    try:
        asyncio.run(serve(settings.load()))
    except (settings.SettingsError, FileNotFoundError, KeyError) as error:
        print(f"labs.runner: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
