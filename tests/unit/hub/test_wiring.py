"""Settings become JupyterHub traits; tested with a bare Config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from jupyterhub import scopes
from traitlets.config import Config

from core import secrets
from core.settings import Settings
from hub import access, subdomains, wiring
from usage.client import UsageClient


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets.ensure(tmp_path)
    return Settings(
        state_dir=tmp_path,
        ports={"public": 9000, "proxy_api": 9001, "hub": 9081, "usage": 9091, "grader": 9092},
        site={"language": "en", "name": "School"},
        labs={"start_seconds": 60},
    )


def plain(config: Config) -> dict[str, dict[str, Any]]:
    return {section: dict(values) for section, values in config.items()}


def test_the_proxy_is_not_ours_to_start(settings: Settings) -> None:
    c = Config()
    wiring.update_proxy(c, settings)
    assert plain(c) == {
        "ConfigurableHTTPProxy": {
            "should_start": False,
            "auth_token": secrets.load(settings.state_dir, "proxy-auth"),
            "api_url": "http://127.0.0.1:9001",
        },
        "JupyterHub": {"cleanup_proxy": False},
    }


def test_the_hub_listens_on_the_labs_gateway_alone(settings: Settings) -> None:
    c = Config()
    wiring.update_addresses(c, settings, "172.30.0.1")
    assert plain(c)["JupyterHub"] == {
        "bind_url": "http://127.0.0.1:9000",
        "hub_bind_url": "http://172.30.0.1:9081",
        "hub_connect_url": "http://172.30.0.1:9081",
    }


def test_sessions_and_tokens_end(settings: Settings) -> None:
    c = Config()
    wiring.update_signin(c, settings, cast(UsageClient, None))
    assert c.JupyterHub.cookie_max_age_days == 1
    assert c.JupyterHub.oauth_token_expires_in == 12 * 3600
    assert c.EventCodeAuthenticator.auth_refresh_age == 60


def test_labs_get_names_of_their_own_when_asked(settings: Settings) -> None:
    c = Config()
    subdomains.update_subdomains(c, settings, "172.30.0.1")
    assert plain(c) == {}
    site = settings.site.model_copy(update={"url": "https://dli.example", "subdomains": True})
    subdomains.update_subdomains(c, settings.model_copy(update={"site": site}), "172.30.0.1")
    assert c.JupyterHub.subdomain_host == "https://dli.example"
    assert "172.30.0.1/services/usage/" in c.Proxy.extra_routes
    assert subdomains.domain_of("usage", "dli.example", "service") == "dli.example"
    kim, lee = (subdomains.domain_of(name, "dli.example", "user") for name in ("kim", "이영희"))
    assert kim == "kim.dli.example"
    assert lee.endswith(".dli.example")
    assert lee != kim


def test_everything_is_kept_in_the_state_folder(settings: Settings) -> None:
    c = Config()
    wiring.update_storage(c, settings)
    assert c.JupyterHub.db_url == f"sqlite:///{settings.state_dir}/hub/hub.sqlite"
    assert len(c.JupyterHub.cookie_secret) == 32
    assert len(c.CryptKeeper["keys"][0]) == 32


def test_labs_outlive_the_hub_and_nobody_has_two(settings: Settings) -> None:
    c = Config()
    wiring.update_spawning(c, settings)
    assert c.JupyterHub.cleanup_servers is False
    assert c.JupyterHub.allow_named_servers is False
    assert c.JupyterHub.tornado_settings == {"slow_spawn_timeout": 0}
    assert c.Spawner.consecutive_failure_limit == 0
    assert c.Spawner.start_timeout > settings.labs.start_seconds


def test_sign_in_is_closed_and_guarded(settings: Settings) -> None:
    c = Config()
    wiring.update_signin(c, settings, wiring.usage_client(settings))
    found = c.EventCodeAuthenticator
    assert found.minimum_password_length == 10
    assert found.check_common_password is True
    assert found.allowed_failed_logins == 5
    assert "open_signup" not in found


def test_each_scope_exists_and_services_have_no_more_than_listed(settings: Settings) -> None:
    c = Config()
    access.update_roles(c)
    roles = {role["name"]: role for role in c.JupyterHub.load_roles}
    for role in roles.values():
        for scope in role["scopes"]:
            assert scope.split("!")[0] in scopes.scope_definitions, scope
    services = ["access:services!service=usage", "access:services!service=grader"]
    assert roles["usage"]["scopes"] == [
        "start:servers", "delete:servers", "read:servers", "list:users", "delete:users",
    ]  # fmt: skip
    assert roles["grader"]["scopes"] == ["read:users:name"]
    assert roles["user"]["scopes"] == ["self", *services]
    assert roles["server"]["scopes"] == [
        "users:activity!user", "access:servers!server", *services,
    ]  # fmt: skip


def test_services_are_external_and_need_no_confirmation(settings: Settings) -> None:
    c = Config()
    access.update_services(c, settings)
    usage, grader = c.JupyterHub.services
    assert (usage["name"], usage["url"]) == ("usage", "http://127.0.0.1:9091")
    assert (grader["name"], grader["url"]) == ("grader", "http://127.0.0.1:9092")
    for service in (usage, grader):
        assert "command" not in service
        assert service["oauth_no_confirm"] is True
    assert usage["api_token"] != grader["api_token"]


def test_the_configuration_file_stays_short() -> None:
    from core.settings import ROOT

    assert len((ROOT / "jupyterhub_config.py").read_text().splitlines()) < 40
