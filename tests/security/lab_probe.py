"""Attacks that a learner's program makes from inside its lab; run there as the lab's own command.

Standard library only: it is handed to the container's Python as text. Prints one JSON line
``{attack: [succeeded, what was seen]}``. `TARGETS` (JSON in the environment) names addresses.
"""

# ruff: noqa: PTH123, SIM115 - an open file is the point of an attack; the process ends right after

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from pathlib import Path

TARGETS = json.loads(os.environ["TARGETS"])
LIBC = ctypes.CDLL(None, use_errno=True)
SECONDS = 1.0
SEEN: dict[str, list[object]] = {}


def attack(name: str):
    """Note what a function does: an exception is a refusal, a return a success."""

    def run(function):
        try:
            SEEN[name] = [True, str(function())[:200]]
        except Exception as error:
            SEEN[name] = [False, f"{type(error).__name__}: {error}"[:200]]

    return run


def call(function: str, *words: object) -> int:
    """A libc function; OSError when it says -1."""
    done = int(getattr(LIBC, function)(*words))
    if done == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


def reach(host: str, port: int) -> str:
    """A TCP connection."""
    with socket.create_connection((host, port), timeout=SECONDS):
        return f"connected to {host}:{port}"


def refuse(fine: bool, seen: str) -> str:
    """Raise when `fine`: the state asked about is the safe one."""
    if fine:
        raise PermissionError(seen)
    return seen


# -- becoming somebody else


@attack("have a capability")
def _capabilities():
    lines = [x for x in Path("/proc/self/status").read_text().splitlines() if x[:3] == "Cap"]
    held = [x for x in lines if int(x.split()[1], 16)]
    return refuse(not held, "every set is empty")


@attack("gain privileges at exec")
def _no_new_privs():
    return refuse(call("prctl", 39, 0, 0, 0, 0) == 1, "no_new_privs is set")


@attack("run without a seccomp filter")
def _seccomp():
    text = Path("/proc/self/status").read_text()
    return refuse("Seccomp:\t2" in text, "filter mode")


attack("setuid(0)")(lambda: os.setuid(0))
attack("setgid(0)")(lambda: os.setgid(0))
attack("setgroups([0])")(lambda: os.setgroups([0]))


@attack("su through its setuid bit")
def _su():
    done = subprocess.run(
        ["su", "-c", "id"], input=b"\n", capture_output=True, timeout=10, check=False
    )
    return refuse(b"uid=0" not in done.stdout, done.stderr.decode().strip()[-80:])


# -- leaving the container

attack("mount a tmpfs")(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attack("mount proc again")(lambda: call("mount", b"proc", b"/mnt", b"proc", 0, None))
attack("bind-mount /")(lambda: call("mount", b"/", b"/mnt", None, 4096, None))
attack("remount / writable")(lambda: call("mount", None, b"/", None, 32 | 4096, None))
attack("umount /sys")(lambda: call("umount", b"/sys"))
for _name, _flag in {
    "user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000,
    "ipc": 0x8000000, "uts": 0x4000000, "cgroup": 0x2000000,
}.items():  # fmt: skip
    attack(f"unshare a {_name} namespace")(lambda flag=_flag: call("unshare", flag))
attack("setns to PID 1's network")(lambda: call("setns", os.open("/proc/1/ns/net", os.O_RDONLY), 0))
attack("chroot")(lambda: os.chroot("/tmp"))
attack("pivot_root")(lambda: call("syscall", 155, b"/tmp", b"/tmp"))
attack("mknod of the disk")(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)))
attack("mknod of /dev/mem")(lambda: os.mknod("/tmp/mem", 0o20600, os.makedev(1, 1)))
attack("open a block device")(
    lambda: (
        [refuse(False, str(d)) for d in Path("/dev").iterdir() if d.is_block_device()]
        or refuse(True, "there is none")
    )
)
attack("open_by_handle_at")(lambda: call("syscall", 304, -100, b"\0" * 32, 0))
attack("load a kernel module")(lambda: call("syscall", 175, b"\0", 1, b""))
attack("bpf")(lambda: call("syscall", 321, 0, b"\0" * 64, 64))
attack("keyctl")(lambda: call("syscall", 250, 0, -3, 0))
attack("userfaultfd")(lambda: call("syscall", 323, 0))
attack("perf_event_open")(lambda: call("syscall", 298, b"\0" * 128, 0, -1, -1, 0))
attack("reboot")(lambda: call("syscall", 169, 0xFEE1DEAD, 672274793, 0x89ABCDEF, None))
attack("set the clock")(lambda: call("settimeofday", (ctypes.c_long * 2)(0, 0), None))
attack("set the host name")(lambda: socket.sethostname("x"))
attack("read the kernel's log")(lambda: refuse(call("klogctl", 3, b"\0" * 64, 64) < 0, ""))


