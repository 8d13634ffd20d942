"""What the runner lets the Hub make: an honest lab passes, every other shape is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.types import HostConfig
from docker.types.containers import ContainerConfig

from core.wire import Lease
from labs.containers import Plan, plan
from labs.runner import rules
from labs.runner.calls import Kind, read
from labs.runner.rules import Forbidden, Policy
from tests.unit.labs.things import SETTINGS, course, lab, lease, slot

POLICY = Policy.of(SETTINGS)
Change = Callable[[dict[str, Any]], None]


def body_of(made: Plan) -> dict[str, Any]:
    """What docker-py sends for a plan."""
    body = ContainerConfig(
        "1.41",
        image=made.image,
        command=["start-lab", "--port=8888"],
        entrypoint=made.entrypoint,
        environment={"JUPYTERHUB_API_TOKEN": "own", **made.environment},
        user=made.user,
        working_dir=made.working_dir,
        labels=made.labels,
        host_config=HostConfig("1.41", **made.host_config),
    )
    return copy.deepcopy(dict(body))


def honest(held: Lease | None = None) -> dict[str, Any]:
    """A create as our spawner sends it, for kim."""
    return body_of(plan(held, course(), lab(), "kim", "ko", "172.30.0.1", SETTINGS))


GPU = lease(slot("GPU-1"))
SIMULATED = lease(slot("SIM-1", simulated=True))


@pytest.mark.parametrize("held", [None, GPU, SIMULATED], ids=["cpu", "gpu", "simulated"])
def test_an_honest_create_passes_with_nothing_lost(held: Lease | None) -> None:
    sent = honest(held)
    assert rules.lease_named(sent) == (held.id if held else "")
    passed = rules.container(sent, "t-lab-kim", POLICY, held)
    host = {k: v for k, v in sent["HostConfig"].items() if v}
    assert {k: v for k, v in passed["HostConfig"].items() if v} == host
    for key in ("Image", "User", "WorkingDir", "Entrypoint", "Cmd", "Env", "Labels"):
        assert passed[key] == sent[key]


def _host(**more: Any) -> Change:
    return lambda body: body["HostConfig"].update(more)


def _top(**more: Any) -> Change:
    return lambda body: body.update(more)


def _label(**more: str) -> Change:
    return lambda body: body["Labels"].update({f"dli.{k}": v for k, v in more.items()})


def _without(key: str) -> Change:
    return lambda body: body["HostConfig"].pop(key)


def _mount(at: int, **more: Any) -> Change:
    return lambda body: body["HostConfig"]["Mounts"][at].update(more)


def _more_mounts(*mounts: dict[str, Any]) -> Change:
    return lambda body: body["HostConfig"]["Mounts"].extend(mounts)


def _env(*words: str) -> Change:
    return lambda body: body["Env"].extend(words)


ROOT = {"Type": "bind", "Source": "/", "Target": "/host", "ReadOnly": True}
DEVICE = {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}
REQUEST = {"Driver": "", "DeviceIDs": ["GPU-1"], "Count": 0, "Capabilities": [["gpu"]],
           "Options": {}}  # fmt: skip
FORBIDDEN: dict[str, Change] = {
    "privileged": _host(Privileged=True),
    "privileged in small letters": _host(privileged=True),
    "a second HostConfig in small letters": _top(hostconfig={"Privileged": True}),
    "a capability": _host(CapAdd=["SYS_ADMIN"]),
    "fewer capabilities dropped": _host(CapDrop=["NET_RAW"]),
    "no capability dropped": _without("CapDrop"),
    "another seccomp profile": _host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"]),
    "no AppArmor": _host(SecurityOpt=["apparmor=unconfined"]),
    "new privileges": _without("SecurityOpt"),
    "a writable root": _host(ReadonlyRootfs=False),
    "a root that says 1": _host(ReadonlyRootfs=1),
    "a device": _host(Devices=[DEVICE]),
    "a device rule": _host(DeviceCgroupRules=["a *:* rwm"]),
    "a GPU without a lease": _host(DeviceRequests=[REQUEST]),
    "every GPU": _host(DeviceRequests=[REQUEST | {"DeviceIDs": [], "Count": -1}]),
    "a bind of the root": _host(Binds=["/:/host:ro"]),
    "a bind of Docker's socket": _host(Binds=["/var/run/docker.sock:/d"]),
    "a mount of the root": _more_mounts(ROOT),
    "the root as course": _mount(1, Source="/"),
    "a course by ..": _mount(1, Source="/state/materials/intro/../../secrets"),
    "a course's neighbour": _mount(1, Source="/state/materials/intro/ko/../../../secrets"),
    "another folder of ours": _mount(1, Source="/state/secrets/intro/ko"),
    "a course in no language": _mount(1, Source="/state/materials/intro/xx"),
    "a folder that is no course": _mount(1, Source="/state/materials/.hidden/ko"),
    "all courses": _mount(1, Source="/state/materials"),
    "a writable course": _mount(1, ReadOnly=False),
    "a shared course": _mount(1, BindOptions={"Propagation": "rshared"}),
    "another's home": _mount(0, Source="t-home-lee"),
    "a foreign volume": _mount(0, Source="postgres-data"),
    "a volume with options": _mount(0, VolumeOptions={"DriverConfig": {"Options": {"o": "bind"}}}),
    "a host path as home": _mount(0, Type="bind", Source="/home"),
    "another's volumes": _host(VolumesFrom=["postgres"]),
    "a volume by the image's name": _top(Volumes={"/host": {}}),
    "the host's network": _host(NetworkMode="host"),
    "Docker's bridge": _host(NetworkMode="bridge"),
    "another container's network": _host(NetworkMode="container:proxy"),
    "a second network": _top(NetworkingConfig={"EndpointsConfig": {"bridge": {}}}),
    "a name server": _host(Dns=["8.8.8.8"]),
    "a host entry": _host(ExtraHosts=["hub:10.0.0.1"]),
    "a published port": _host(PortBindings={"8888/tcp": [{"HostPort": "80"}]}),
    "the host's processes": _host(PidMode="host"),
    "the host's IPC": _host(IpcMode="host"),
    "the host's users": _host(UsernsMode="host"),
    "the host's names": _host(UTSMode="host"),
    "the host's cgroups": _host(CgroupnsMode="host"),
    "a cgroup parent": _host(CgroupParent="/"),
    "a sysctl": _host(Sysctls={"kernel.shm_rmid_forced": "1"}),
    "a ulimit": _host(Ulimits=[{"Name": "core", "Soft": -1, "Hard": -1}]),
    "another runtime": _host(Runtime="nvidia"),
    "nothing masked": _host(MaskedPaths=["/none"]),
    "no memory limit": _without("Memory"),
    "more memory": _host(Memory=8 << 30, MemorySwap=8 << 30),
    "swap": _host(MemorySwap=-1),
    "swap beside little memory": _host(Memory=64 << 20),
    "no end of processes": _host(PidsLimit=-1),
    "more CPU": _host(NanoCpus=64 * 10**9),
    "safe from the kernel's killer": _host(OomScoreAdj=-1000),
    "an endless log": _host(LogConfig={"Type": "json-file", "Config": {}}),
    "a log elsewhere": _host(LogConfig={"Type": "syslog", "Config": {"syslog-address": "x"}}),
    "a restart for ever": _host(RestartPolicy={"Name": "always"}),
    "a device in a tmpfs": _host(Tmpfs={"/tmp": "rw,exec,dev,suid"}),
    "root": _top(User="0:0"),
    "root by name": _top(User="root"),
    "another image": _top(Image="debian:latest"),
    "the sandbox's image": _top(Image="dli/sandbox:latest"),
    "no deadline": _top(Entrypoint=["start-lab"]),
    "a late deadline": _top(Entrypoint=["timeout", "-k", "30", "99999999"]),
    "a deadline of none": _top(Entrypoint=["timeout", "-k", "30", "0"]),
    "a health check": _top(Healthcheck={"Test": ["CMD", "true"]}),
    "a terminal": _top(Tty=True),
    "every GPU by a variable": _env("NVIDIA_VISIBLE_DEVICES=all"),
    "a channel by a variable": _env("NVIDIA_IMEX_CHANNELS=0"),
    "another program as the deadline": _env("PATH=/home/learner/bin"),
    "no program at all": _env("PATH"),
    "code into the first process": _env("LD_PRELOAD=/home/learner/x.so"),
    "the same in small letters": _env("ld_preload=/home/learner/x.so"),
    "a setting of the C library": _env("GLIBC_TUNABLES=glibc.malloc.check=1"),
    "a grant without a lease": lambda body: body["Labels"].update({"dli.grant-ms": "1"}),
    "a grant that is no number": lambda body: body["Labels"].update({"dli.grant-ms": "x"}),
    "a label that no lab has": lambda body: body["Labels"].update({"dli.until": "0"}),
    "another instance": _label(instance="other"),
    "another kind": _label(kind="grading"),
    "a label of others": lambda body: body["Labels"].update({"traefik.enable": "true"}),
    "another's name": _label(user="lee"),
    "no labels": _top(Labels=None),
    "no host part": _top(HostConfig=None),
}  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_body_is_refused(name: str) -> None:
    body = honest()
    FORBIDDEN[name](body)
    with pytest.raises(Forbidden):
        rules.container(body, "t-lab-kim", POLICY, None)


@pytest.mark.parametrize(
    ("change", "held"),
    [
        (_host(DeviceRequests=[REQUEST | {"DeviceIDs": ["GPU-2"]}]), GPU),
        (_host(DeviceRequests=[REQUEST | {"DeviceIDs": ["GPU-1", "GPU-2"]}]), GPU),
        (_host(DeviceRequests=[REQUEST, REQUEST | {"DeviceIDs": ["GPU-2"]}]), GPU),
        (_host(DeviceRequests=[REQUEST | {"Driver": "cdi"}]), GPU),
        (_host(DeviceRequests=[REQUEST | {"Count": -1}]), GPU),
        (_env("NVIDIA_VISIBLE_DEVICES=all"), GPU),
        (_top(), replace(GPU, username="lee")),
        (_top(), replace(GPU, id="lease-2")),
        (_top(), replace(GPU, state="ended")),
        (_host(DeviceRequests=[REQUEST]), SIMULATED),
        (lambda body: body["Labels"].update({"dli.grant-ms": "999999999"}), GPU),
        (lambda body: body["Labels"].update({"dli.grant-ms": "-1"}), GPU),
        (lambda body: body["Labels"].update({"dli.grant-ms": "soon"}), GPU),
    ],
    ids=["another GPU", "one more", "two requests", "a driver", "count", "a variable",
         "another's lease", "another lease", "an ended lease", "a simulated GPU", "a longer grant",
         "a negative grant", "a grant that blinds the agent"],
)  # fmt: skip
def test_no_more_gpu_than_leased(change: Change, held: Lease) -> None:
    body = honest(held if held.slots[0].simulated else GPU)
    change(body)
    with pytest.raises(Forbidden):
        rules.container(body, "t-lab-kim", POLICY, held)


@pytest.mark.parametrize("name", ["", "t-lab-lee", "other-lab-kim", "kim"])
def test_the_name_is_the_persons(name: str) -> None:
    with pytest.raises(Forbidden):
        rules.container(honest(), name, POLICY, None)


@pytest.mark.parametrize("body", [None, [], "x", 1, {}, {"HostConfig": []}])
def test_no_shape_of_body_breaks_the_rules(body: Any) -> None:
    with pytest.raises(Forbidden):
        rules.container(body, "t-lab-kim", POLICY, None)


def test_empty_names_in_other_letters_are_not_passed_on() -> None:
    """Docker reads ``hostconfig: null`` as "no HostConfig" and would forget the good one."""
    body = honest() | {"hostconfig": None, "HOSTCONFIG": {}}
    body["HostConfig"] |= {"capdrop": None, "Capdrop": [], "binds": []}
    passed = rules.container(body, "t-lab-kim", POLICY, None)
    assert "hostconfig" not in passed
    assert "HOSTCONFIG" not in passed
    assert not {"capdrop", "Capdrop", "binds"} & set(passed["HostConfig"])


HOME = {
    "Name": "t-home-kim",
    "Driver": None,
    "DriverOpts": None,
    "Labels": {"dli.instance": "t", "dli.kind": "home", "dli.user": "kim"},
}


def test_a_home_may_be_made_and_nothing_else() -> None:
    assert rules.volume(HOME, POLICY)["Name"] == "t-home-kim"
    for change in (
        {"DriverOpts": {"type": "none", "o": "bind", "device": "/"}},
        {"driveropts": {"o": "bind"}},
        {"Driver": "nfs"},
        {"Name": "t-home-lee"},
        {"Name": "postgres"},
        {"Labels": {}},
        {"Labels": HOME["Labels"] | {"more": "x"}},
        {"ClusterVolumeSpec": {"Group": "x"}},
    ):
        with pytest.raises(Forbidden):
            rules.volume(HOME | change, POLICY)


@pytest.mark.parametrize(
    "call",
    [
        "GET /containers/json", "GET /v1.41/containers/json?all=1", "POST /build", "GET /info",
        "POST /images/create?fromImage=x", "POST /images/load", "DELETE /images/dli/lab-cpu",
        "POST /containers/abc/exec", "POST /exec/abc/start", "POST /containers/abc/attach",
        "PUT /containers/abc/archive?path=/", "GET /containers/abc/archive?path=/etc/shadow",
        "POST /containers/abc/update", "POST /containers/abc/rename?name=x", "POST /commit",
        "POST /containers/prune", "GET /containers/abc/export", "POST /networks/create",
        "POST /networks/t-labs/connect", "DELETE /networks/t-labs", "DELETE /volumes",
        "POST /volumes/prune", "GET /secrets", "POST /swarm/init", "POST /plugins/pull",
        "GET /events", "GET /system/df", "POST /session", "POST /grpc", "POST /auth",
        "GET /v1.41/../containers/json", "GET /containers/../info", "GET //info",
        "POST /containers/create?name=t-lab-kim&platform=x", "POST /containers/a%2Fb/start",
        "DELETE /containers/abc?force=1&extra=1", "GET /v1.41/containers/a/b/json",
        "POST /containers/abc/kill?signal=9%0d%0aX", "CONNECT /containers/abc/json",
    ],
)  # fmt: skip
def test_other_calls_are_refused(call: str) -> None:
    from yarl import URL

    method, _space, target = call.partition(" ")
    url = URL("http://docker" + target)
    with pytest.raises(Forbidden):
        read(method, url.path, dict(url.query))


def test_a_call_is_put_together_anew() -> None:
    call = read("GET", "/v1.41/images/dli/lab-cpu:latest/json", {})
    assert (call.kind, call.name) == (Kind.IMAGE, "dli/lab-cpu:latest")
    assert call.target() == "/v1.41/images/dli/lab-cpu:latest/json"
    call = read("DELETE", "/v1.41/containers/abc", {"force": "True", "v": "True", "link": "False"})
    assert call.target("f" * 64) == f"/v1.41/containers/{'f' * 64}?force=True&v=True&link=False"
    assert Path(call.target()).name.startswith("abc")
