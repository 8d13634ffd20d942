"""How passwords are kept: bcrypt, everywhere at the same cost."""

from __future__ import annotations

import bcrypt

_ROUNDS = 10
"""The least that OWASP's Password Storage Cheat Sheet allows. At 12 a class that signs up within
minutes keeps a core busy with nothing else; guessing is held off by the lockout as well.
The same for all, so that the time of an answer does not tell which accounts there are."""


def hashed(password: str) -> bytes:
    """The password as it is stored; takes some 60 ms of one core."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_ROUNDS))


def right(password: bytes, stored: bytes) -> bool:
    """True for the password that `stored` was made from; as slow as `hashed`."""
    return bcrypt.checkpw(password, stored)