# -- the machine's files


def _write(path: str) -> None:
    with open(path, "w") as file:
        file.write("0")


for _path in (
    "/etc/passwd", "/usr/bin/x", "/opt/dli/x", "/srv/course/x", "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger", "/proc/1/oom_score_adj", "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/cgroup.procs",
):  # fmt: skip
    attack(f"write {_path}")(lambda path=_path: _write(path))
for _path in ("/proc/kcore", "/proc/1/environ", "/proc/1/root/etc/shadow", "/etc/shadow"):
    attack(f"read {_path}")(lambda path=_path: open(path, "rb").read(64))


@attack("find Docker's socket")
def _socket():
    places = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
    for place in places:
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as end:
            end.connect(place)
            return place
    raise FileNotFoundError("none of " + ", ".join(places))


@attack("find a host path")
def _host_paths():
    """Real file systems may only be the root (overlay), the home, the course and Docker's three."""
    ours = {"/", "/home/learner", "/srv/course", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
    virtual = {"proc", "tmpfs", "devpts", "sysfs", "cgroup", "cgroup2", "mqueue"}
    rows = [x.split() for x in Path("/proc/self/mounts").read_text().splitlines()]
    more = [f"{row[1]} ({row[2]})" for row in rows if row[2] not in virtual and row[1] not in ours]
    return refuse(not more, "only the home and the course") if not more else ", ".join(more)


@attack("read another learner's secret")
def _environment():
    allowed = {"PATH", "HOME", "HOSTNAME", "LANG", "SHELL", "PWD", "LC_CTYPE", "TARGETS"}
    prefixes = ("DLI_", "NVIDIA_", "JUPYTER", "MPL", "PYTHON", "LC_", "MEM_", "CPU_", "OMP_")
    more = sorted(k for k in os.environ if k not in allowed and not k.startswith(prefixes))
    return refuse(not more, "only its own settings") if not more else ", ".join(more)


# -- the deadline in PID 1

attack("kill -9 1")(lambda: [os.kill(1, 9), refuse(Path("/proc/1/stat").exists(), "it lives")])


@attack("stop PID 1")
def _stop():
    os.kill(1, 19)
    state = Path("/proc/1/stat").read_text().rsplit(")", 1)[1].split()[0]
    return refuse(state not in "tT", f"its state is {state}")


attack("ptrace PID 1")(lambda: call("ptrace", 16, 1, None, None))
attack("seize PID 1")(lambda: call("ptrace", 0x4206, 1, None, None))
attack("write PID 1's memory")(lambda: open("/proc/1/mem", "r+b"))
attack("read PID 1's memory")(lambda: open("/proc/1/maps").read() or refuse(True, "empty"))
attack("freeze own cgroup")(lambda: _write("/sys/fs/cgroup/freezer/freezer.state"))


# -- the network

attack("raw IP socket")(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attack("packet socket")(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attack("IPv6")(
    lambda: (
        refuse(not Path("/proc/net/if_inet6").read_text().strip(), "no address")
        if Path("/proc/net/if_inet6").exists()
        else refuse(True, "not there")
    )
)
# No name server answers: nothing is learned by asking it as often as is usual.
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
attack("resolve a name outside")(lambda: socket.getaddrinfo("data.example.com", 80))
attack("resolve through Docker")(lambda: socket.getaddrinfo("host.docker.internal", 80))
for _name, (_host, _port) in TARGETS.items():
    attack(_name)(lambda host=_host, port=_port: reach(host, port))


def _udp(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(SECONDS)
        end.connect((host, port))
        end.send(b"hello")
        return repr(end.recv(100))


attack("UDP to this machine")(lambda: _udp(*TARGETS["a service of this machine"]))


@attack("scan this machine's ports")
def _scan():
    host = TARGETS["a service of this machine"][0]
    allowed = {TARGETS["+ the proxy"][1], TARGETS["+ the Hub"][1]}
    opened = []
    for port in (22, 25, 53, 80, 111, 443, 2375, 2376, 3306, 5432, 6379, 8000, 8001, 8080, 8888):
        with contextlib.suppress(OSError):
            opened.append(port) if port not in allowed and reach(host, port) else None
    return opened or refuse(True, "every port refused")


@attack("scan another lab's ports")
def _scan_neighbour():
    host = TARGETS["another lab"][0]
    opened = []
    for port in (22, 80, 443, 5000, 6006, 8080, 8786, 8888, 9090, 50051):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.2):
            opened.append(port)
    return opened or refuse(True, "no port answered")


print("SEEN " + json.dumps(SEEN), flush=True)
