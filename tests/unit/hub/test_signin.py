"""Accounts with event codes: who can sign in, which names are in use, which passwords are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyterhub import orm

from core.settings import Settings
from hub import passwords
from hub.signin import EventCodeAuthenticator
from hub.signup import Form
from hub.storage import database_url
from hub.users import create_user

PASSWORD = "correct horse"
FORM = Form("AUTUMN", "minji", "김민지", "minji@example.com", PASSWORD, PASSWORD, "1", ())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state" / "hub").mkdir(parents=True)
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def accounts(settings: Settings) -> Iterator[EventCodeAuthenticator]:
    create_user(settings, "kim", PASSWORD)
    with orm.new_session_factory(database_url(settings))() as db:
        yield EventCodeAuthenticator(
            db=db,
            admin_users={"boss"},
            check_common_password=True,
            allowed_failed_logins=3,
            seconds_before_next_try=300,
        )


def sign_in(accounts: EventCodeAuthenticator, name: str, password: str) -> str | None:
    return asyncio.run(accounts.authenticate(None, {"username": name, "password": password}))


def test_an_account_without_a_seat_cannot_sign_in(accounts: EventCodeAuthenticator) -> None:
    """A sign-up that broke off between the account and the seat leaves nobody who is let in."""
    accounts.add(FORM, passwords.hashed(PASSWORD))
    assert sign_in(accounts, "minji", PASSWORD) is None
    assert not accounts.known("minji"), "the name can be signed up again"
    accounts.authorise("minji")
    assert sign_in(accounts, "minji", PASSWORD) == "minji"
    assert accounts.known("minji")


def test_names_of_admins_and_of_people_at_the_hub_are_in_use(
    accounts: EventCodeAuthenticator,
) -> None:
    """Else a code would make somebody the admin that the settings name."""
    accounts.db.add(orm.User(name="lee"))
    accounts.db.commit()
    known = {name: accounts.known(name) for name in ("boss", "lee", "kim", "nobody")}
    assert known == {"boss": True, "lee": True, "kim": True, "nobody": False}


def test_the_lockout_does_not_depend_on_how_a_name_is_typed(
    accounts: EventCodeAuthenticator,
) -> None:
    for name in ("Kim", "kim", "KIM"):
        assert sign_in(accounts, name, "wrong") is None
    for name in ("kim", "Kim", "KIM", "kIM"):
        assert sign_in(accounts, name, PASSWORD) is None


@pytest.mark.parametrize("new", ["short", "가" * 25, "1234567890"])
def test_a_password_is_not_changed_to_a_weak_one(
    accounts: EventCodeAuthenticator, new: str
) -> None:
    assert accounts.change_password("kim", new) is False
    assert sign_in(accounts, "kim", PASSWORD) == "kim"


def test_a_password_is_changed_for_a_good_one(accounts: EventCodeAuthenticator) -> None:
    assert accounts.change_password("nobody", "another good one") is False
    assert accounts.change_password("kim", "another good one") is True
    assert sign_in(accounts, "kim", PASSWORD) is None
    assert sign_in(accounts, "kim", "another good one") == "kim"
