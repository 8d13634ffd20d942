"""Labs under names of their own, so that no lab's scripts run on the platform's own origin.

Off by default: it needs wildcard DNS for ``*.<host>``, and a wildcard certificate with TLS.
Services and the Hub stay on the main name; only labs move.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.utils import subdomain_hook_idna

from core.settings import Settings


def domain_of(name: str, domain: str, kind: str) -> str:
    """JupyterHub's hook: the host of a user's lab or of a service."""
    if kind == "service":
        return domain
    found: str = subdomain_hook_idna(name, domain, kind)
    return found


def update_subdomains(c: Any, settings: Settings, gateway: str) -> None:
    """Set the traits. Labs call the services by the gateway's address, which is a host too."""
    if not settings.site.subdomains:
        return
    c.JupyterHub.subdomain_host = settings.public_url
    c.JupyterHub.subdomain_hook = domain_of
    ports = {"usage": settings.ports.usage, "grader": settings.ports.grader}
    c.Proxy.extra_routes = {
        f"{gateway}/services/{name}/": f"http://127.0.0.1:{port}" for name, port in ports.items()
    }
