"""Labs through a real Hub in real containers, and what happens when a part is missing."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from core.clock import boot_ms
from labs.held import started_ms
from tests.hub.docker_switch import DockerSwitch, docker_switch
from tests.hub.stack import CODE, COHORT, Stack, running_stack
from tests.platform import wait_for
from usage.client import Charge
from usage.hub import Hub

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def switch() -> Iterator[DockerSwitch]:
    with docker_switch() as found:
        yield found


@pytest.fixture(scope="module")
def stack(switch: DockerSwitch) -> Iterator[Stack]:
    with running_stack(switch.url, labs={"starts_at_once": 1}) as running:
        for name in ("kim", "lee", "choi"):
            running.add_person(name)
            running.sign_in(name)
        yield running


@pytest.fixture(autouse=True)
def _print_logs(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(stack.logs())
        stack.stop_all_labs()  # one failure must not become five


def charge_of(stack: Stack, lease_id: str) -> Charge:
    return next(c for c in stack.usage.charges(COHORT) if c.lease_id == lease_id)


def open_leases(stack: Stack) -> list[Charge]:
    return [c for c in stack.usage.charges(COHORT) if c.state != "ended"]


def test_a_lab_without_gpu_is_closed_in_and_costs_nothing(stack: Stack) -> None:
    container = stack.run_lab("kim", "none")
    found = stack.docker.api.inspect_container(container.id)
    host, config = found["HostConfig"], found["Config"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] is True
    assert host["MemorySwap"] == host["Memory"] == stack.settings.labs.memory_mb << 20
    assert config["User"] == "1000:1000"
    assert "NVIDIA_VISIBLE_DEVICES=void" in config["Env"]
    assert found["Args"][:3] == ["-k", "30", "14400"], "PID 1 holds the deadline"
    assert [m["Destination"] for m in found["Mounts"] if m["RW"]] == ["/home/learner"]
    secret = config["Env"] + [str(found["Mounts"])]
    assert not [word for word in secret if "key-" in word or "secrets" in word]
    tried = "touch /x 2>&- || id -u; touch ~/kept && echo ok"
    assert container.exec_run(["sh", "-c", tried]).output.decode().split() == ["1000", "ok"]
    stack.stop_lab("kim")
    assert stack.container("kim") is None
    assert stack.usage.charges(COHORT) == []
    again = stack.run_lab("kim", "none")
    assert again.exec_run(["ls", "/home/learner/kept"]).exit_code == 0, "home is kept"
    stack.stop_lab("kim")


def test_a_deleted_person_leaves_no_account_and_no_home(stack: Stack) -> None:
    stack.add_person("gone")
    stack.sign_in("gone")
    stack.run_lab("gone", "none")
    stack.stop_lab("gone")
    home = f"{stack.settings.instance}-home-gone"
    assert stack.docker.volumes.list(filters={"name": home})

    async def delete() -> None:
        hub = Hub(stack.settings)
        await hub.delete("gone")
        await hub.delete("gone")  # again is harmless
        await hub.close()

    asyncio.run(delete())
    assert not stack.docker.volumes.list(filters={"name": home})
    assert stack.usage.enrolments("gone"), "what the usage service knows goes by its own step"
    with pytest.raises(AssertionError):
        stack.sign_in("gone")
    del stack.passwords["gone"]


def test_a_gpu_lab_is_leased_charged_and_settled_to_the_time_it_was_held(stack: Stack) -> None:
    container = stack.run_lab("kim", "required", "yes")
    labels = container.labels
    assert (labels["dli.user"], labels["dli.course"], labels["dli.lab"]) == (
        "kim", "tiny", "required",
    )  # fmt: skip
    (lease,) = open_leases(stack)
    assert (lease.lease_id, lease.state) == (labels["dli.lease"], "active")
    env = stack.docker.api.inspect_container(container.id)["Config"]["Env"]
    assert "DLI_SIMULATED_GPU=1" in env
    assert f"DLI_LEASE={lease.lease_id}" in env
    # The first process begins between "created" and what Docker calls "started".
    created = datetime.fromisoformat(container.attrs["Created"][:26] + "+00:00")
    stack.stop_lab("kim")
    ended = datetime.now(UTC)
    charge = charge_of(stack, lease.lease_id)
    assert (charge.state, charge.reason, charge.overrun) == ("ended", "stopped", 0)
    assert 0 < charge.held_ms <= (ended - created).total_seconds() * 1000 + 50
    assert charge.charged == charge.held_ms * 120, "one of seven slices weighs 120/840"
    assert stack.usage.budget(COHORT).reserved == 0


def test_labs_start_in_turns(stack: Stack) -> None:
    last = stack.sign_in("choi")
    for name in ("kim", "lee", "choi"):
        assert stack.ask(name, "optional", "yes").status_code in (201, 202)
    told = last.get("/hub/api/users/choi/server/progress").text
    assert "Your place in line: " in told
    assert told.index("place in line") < told.index("Starting JupyterLab"), "then its turn came"
    assert '"ready": true' in told
    for name in ("kim", "lee", "choi"):
        stack.wait_for_lab(name)
        stack.stop_lab(name)


def test_wrong_orders_are_refused_in_a_sentence(stack: Stack) -> None:
    assert "There is no course nosuch." in stack.refusal("lee", "none", course="nosuch")
    assert "has no lab nosuch." in stack.refusal("lee", "nosuch")
    assert "GPU가 필요합니다" in stack.refusal("lee", "required", language="ko")
    assert stack.container("lee") is None


def test_somebody_outside_the_cohort_gets_no_lab(stack: Stack) -> None:
    stack.add_person("park", enrol=False)
    assert "You are not in a cohort" in stack.refusal("park", "none")
    assert stack.refusal("park", "optional", "yes")
    assert stack.container("park") is None
    assert open_leases(stack) == []


def test_without_the_usage_service_gpu_labs_are_refused_and_cpu_labs_start(stack: Stack) -> None:
    person = stack.sign_in("lee")
    stack.stop("usage")
    try:
        assert stack.ask("lee", "optional", "yes").status_code in (201, 202)
        wait_for("the refusal", lambda: not stack.server("lee").get("pending"))
        page = person.get("/hub/spawn-pending/lee")
        assert page.status_code == 503
        assert "please start this lab without a GPU" in page.text
        assert stack.container("lee") is None
        container = stack.run_lab("lee", "optional", "no")
        assert "dli.lease" not in container.labels
        stack.stop_lab("lee")
    finally:
        stack.start("usage")
        stack.wait_for_usage()
    assert open_leases(stack) == []


def test_without_docker_a_start_is_refused_and_nothing_is_charged(
    stack: Stack, switch: DockerSwitch
) -> None:
    running = stack.run_lab("kim", "none")
    before = stack.usage.charges(COHORT)
    switch.off()
    try:
        for gpu in ("no", "yes"):
            text = stack.refusal("lee", "optional", gpu)
            assert "The machine that runs the labs does not answer" in text
            assert "Nothing was charged." in text
        assert stack.server("kim")["ready"], "no answer from Docker is not the end of a lab"
    finally:
        switch.on()
    assert open_leases(stack) == []
    assert stack.usage.charges(COHORT) == before, "not even reserved"
    assert stack.container("kim").id == running.id
    stack.stop_lab("kim")
    stack.run_lab("lee", "optional", "yes")
    stack.stop_lab("lee")


def test_a_missing_image_gives_the_lease_back_uncharged(stack: Stack) -> None:
    text = stack.refusal("lee", "optional", "yes", course="gone")
    assert "is not installed on this machine" in text
    newest = stack.usage.charges(COHORT)[0]
    assert (newest.username, newest.state, newest.charged) == ("lee", "ended", 0)
    assert stack.container("lee") is None


def test_a_killed_hub_comes_back_to_a_lab_that_ran_on(stack: Stack) -> None:
    person = stack.sign_in("choi")
    container = stack.run_lab("choi", "required", "yes")
    lease_id = container.labels["dli.lease"]
    assert person.lab("choi", "api/status").status_code == 200
    stack.stop("hub", signal.SIGKILL)
    response = person.get("/user/choi/api")
    assert response.status_code == 200, "the lab answers while the Hub is gone"
    stack.start("hub")
    stack.wait_for_hub()
    wait_for("the lab in the new Hub", lambda: stack.server("choi").get("ready"))
    assert stack.container("choi").id == container.id
    assert person.lab("choi", "api/status").status_code == 200, "nobody has to sign in again"
    stack.stop_lab("choi")
    charges = [c for c in stack.usage.charges(COHORT) if c.lease_id == lease_id]
    assert [c.reason for c in charges] == ["stopped"], "neither lost nor doubled"
    assert charges[0].charged == charges[0].held_ms * 120


def test_a_hub_killed_during_a_start_leaves_nothing_unwatched(stack: Stack) -> None:
    """A lab's server ends itself when it finds no Hub, so both outcomes are right: it runs and the
    new Hub knows it, or it is over and its lease is closed."""
    stack.ask("choi", "required", "yes").raise_for_status()
    container = wait_for("a container", lambda: stack.container("choi"))
    wait_for("its start", lambda: stack.container("choi").status != "created")
    stack.stop("hub", signal.SIGKILL)
    stack.start("hub")
    stack.wait_for_hub()
    ready = wait_for(
        "the lab in the new Hub, or its end",
        lambda: stack.server("choi").get("ready") or (not open_leases(stack) and "over"),
    )
    if ready is True:
        assert stack.container("choi").id == container.id
        stack.stop_lab("choi")
    assert open_leases(stack) == []


def test_a_lab_that_ends_by_itself_is_cleared_away_and_settled(stack: Stack) -> None:
    container = stack.run_lab("kim", "required", "yes")
    lease_id = container.labels["dli.lease"]
    container.kill()
    wait_for("the end", lambda: charge_of(stack, lease_id).state == "ended")
    wait_for("removal", lambda: stack.container("kim") is None)
    assert charge_of(stack, lease_id).charged > 0


def test_a_class_is_started_before_it_comes_and_returned_when_it_does_not(stack: Stack) -> None:
    names = ("kim", "lee", "choi")
    ask = stack.usage.prestart(COHORT, "tiny", "optional")
    for name in names:
        wait_for(f"the lab of {name}", lambda name=name: stack.server(name).get("ready"))
    assert ask == stack.usage.prestarts(COHORT)[0]["id"]
    assert {c.labels["dli.lab"] for c in map(stack.container, names)} == {"optional"}
    assert stack.usage.cancel_prestart(COHORT) >= len(names)
    for name in names:
        wait_for("its return", lambda name=name: not stack.server(name))
    wait_for("the end of the leases", lambda: open_leases(stack) == [])
    unused = [c for c in stack.usage.charges(COHORT) if c.reason == "unused"]
    assert sorted(c.username for c in unused) == sorted(names)
    assert {c.charged for c in unused} == {0}, "nobody opened them: free"
    assert all(c.held_ms > 0 for c in unused)


def test_an_event_code_makes_an_account_that_can_start_a_lab(stack: Stack) -> None:
    form = {
        "username": "minji", "name": "김민지", "email": "minji@example.com",
        "password": "correct horse", "password_again": "correct horse", "consent": "course",
    }  # fmt: skip
    visitor = stack.visitor()
    page = visitor.submit("/hub/signup", {**form, "code": "WRONG-CODE"}, "signup")
    assert page.status_code == 400
    assert 'value="minji"' in page.text, "what was typed is kept"
    assert "correct horse" not in page.text
    page = visitor.submit(f"/hub/signup?code={CODE}", form, "signup")
    assert str(page.url).endswith("/services/usage/"), page.text
    assert [e.cohort for e in stack.usage.enrolments("minji")] == [COHORT]
    stack.run_lab("minji", "none")
    stack.stop_lab("minji")
    again = stack.visitor().submit("/hub/signup", {**form, "code": CODE}, "signup")
    assert "already taken" in again.text


def test_sign_up_without_the_usage_service_writes_nothing(stack: Stack) -> None:
    form = {
        "code": CODE, "username": "hana", "name": "Hana", "email": "hana@example.com",
        "password": "correct horse", "password_again": "correct horse", "consent": "course",
    }  # fmt: skip
    stack.stop("usage")
    try:
        page = stack.visitor().submit("/hub/signup", form, "signup")
        assert page.status_code == 503
        assert "Nothing was saved." in page.text
    finally:
        stack.start("usage")
        stack.wait_for_usage()
    page = stack.visitor().submit("/hub/signup", form, "signup")
    assert str(page.url).endswith("/services/usage/"), "the name is free and the seat too"


def test_wrong_passwords_lock_the_account_for_a_while(stack: Stack) -> None:
    stack.add_person("slow")
    for _ in range(5):
        page = stack.visitor().submit(
            "/hub/login", {"username": "slow", "password": "wrong"}, "login"
        )
        assert page.status_code == 403
    page = stack.visitor().submit(
        "/hub/login", {"username": "slow", "password": stack.passwords["slow"]}, "login"
    )
    assert "Too many failed attempts" in page.text


def test_pages_that_change_accounts_by_a_link_are_gone(stack: Stack) -> None:
    person = stack.sign_in("kim")
    for path in ("/hub/authorize", "/hub/authorize/kim", "/hub/discard/kim"):
        assert person.get(path).status_code == 404


def test_the_agent_ends_a_lab_at_its_grant_when_the_usage_service_is_gone(stack: Stack) -> None:
    container = stack.run_lab("kim", "required", "yes")
    file = stack.settings.state_dir / "run" / "agent.json"
    wait_for("the agent's note", lambda: container.labels["dli.lease"] in file.read_text())
    stack.stop("usage")
    stack.stop("agent")
    try:
        began = time.monotonic()
        started = started_ms(container.attrs["State"]["Pid"])
        assert started is not None
        order = f'"grant_ms": {boot_ms() - started + 5000}'
        text = file.read_text()
        file.write_text(text.replace('"grant_ms": 300000', order))
        assert order in file.read_text()
        stack.start("agent")
        wait_for("the kill", lambda: stack.container_state("kim") != "running")
        assert time.monotonic() - began > 4.5, "not before its grant was used"
    finally:
        stack.start("usage")
        stack.wait_for_usage()
    wait_for("the end of the lease", lambda: open_leases(stack) == [])
    wait_for("removal", lambda: stack.container("kim") is None)
