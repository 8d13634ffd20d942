"""JupyterHub's configuration in these tests: the real roles, services and pages, simple labs."""

import sys
from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

from core import consent
from core import settings as settings_module
from core.wire import Enrolment, Refusal
from hub import access, pages
from hub.door import update_door
from hub.signin import EventCodeAuthenticator
from usage.client import Refused

c: Config = get_config()  # type: ignore[name-defined] # noqa: F821 # given by JupyterHub
settings = settings_module.load()
folder = settings.state_dir


class AnyPassword(EventCodeAuthenticator):
    """The real pages and handlers; whoever types the right test password is let in."""

    async def authenticate(self, handler, data):
        """The name, for the one test password; else what the real one says (a new account)."""
        if data.get("password") == "test-password-1":
            return data["username"]
        return await super().authenticate(handler, data)


class Codes:
    """Stands for the usage service: knows one event code and nobody's enrolment."""

    def check_sign_up(self, code, _username, _email, _language):
        """Refuse every code but one."""
        if code != "TEST-CODE":
            raise Refused(Refusal("code", "no such code"))

    def sign_up(self, *_given):
        """A seat in a cohort with one course."""
        return Enrolment("autumn", "trainee", ["intro"], True)


class NoGpuTime(Exception):
    """A refused start, as the lab spawner raises it."""

    jupyterhub_message = "오늘은 남은 GPU 시간이 없습니다."


async def before_start(spawner):
    """Let two people's labs fail or wait until the test has looked at the page."""
    import asyncio

    if spawner.user.name == "refused":
        await asyncio.sleep(1)
        raise NoGpuTime
    if spawner.user.name == "slow":
        while not (folder / "go-on").exists():  # another process makes it
            await asyncio.sleep(0.1)


pages.update_pages(c, settings)
access.update_roles(c)
access.update_services(c, settings)
update_door(c, settings)
c.JupyterHub.authenticator_class = AnyPassword
c.AnyPassword.usage = Codes()
c.AnyPassword.consent = consent.load(settings)
c.AnyPassword.allow_all = True
c.AnyPassword.admin_users = {"boss"}
c.AnyPassword.minimum_password_length = 10
c.AnyPassword.allowed_failed_logins = 5
c.AnyPassword.seconds_before_next_try = 300
c.JupyterHub.default_url = "/services/usage/"
c.JupyterHub.bind_url = settings.public_url
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.ports.hub}"
c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret = b"0" * 32
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.SimpleLocalProcessSpawner.home_dir_template = str(folder / "homes" / "{username}")
c.Spawner.cmd = [sys.executable, str(Path(__file__).with_name("small_lab.py")), str(folder)]
c.Spawner.pre_spawn_hook = before_start
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.ports.proxy_api}"
c.ConfigurableHTTPProxy.auth_token = "test"
