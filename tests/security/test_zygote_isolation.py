"""What a learner's fork may do to the kernel, the container and its neighbours: nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import docker
import pytest

from tests.security.zygote_lab import LIMITS, Lab, lab

pytestmark = pytest.mark.docker

CALLS = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
wanted = {
    'unshare-user': lambda: libc.unshare(0x10000000),
    'unshare-mount': lambda: libc.unshare(0x20000),
    'clone-namespace': lambda: libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0),
    'mount': lambda: libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None),
    'remount-root': lambda: libc.mount(b'none', b'/', None, 32, None),
    'umount': lambda: libc.umount2(b'/proc', 2),
    'pivot_root': lambda: libc.syscall(155, b'/tmp', b'/tmp'),
    'chroot': lambda: libc.chroot(b'/tmp'),
    'mknod': lambda: libc.mknod(b'/tmp/disk', 0o60666, 0x800),
    'ptrace': lambda: libc.ptrace(0, 0, 0, 0),
    'read-memory': lambda: libc.process_vm_readv(1, buffer, 1, buffer, 1, 0),
    'bpf': lambda: libc.syscall(321, 0, buffer, 48),
    'perf': lambda: libc.syscall(298, buffer, 0, -1, -1, 0),
    'keyctl': lambda: libc.syscall(250, 0, -3, 1),
    'add_key': lambda: libc.syscall(248, b'user', b'a', b'b', 1, -3),
    'userfaultfd': lambda: libc.syscall(323, 0),
    'io_uring': lambda: libc.syscall(425, 1, buffer),
    'memfd': lambda: libc.syscall(319, b'x', 0),
    'shmget': lambda: libc.shmget(0, 4096, 0o1600),
    'sethostname': lambda: libc.sethostname(b'x', 1),
    'setns': lambda: libc.setns(os.open('/proc/self/ns/net', 0), 0),
    'setuid': lambda: libc.setuid(0),
    'module': lambda: libc.syscall(175, buffer, 1, b''),
    'reboot': lambda: libc.reboot(0),
    'clock': lambda: libc.syscall(227, 0, buffer),
    'raw-socket': lambda: libc.socket(2, 3, 1),
    'packet-socket': lambda: libc.socket(17, 3, 0),
    'vsock': lambda: libc.socket(40, 1, 0),
    'netlink': lambda: libc.socket(16, 3, 0),
    'tiocsti': lambda: libc.ioctl(0, 0x5412, b'x'),
    'open-by-handle': lambda: libc.syscall(304, -100, buffer, 0),
}
print(json.dumps({name: call() for name, call in wanted.items()}))
"""

STATUS = """
import json
lines = [l.split(':', 1) for l in open('/proc/self/status')]
print(json.dumps({k: v.strip() for k, v in lines}))
"""

FILES = """
import json, os
done = []
def attempt(name, action):
    try:
        action(); done.append(name)
    except OSError:
        pass
for path in ('/x', '/etc/x', '/opt/x', '/usr/x', '/run/x', '/run/dli/x', '/sys/x', '/dev/x',
             '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/self/oom_score_adj',
             '/proc/1/oom_score_adj', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
    attempt(path, lambda: open(path, 'w').write('1'))
for path in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps', '/proc/kcore', '/dev/mem',
             '/dev/sda', '/dev/vda', '/run/docker.sock', '/var/run/docker.sock', '/etc/shadow'):
    attempt(path, lambda: open(path, 'rb').read(1) or 1 / 0 if 0 else open(path, 'rb').read(1))
attempt('fd-of-1', lambda: os.listdir('/proc/1/fd'))
attempt('run-dli', lambda: [os.stat('/run/dli/zygote.zip')])
print(json.dumps(done), sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))
"""


@pytest.fixture(scope="module", name="lab")
def _lab() -> Iterator[Lab]:
    with lab([]) as made:
        yield made


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="call numbers of x86_64")
def test_every_dangerous_call_is_refused(lab: Lab) -> None:
    done = json.loads(lab.grade(CALLS).printed())
    assert {name for name, answer in done.items() if answer != -1} == set()


def test_a_fork_has_no_capability_and_a_uid_of_its_own(lab: Lab) -> None:
    status = json.loads(lab.grade(STATUS).printed())
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[key], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"], status["Groups"]) == ("1", "2", "")
    uids = set(status["Uid"].split())
    assert len(uids) == 1
    assert int(uids.pop()) >= 1_000_000


