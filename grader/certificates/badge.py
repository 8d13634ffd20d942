"""A certificate as an Open Badges 3.0 credential: a verifiable credential, signed as a JWT.

The issuer is this platform; its profile, its public key and its list of revoked credentials lie at
public addresses, so that whoever holds the JWT can check it without asking anybody here. The
private key (RSA, because every Open Badges verifier knows RS256) is made when it is first needed
and stays in ``<state_dir>/secrets``.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import RSAKey

from core import i18n
from core.settings import Settings
from grader.models import Certificate

CONTEXT = [
    "https://www.w3.org/ns/credentials/v2",
    "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
]
_FILE = "badge-key.pem"
_LOCALE = Path(__file__).parents[1] / "locale"


def key(state_dir: Path) -> RSAKey:
    """The key that signs, made when it is missing."""
    path = state_dir / "secrets" / _FILE
    if not path.exists():
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    own = path.with_name(f"{_FILE}.{os.getpid()}")
    handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(RSAKey.generate_key(2048).as_pem(private=True))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(own, path)  # unless another process was faster
    except FileExistsError:
        pass
    finally:
        own.unlink()


@lru_cache(maxsize=4)
def _read(path: Path) -> RSAKey:
    return RSAKey.import_key(path.read_bytes())


def public_key(settings: Settings) -> dict[str, Any]:
    """The public half as a JWK, named by its thumbprint."""
    found = key(settings.state_dir)
    public: dict[str, Any] = dict(found.as_dict(private=False))
    return {**public, "kid": found.thumbprint(), "alg": "RS256", "use": "sig"}


def _address(settings: Settings, path: str) -> str:
    return f"{settings.public_url}/services/grader/{path}"


def issuer(settings: Settings) -> dict[str, Any]:
    """The issuer's profile."""
    return {
        "id": _address(settings, "badges/issuer"),
        "type": ["Profile"],
        "name": settings.site.name,
        "url": settings.public_url,
    }


def achievement(
    settings: Settings, course: str, titles: dict[str, Any], language: str
) -> dict[str, Any]:
    """What a badge of a course stands for."""
    title = _title(course, titles, language)
    _ = i18n.translations(_LOCALE, language).gettext
    return {
        "id": _address(settings, f"badges/courses/{course}"),
        "type": ["Achievement"],
        "achievementType": "Course",
        "name": title,
        "description": title,
        "inLanguage": language,
        "criteria": {
            "narrative": _(
                "Completed the course's graded assignments with the score that the course asks for."
            )
        },
        "image": {"id": _address(settings, "static/icon.svg"), "type": "Image", "caption": title},
    }


def credential(settings: Settings, certificate: Certificate, language: str) -> dict[str, Any]:
    """The credential, unsigned. It says the name, as the public page does; the account's name is
    only there as a salted hash."""
    salt = certificate.id
    hashed = sha256(f"{certificate.username}{salt}".encode()).hexdigest()
    account = {"hashed": True, "identityHash": f"sha256${hashed}", "salt": salt}
    name = {"hashed": False, "identityHash": certificate.name or certificate.username}
    return {
        "@context": CONTEXT,
        "id": _address(settings, f"certificates/{certificate.id}/badge"),
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "name": title_of(certificate, language),
        "issuer": issuer(settings),
        "validFrom": _stamp(certificate.issued_at),
        "credentialSubject": {
            "type": ["AchievementSubject"],
            "identifier": [
                {"type": "IdentityObject", "identityType": "userName", **account},
                {"type": "IdentityObject", "identityType": "name", **name},
            ],
            "achievement": achievement(settings, certificate.course, certificate.titles, language),
        },
        "credentialStatus": {
            "id": _address(settings, "badges/revoked"),
            "type": "1EdTechRevocationList",
        },
    }


def signed(settings: Settings, certificate: Certificate, language: str) -> str:
    """The credential as a compact JWT (Open Badges 3.0, 8.2: VC-JWT).

    `language` is the platform's own, not the reader's: a credential is the same for everybody.
    """
    body = credential(settings, certificate, language)
    issued = int(certificate.issued_at.timestamp())
    claims = {"iss": body["issuer"]["id"], "jti": body["id"], "nbf": issued, **body}
    where = _address(settings, f"badges/keys/{public_key(settings)['kid']}")
    head = {"alg": "RS256", "typ": "JWT", "kid": where}
    payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    return jws.serialize_compact(head, payload, key(settings.state_dir))


def revoked(settings: Settings, certificates: list[Certificate]) -> dict[str, Any]:
    """The list of revoked credentials (1EdTech Revocation List)."""
    return {
        "id": _address(settings, "badges/revoked"),
        "issuer": issuer(settings)["id"],
        "revokedCredential": [
            {
                "id": _address(settings, f"certificates/{one.id}/badge"),
                "revoked": True,
            }
            for one in certificates
        ],
    }


def title_of(certificate: Certificate, language: str) -> str:
    """The course's title as it was when the certificate was issued; its id when not known."""
    return _title(certificate.course, certificate.titles, language)


def _title(course: str, titles: dict[str, Any], language: str) -> str:
    return str(titles.get(language) or titles.get("en") or course)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
