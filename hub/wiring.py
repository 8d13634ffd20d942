"""Settings -> JupyterHub traits, one `update_<area>` per concern.

Each takes a traitlets `Config` and changes nothing else, so that the wiring is tested with a bare
Config. `apply` calls them all.
"""

from __future__ import annotations

from typing import Any

from core import consent, secrets
from core.settings import Settings
from hub import access, pages
from hub.door import update_door
from hub.signin import EventCodeAuthenticator
from hub.signup import MINIMUM_PASSWORD
from hub.storage import database_url, folder
from hub.subdomains import update_subdomains
from labs import network
from labs.spawner import LabSpawner
from usage.client import UsageClient

HOME = "/services/usage/"
"""Where people land: their courses, labs and GPU time."""


def apply(c: Any, settings: Settings) -> None:
    """Set every trait that the platform needs. Raises labs.network.NetworkError."""
    address = network.gateway(settings)
    usage = usage_client(settings)
    update_proxy(c, settings)
    update_addresses(c, settings, address)
    update_subdomains(c, settings, address)
    update_door(c, settings)
    update_storage(c, settings)
    update_spawning(c, settings)
    update_labs(c, settings, address, usage)
    c.JupyterHub.default_url = HOME
    pages.update_pages(c, settings)
    update_signin(c, settings, usage)
    access.update_roles(c)
    access.update_services(c, settings)


def usage_client(settings: Settings) -> UsageClient:
    """The usage service as the Hub calls it. Short timeout: a person is waiting on a page."""
    return UsageClient(
        f"http://127.0.0.1:{settings.ports.usage}/services/usage",
        secrets.load(settings.state_dir, "key-hub"),
    )


def update_proxy(c: Any, settings: Settings) -> None:
    """An external proxy: it keeps labs reachable while the Hub restarts."""
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.auth_token = secrets.load(settings.state_dir, "proxy-auth")
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.ports.proxy_api}"
    c.JupyterHub.cleanup_proxy = False


def update_addresses(c: Any, settings: Settings, gateway: str) -> None:
    """The Hub listens on the labs' gateway alone: labs, services and the proxy reach it there."""
    c.JupyterHub.bind_url = settings.public_url
    c.JupyterHub.hub_bind_url = f"http://{gateway}:{settings.ports.hub}"
    c.JupyterHub.hub_connect_url = f"http://{gateway}:{settings.ports.hub}"


def update_storage(c: Any, settings: Settings) -> None:
    """Database in the Hub's folder, cookie secret by us; nothing in the working directory."""
    folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    c.JupyterHub.db_url = database_url(settings)
    c.JupyterHub.cookie_secret = bytes.fromhex(secrets.load(settings.state_dir, "hub-cookie"))
    c.CryptKeeper.keys = [bytes.fromhex(secrets.load(settings.state_dir, "hub-crypt"))]
    c.JupyterHub.pid_file = str(folder(settings) / "hub.pid")


def update_spawning(c: Any, settings: Settings) -> None:
    """One lab per person; labs outlive the Hub; starts answer at once and many run together."""
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.allow_named_servers = False
    c.JupyterHub.concurrent_spawn_limit = 100
    c.JupyterHub.spawn_throttle_retry_range = (5, 15)
    c.JupyterHub.init_spawners_timeout = 10
    # 0: the start request answers at once and the pending page shows progress or the refusal.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    # Our spawner ends a slow start itself, with a sentence; JupyterHub's own limit comes after it.
    c.Spawner.start_timeout = settings.labs.start_seconds + 30
    c.Spawner.http_timeout = settings.labs.start_seconds
    # Docker being down must not end the Hub: 0 switches that off.
    c.Spawner.consecutive_failure_limit = 0
    c.Spawner.poll_interval = 10
    # What a person asked to start is read and checked by LabSpawner.start itself.
    c.Spawner.apply_user_options = _leave_to_start


def _leave_to_start(_spawner: Any, _options: dict[str, Any]) -> None:
    """JupyterHub's hook for user options: nothing to do before the start."""


def update_labs(c: Any, settings: Settings, gateway: str, usage: UsageClient) -> None:
    """Labs in containers on the private network, images from this machine only."""
    c.JupyterHub.spawner_class = LabSpawner
    c.LabSpawner.settings = settings
    c.LabSpawner.usage = usage
    c.LabSpawner.gateway = gateway
    c.LabSpawner.default_url = "/lab"


def update_signin(c: Any, settings: Settings, usage: UsageClient) -> None:
    """Accounts of our own: sign-up only with an event code, passwords checked, lockout on."""
    c.JupyterHub.authenticator_class = EventCodeAuthenticator
    c.EventCodeAuthenticator.usage = usage
    c.EventCodeAuthenticator.consent = consent.load(settings)
    c.EventCodeAuthenticator.default_language = settings.site.language
    c.EventCodeAuthenticator.allow_all = True  # an account exists only by code or by an admin
    c.EventCodeAuthenticator.minimum_password_length = MINIMUM_PASSWORD
    c.EventCodeAuthenticator.check_common_password = True
    c.EventCodeAuthenticator.allowed_failed_logins = 5
    c.EventCodeAuthenticator.seconds_before_next_try = 300
    c.EventCodeAuthenticator.enable_auth_state = False
    c.EventCodeAuthenticator.auth_refresh_age = 60  # a deleted account is out within a minute
    c.JupyterHub.cookie_max_age_days = 1
    # A page's sign-in at a service; renewed silently while the Hub's own cookie holds.
    c.JupyterHub.oauth_token_expires_in = 12 * 3600
