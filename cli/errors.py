"""The one kind of error that ends a command with a sentence instead of a traceback."""

from __future__ import annotations

import errno

from cli.text import _
from core import secrets
from core.settings import Settings


class CliError(Exception):
    """What went wrong, and (`remedy`) what the person can do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def own_key(settings: Settings) -> str:
    """The command line's key to the services. Raises CliError before the first start."""
    try:
        return secrets.load(settings.state_dir, "key-cli")
    except FileNotFoundError:
        raise CliError(_("This platform was never started"), _("Start it: ./dli up")) from None


def explain(error: BaseException) -> CliError | None:
    """`error` as a sentence with a remedy; None for one that only a traceback can explain."""
    import docker.errors

    from cli.images import ImageError
    from cli.wrong_settings import sentences
    from core.consent import ConsentError
    from core.course import CourseError
    from core.settings import SettingsError
    from labs.inventory import InventoryError
    from labs.network import NetworkError
    from labs.simulated import SimulationError
    from web.assets import AssetError

    if isinstance(error, CliError):
        return error
    if isinstance(error, SettingsError):
        return CliError(sentences(error), _("Every setting: docs/reference/settings.md"))
    ours = (CourseError, ConsentError, ImageError, AssetError, NetworkError)
    if isinstance(error, (*ours, InventoryError, SimulationError)):
        return _with_remedy(str(error))
    if isinstance(error, docker.errors.APIError):
        return _with_remedy(f"Docker: {error.explanation or error}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _with_remedy(str(error))
    return None


def _with_remedy(message: str) -> CliError:
    if "no space left on device" in message.lower():
        return CliError(
            message, _("The disk is full. See: df -h; docker system df; free some and try again")
        )
    return CliError(message)
