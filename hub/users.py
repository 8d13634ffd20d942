"""Accounts made by an administrator: straight into the Hub's database.

Works before the Hub's first start and while it runs (SQLite lets one writer at a time in and the
other waits). The Hub reads accounts anew at every sign-in.
"""

from __future__ import annotations

from jupyterhub import orm, roles
from nativeauthenticator.orm import UserInfo
from sqlalchemy.orm import Session

from core.settings import Settings
from hub import passwords
from hub.signup import MOST_PASSWORD_BYTES
from hub.storage import database_url, folder

_WAIT_S = 30


def create_user(settings: Settings, username: str, password: str, admin: bool = False) -> None:
    """Create `username` with `password`, or give an existing account this password and rank.

    `username` must already be as the Hub writes names: lower case. Raises ValueError for one that
    is not, or for a password that bcrypt cannot hold.
    """
    if username != username.lower() or not username or "/" in username or " " in username:
        raise ValueError(f"user name {username!r}: use lower case, no blank and no '/'")
    if not password or len(password.encode()) > MOST_PASSWORD_BYTES:
        raise ValueError(f"password of {username!r}: use 1 to {MOST_PASSWORD_BYTES} bytes")
    secret = passwords.hashed(password)
    folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    sessions = orm.new_session_factory(
        database_url(settings), connect_args={"check_same_thread": False, "timeout": _WAIT_S}
    )
    with sessions() as db:
        _set_password(db, username, secret)
        _set_rank(db, username, admin)
        db.commit()
        db.get_bind().dispose()


def _set_password(db: Session, username: str, secret: bytes) -> None:
    account = UserInfo.find(db, username)
    if account is None:
        db.add(UserInfo(username=username, password=secret, is_authorized=True))
    else:
        account.password = secret
        account.is_authorized = True


def _set_rank(db: Session, username: str, admin: bool) -> None:
    user = orm.User.find(db, username)
    if user is None:
        if not admin:
            return  # the Hub makes the rest at the first sign-in
        user = orm.User(name=username, admin=True)
        db.add(user)
    user.admin = admin
    db.commit()
    if orm.Role.find(db, "admin") is not None:  # else the Hub's first start gives the roles
        roles.assign_default_roles(db, entity=user)
