"""What the usage service is told about everybody's coursework."""

from __future__ import annotations

import json

import httpx

from core import secrets
from grader.exchange import archive
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_exchange import NoSandbox


def test_who_fetched_and_submitted(service: Service) -> None:
    service.client("ines").act("c1", "sums", "publish")
    while service.worker(NoSandbox()).step():
        pass
    ada = service.client("ada")
    ada.release("c1", "sums")
    service.client("bob").release("c1", "sums")
    data = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
    receipt = ada.submit("c1", "sums", data)
    url = f"{service.url}/api/internal/courses/c1/progress"
    key = secrets.load(service.settings.state_dir, "key-usage")
    answer = httpx.get(
        url, params={"cohort": "autumn"}, headers={"Authorization": f"Bearer {key}"}
    ).json()
    assert answer["assignments"] == ["sums"]
    assert set(answer["people"]) == {"ada", "bob"}
    assert answer["people"]["ada"]["sums"]["submission"] == receipt.id
    assert answer["people"]["ada"]["sums"]["state"] == "grading"
    assert set(answer["people"]["bob"]["sums"]) == {"fetched"}
    for name in ("key-cli", "key-worker"):
        other = secrets.load(service.settings.state_dir, name)
        refused = httpx.get(
            url, params={"cohort": "autumn"}, headers={"Authorization": f"Bearer {other}"}
        )
        assert refused.status_code == 401
