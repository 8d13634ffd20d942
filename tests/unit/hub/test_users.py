"""Accounts made by `./dli`, before the Hub's first start and beside a running one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from jupyterhub import orm
from nativeauthenticator.orm import UserInfo
from sqlalchemy.orm import Session

from core.settings import Settings
from hub.signin import EventCodeAuthenticator
from hub.storage import database_url
from hub.users import create_user


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state" / "hub").mkdir(parents=True)
    return Settings(state_dir=tmp_path / "state")


def session(settings: Settings) -> Session:
    made: Session = orm.new_session_factory(database_url(settings))()
    return made


def sign_in(settings: Settings, username: str, password: str) -> str | None:
    with session(settings) as db:
        authenticator = EventCodeAuthenticator(
            db=db, allowed_failed_logins=5, seconds_before_next_try=300
        )
        data = {"username": username, "password": password}
        return asyncio.run(authenticator.authenticate(None, data))


def test_a_person_can_sign_in_and_a_new_password_replaces_the_old(settings: Settings) -> None:
    create_user(settings, "kim", "first password")
    assert sign_in(settings, "kim", "first password") == "kim"
    assert sign_in(settings, "KIM", "first password") == "kim"
    create_user(settings, "kim", "second password")
    assert sign_in(settings, "kim", "first password") is None
    assert sign_in(settings, "kim", "second password") == "kim"
    with session(settings) as db:
        assert len(UserInfo.all_users(db)) == 1


def test_an_admin_is_known_to_the_hub_as_one(settings: Settings) -> None:
    create_user(settings, "boss", "a good password", admin=True)
    with session(settings) as db:
        assert orm.User.find(db, "boss").admin is True
        assert orm.User.find(db, "kim") is None
    create_user(settings, "boss", "a good password", admin=False)
    with session(settings) as db:
        assert orm.User.find(db, "boss").admin is False


@pytest.mark.parametrize("name", ["", "Kim", "a b", "a/b"])
def test_a_wrong_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        create_user(settings, name, "a good password")


@pytest.mark.parametrize("password", ["", "가" * 25])
def test_a_wrong_password_is_refused(settings: Settings, password: str) -> None:
    with pytest.raises(ValueError, match="1 to 72 bytes"):
        create_user(settings, "kim", password)


def test_lockout_counts_unknown_names_too(settings: Settings) -> None:
    create_user(settings, "kim", "first password")
    with session(settings) as db:
        authenticator = EventCodeAuthenticator(
            db=db, allowed_failed_logins=3, seconds_before_next_try=300
        )

        def attempt(name: str, password: str) -> str | None:
            data = {"username": name, "password": password}
            return asyncio.run(authenticator.authenticate(None, data))

        for name in ("kim", "nobody"):
            for _ in range(3):
                assert attempt(name, "wrong") is None
            assert authenticator.attempts.blocked_s(name) > 0
        assert attempt("kim", "first password") is None, "blocked although now right"


@pytest.mark.parametrize(
    "data", [{}, {"username": "kim"}, {"username": "k" * 10**6, "password": "x"},
             {"username": "kim", "password": "x" * 10**6}],
)  # fmt: skip
def test_odd_sign_ins_are_refused_without_an_error(
    settings: Settings, data: dict[str, str]
) -> None:
    with session(settings) as db:
        authenticator = EventCodeAuthenticator(
            db=db, allowed_failed_logins=3, seconds_before_next_try=300
        )
        assert asyncio.run(authenticator.authenticate(None, data)) is None
