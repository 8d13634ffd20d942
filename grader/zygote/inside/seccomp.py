"""The system calls a learner's fork may not make, on top of Docker's default profile.

Docker's profile is looser than usual here, because the zygote holds CAP_SYS_ADMIN; this one closes
what that opened, and shuts kernel memory that no limit of ours would count (memfd, System V shared
memory). A small BPF assembler instead of libseccomp, which images need not have.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NAMESPACES = 0x7E020080
"""CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | NEWTIME."""
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6. Not AF_VSOCK: it reaches a hypervisor past any network namespace."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

# The same on every architecture that was added to since Linux 5.
_COMMON = {
    "pidfd_getfd": 438, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "quotactl_fd": 443, "memfd_secret": 447,
    "process_madvise": 440, "open_tree_attr": 467,
}  # fmt: skip
_X86_64 = {
    "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154, "pivot_root": 155,
    "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166,
    "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179,
    "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237, "set_mempolicy": 238,
    "mq_open": 240, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "migrate_pages": 256, "unshare": 272, "move_pages": 279, "perf_event_open": 298,
    "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "kcmp": 312, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "shmget": 29, "msgget": 68, "mknod": 133, "mknodat": 259,
}  # fmt: skip
_AARCH64 = {
    "ptrace": 117, "syslog": 116, "personality": 92, "pivot_root": 41, "adjtimex": 171,
    "chroot": 51, "acct": 89, "settimeofday": 170, "mount": 40, "umount2": 39, "swapon": 224,
    "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162, "init_module": 105,
    "delete_module": 106, "quotactl": 60, "lookup_dcookie": 18, "clock_settime": 112,
    "mbind": 235, "set_mempolicy": 237, "mq_open": 180, "kexec_load": 104, "add_key": 217,
    "request_key": 218, "keyctl": 219, "migrate_pages": 238, "unshare": 97, "move_pages": 239,
    "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270,
    "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "memfd_create": 279,
    "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282, "shmget": 194, "msgget": 186,
    "mknodat": 33,
}  # fmt: skip
# machine -> (audit architecture, refused calls, clone, socket, socketpair-free ioctl number)
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64, 56, 41, 16),
    "aarch64": (0xC00000B7, _AARCH64, 220, 198, 29),
}
_CLONE3 = 435


def _op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def _fail(number: int) -> bytes:
    return _op(_RET, _ERRNO | number)


def program(machine: str) -> bytes:
    """The filter for `machine` (as in os.uname). Raises KeyError where no table is known."""
    arch, refused, clone, sock, ioctl = _MACHINES[machine]
    nr, low_arg0, low_arg1 = 0, 16, 24
    code = [_op(_LD, 4), _op(_JEQ, arch, 1, 0), _op(_RET, _KILL), _op(_LD, nr)]
    code += [_op(_JGE, 0x40000000, 0, 1), _op(_RET, _KILL)]  # x32 would pass a number table
    code += [_op(_JEQ, _CLONE3, 0, 1), _fail(errno.ENOSYS)]  # its flags lie in memory: use clone
    code += [_op(_JEQ, clone, 0, 4), _op(_LD, low_arg0), _op(_JSET, _NAMESPACES, 0, 1)]
    code += [_fail(errno.EPERM), _op(_RET, _ALLOW)]
    families = [_op(_JEQ, family, len(_FAMILIES) - i, 0) for i, family in enumerate(_FAMILIES)]
    code += [_op(_JEQ, sock, 0, len(families) + 3), _op(_LD, low_arg0), *families]
    code += [_fail(errno.EAFNOSUPPORT), _op(_RET, _ALLOW)]
    code += [_op(_JEQ, ioctl, 0, 5), _op(_LD, low_arg1), _op(_JEQ, _TIOCSTI, 1, 0)]
    code += [_op(_JEQ, _TIOCLINUX, 0, 1), _fail(errno.EPERM), _op(_RET, _ALLOW)]
    for number in sorted({*refused.values(), *_COMMON.values()}):
        code += [_op(_JEQ, number, 0, 1), _fail(errno.EPERM)]
    return b"".join([*code, _op(_RET, _ALLOW)])


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL) -> None:
    """Load the filter for this process and all it will ever start. Needs no_new_privs. OSError."""
    code = program(os.uname().machine)
    held = _Program(len(code) // 8, code)
    set_seccomp, mode_filter = 22, 2
    if libc.prctl(set_seccomp, mode_filter, ctypes.byref(held), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