def test_nothing_outside_the_three_folders_can_be_written_and_nothing_private_read(
    lab: Lab,
) -> None:
    printed = lab.grade(FILES).printed()
    done, pids = printed.split("] ", 1)
    assert json.loads(done + "]") == []
    assert len(json.loads(pids)) == 2


def test_each_namespace_is_the_forks_own(lab: Lab) -> None:
    kinds = ("pid", "mnt", "net", "ipc", "uts")
    look = (
        f"import os\nprint([os.readlink('/proc/self/ns/' + k) for k in {kinds}])\n"
        "print([line.split(':')[0].strip() for line in open('/proc/net/dev')][2:])"
    )
    inside, links = map(eval, lab.grade(look).printed().splitlines())
    assert links == ["lo"]
    (container,) = lab.client.containers.list(filters={"label": f"dli.instance={lab.instance}"})
    said = container.exec_run(["readlink", *(f"/proc/self/ns/{kind}" for kind in kinds)])
    outside = said.output.decode().split()
    assert [one.split(":")[0] for one in outside] == list(kinds)
    assert not set(inside) & set(outside), "the container's, and so every fork's"


def test_the_first_process_takes_no_signal_from_inside(lab: Lab) -> None:
    kill = (
        "import os, signal\nfor s in (9, 2, 15, 1, 17, 19):\n"
        "    try: os.kill(1, s)\n    except OSError: pass\nprint('alive')"
    )
    seen = lab.grade(kill, ("assert True", "assert 1 == 1"))
    assert seen.points == {"t1": 2}


def test_limits_cannot_be_raised(lab: Lab) -> None:
    raised = (
        "import resource\nfor kind in range(16):\n"
        "    try:\n        resource.setrlimit(kind, (-1, -1)); print(kind)\n"
        "    except (ValueError, OSError): pass"
    )
    allowed = set(map(int, lab.grade(raised).printed().split()))
    limited = {1, 4, 6, 7, 8, 9, 11, 12}  # FSIZE CORE NPROC NOFILE MEMLOCK AS SIGPENDING MSGQUEUE
    assert not allowed & limited


def test_the_container_is_made_as_promised(lab: Lab) -> None:
    (container,) = lab.client.containers.list(filters={"label": f"dli.instance={lab.instance}"})
    host = container.attrs["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    wanted = ["KILL", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN"]  # said again: none more
    assert sorted(host["CapAdd"]) == wanted
    assert host["IpcMode"] == "private"
    assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", "")
    assert not host["Devices"]
    assert not host["DeviceRequests"]
    assert set(host["Tmpfs"]) == {"/run/dli", "/work", "/tmp"}
    assert all("size=" in options for options in host["Tmpfs"].values())
    assert host["SecurityOpt"] == ["no-new-privileges", "apparmor=unconfined"]
    assert not host["Privileged"]
    assert not host["Binds"]
    assert host["Memory"] == host["MemorySwap"] > 0, "memory has an end, and no swap beyond it"
    assert 0 < host["NanoCpus"] <= 2 * 10**9
    assert 0 < host["PidsLimit"] <= 2 * LIMITS.processes + 32


def test_a_worker_that_dies_leaves_no_container(lab: Lab) -> None:
    import subprocess
    import sys
    import time

    instance = f"zygdead{os.getpid()}"
    code = (
        "import docker, os\nfrom grader.zygote.host import Zygote\n"
        "from grader.zygote.protocol import Limits\nfrom tests.security.zygote_lab import IMAGE\n"
        f"Zygote(docker.from_env(), IMAGE, [], Limits(), '{instance}').start()\n"
        "print('up', flush=True)\nos.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert dead.stdout == b"up\n"
    client = docker.from_env()
    until = time.monotonic() + 120
    mine = {"label": f"dli.instance={instance}"}
    while client.containers.list(all=True, filters=mine, ignore_removed=True):
        assert time.monotonic() < until, "the container outlived its worker"
        time.sleep(0.2)
    client.close()


def test_a_dead_container_is_replaced(lab: Lab) -> None:
    (container,) = lab.client.containers.list(filters={"label": f"dli.instance={lab.instance}"})
    container.kill()
    assert lab.grade("x = 1", ("assert x == 1", None)).points == {"t1": 2}
