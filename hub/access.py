"""Who may do what at the Hub's API: roles, each scope with its reason, and the two services."""

from __future__ import annotations

from typing import Any

from core import secrets
from core.settings import Settings

SERVICES = ("usage", "grader")

_PAGES = [f"access:services!service={name}" for name in SERVICES]


def update_roles(c: Any) -> None:
    """Replace JupyterHub's `user` and `server` roles and add one for each service."""
    c.JupyterHub.load_roles = [
        {
            "name": "user",
            "description": "Everyone who can sign in",
            "scopes": [
                "self",  # own server, own tokens: JupyterHub's default
                *_PAGES,  # both services decide themselves what a person may see there
            ],
        },
        {
            "name": "server",
            "description": "A running lab, with its own token",
            "scopes": [
                "users:activity!user",  # says that its person is active: JupyterHub's default
                "access:servers!server",  # lets its person in: JupyterHub's default
                *_PAGES,  # the lab's extension asks for time left and submits
            ],
        },
        {
            "name": "usage",
            "description": "The usage service",
            "services": ["usage"],
            "scopes": [
                "start:servers",  # the Start button on a learner's home
                "delete:servers",  # stops a lab at its deadline; the Stop button
                "read:servers",  # which labs run: shown, and compared with the leases
                "list:users",  # to do that for everybody in one request
                "delete:users",  # erases a person: account and, by the spawner, home volume
            ],
        },
        {
            "name": "grader",
            "description": "The grader service",
            "services": ["grader"],
            "scopes": [
                "read:users:name",  # whose token a submission carries; who is an admin
            ],
        },
    ]


def update_services(c: Any, settings: Settings) -> None:
    """Both services as external ones: the Hub knows them, a supervisor runs them.

    External, so that a restart of the Hub restarts neither. No confirmation page: they are ours.
    """
    ports = {"usage": settings.ports.usage, "grader": settings.ports.grader}
    c.JupyterHub.services = [
        {
            "name": name,
            "url": f"http://127.0.0.1:{port}",
            "api_token": secrets.load(settings.state_dir, f"{name}-hub-token"),
            "oauth_client_id": f"service-{name}",
            "oauth_no_confirm": True,
            # As a path also where labs have names of their own: services stay on the main one.
            "oauth_redirect_uri": f"/services/{name}/oauth_callback",
            # A page's sign-in may read its own person, which tells the service who is an admin.
            "oauth_client_allowed_scopes": ["read:users!user"],
            "display": False,  # people reach them by our own navigation
        }
        for name, port in ports.items()
    ]
