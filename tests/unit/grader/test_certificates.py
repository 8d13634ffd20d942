"""Certificates as PDF and as Open Badges 3.0 credentials."""

from __future__ import annotations

import io
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import KeySet, RSAKey
from pypdf import PdfReader

from core.settings import ROOT, Settings
from grader.certificates import badge, paper
from grader.models import Certificate
from tests.grading import Service
from tests.platform import shared_node
from tests.unit.grader.test_marking import pages, post  # noqa: F401 (a fixture)
from web import assets, i18n

ISSUED = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
LOCALES = tuple(ROOT / room / "locale" for room in ("web", "grader"))


def certificate(**changed: object) -> Certificate:
    values = {
        "id": "unguessable-id", "course": "intro", "cohort": "autumn", "username": "minji",
        "name": "김민지", "titles": {"en": "Deep learning", "ko": "딥러닝 기초"}, "hours": 6.5,
        "percent": 92.0, "issued_at": ISSUED, "revoked_at": None, "revoked_by": "", **changed,
    }  # fmt: skip
    return Certificate(**values)


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    (tmp_path / "secrets").mkdir()
    return Settings(state_dir=tmp_path, site={"url": "https://labs.example.org"})  # type: ignore[arg-type]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with the fonts."""
    (tmp_path / "node").symlink_to(shared_node(Settings(state_dir=tmp_path)))
    return tmp_path


@pytest.mark.parametrize(
    ("language", "words"),
    [("ko", ["수료증", "김민지", "딥러닝 기초", "6.5시간", "2026. 11. 20."]),
     ("en", ["Certificate", "김민지", "Deep learning", "6.5 hours", "Nov 20, 2026"])],
)  # fmt: skip
def test_the_pdf_says_it_in_the_readers_language(
    language: str, words: list[str], state: Path
) -> None:
    i18n.use(language, LOCALES)
    address = "https://labs.example.org/services/grader/certificates/unguessable-id"
    made = [paper.make(certificate(), state, "DLI Labs", address, "Asia/Seoul") for _ in "ab"]
    assert made[0] == made[1]
    assert len(made[0]) < 80_000, "only the letters used are in the file"
    reader = PdfReader(io.BytesIO(made[0]))
    text = reader.pages[0].extract_text()
    assert len(reader.pages) == 1
    for word in [*words, "DLI Labs", address]:
        assert word in text


def test_long_names_and_titles_stay_on_the_page(state: Path) -> None:
    i18n.use("ko", LOCALES)
    title = {"ko": "아주 긴 이름을 가진 과정 " * 6}
    made = paper.make(
        certificate(name="이름" * 60, titles=title),
        state,
        "DLI Labs",
        "https://x.org",
        "Asia/Seoul",
    )
    assert len(PdfReader(io.BytesIO(made)).pages) == 1


def test_a_badge_is_signed_and_has_what_open_badges_3_asks_for(site: Settings) -> None:
    token = badge.signed(site, certificate(), "ko")
    public = badge.public_key(site)
    keys = KeySet.import_key_set({"keys": [public]})
    found = jws.deserialize_compact(token, RSAKey.import_key(public), algorithms=["RS256"])
    assert found.headers()["kid"].endswith(f"/badges/keys/{public['kid']}")
    assert keys.keys[0].thumbprint() == public["kid"]
    assert "d" not in public
    said = json.loads(found.payload)
    body = badge.credential(site, certificate(), "ko")
    assert {name: said[name] for name in body} == body
    assert (said["iss"], said["jti"], said["nbf"]) == (
        body["issuer"]["id"], body["id"], int(ISSUED.timestamp())
    )  # fmt: skip
    # Open Badges 3.0, B.1: what each of these must have
    assert body["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert {"VerifiableCredential", "OpenBadgeCredential"} <= set(body["type"])
    assert body["validFrom"] == "2026-11-20T03:00:00Z"
    assert {"id", "type", "name"} <= set(body["issuer"])
    subject = body["credentialSubject"]
    assert subject["type"] == ["AchievementSubject"]
    for one in subject["identifier"]:
        assert {"type", "hashed", "identityHash", "identityType"} <= set(one)
    assert {"id", "type", "name", "description", "criteria"} <= set(subject["achievement"])
    assert {"id", "type"} <= set(body["credentialStatus"])
    assert "minji" not in token + json.dumps(body), "the account is only there as a hash"


def test_the_signing_key_is_made_once_and_private(site: Settings) -> None:
    first = badge.key(site.state_dir).as_pem()
    file = site.state_dir / "secrets" / "badge-key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert badge.key(site.state_dir).as_pem() == first
    assert [f.name for f in file.parent.iterdir()] == ["badge-key.pem"]


def test_anybody_gets_them_until_they_are_revoked(pages: Service) -> None:  # noqa: F811
    desk = pages.app.state.desk
    given = certificate(id="open-to-all", course="c1", username="ada", name="")
    with desk.database.write() as session:
        session.add(given)
    http = httpx.Client(base_url=pages.url, trust_env=False, headers={"accept-language": "en"})
    page = http.get("/certificates/open-to-all").text
    assert "Certificate as PDF" in page
    token = http.get("/certificates/open-to-all/badge")
    head = jws.extract_compact(token.content).headers()
    assert token.headers["access-control-allow-origin"] == "*"
    key = RSAKey.import_key(http.get(f"/badges/keys/{head['kid'].rsplit('/', 1)[1]}").json())
    said = json.loads(jws.deserialize_compact(token.text, key, algorithms=["RS256"]).payload)
    assert said["issuer"] == http.get("/badges/issuer").json()
    what = http.get("/badges/courses/c1").json()
    assert what["id"] == said["credentialSubject"]["achievement"]["id"]
    assert http.get("/badges/keys").json()["keys"][0]["kid"] == key.thumbprint()
    assert http.get("/badges/keys/other").status_code == 404
    assert said["id"] not in http.get("/badges/revoked").text
    assert post(pages, "/certificates/open-to-all/revoke", "ines").status_code == 303
    listed = http.get("/badges/revoked").json()
    assert {"id": said["id"], "revoked": True} in listed["revokedCredential"]
    assert http.get("/certificates/open-to-all/badge").status_code == 410
    assert http.get("/certificates/open-to-all/pdf").status_code == 410


def test_a_font_that_is_missing_is_said(pages: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with pages.app.state.desk.database.write() as session:
        session.add(certificate(id="no-font", course="c1", username="bob"))

    def missing(*_: object) -> bytes:
        raise assets.AssetError("no font")

    monkeypatch.setattr(paper, "make", missing)
    answer = httpx.get(f"{pages.url}/certificates/no-font/pdf", trust_env=False)
    assert answer.status_code == 503
