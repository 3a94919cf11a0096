"""Taking from this process what decoding a stranger's file never needs: network, files, others' memory.

A decoder that a photo makes run somebody's code runs it with what is left. On Linux that is little: a seccomp
filter refuses sockets, writing and removing files, looking into other processes and most of what a kernel's
holes were found in; Landlock lets nothing be read but the program itself. Both hold for every process that is
started later, and neither can be taken off. Where a system has no such thing, limits are what there is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_LIMITS, _SECCOMP, _LANDLOCK = "limits", "seccomp", "Landlock"


def confine(*, memory: int, files: int = 256, readable: Iterable[Path] = ()) -> tuple[str, ...]:
    """Takes from this process, for good, all it does not need to decode and to compute.

    Files that are open stay so, and pipes and sockets that it holds can be used. Call it before it has other
    threads: Landlock holds for the calling one and what comes of it.

    Args:
        memory: Bytes of address space it may take beside what it has.
        files: How many files it may have open.
        readable: What may be opened to read beside Python, its packages and the system's libraries.

    Returns:
        What is in force, of `"limits"`, `"seccomp"` and `"Landlock"`; empty where the system has none of it.
    """
    on = [_LIMITS] if _limit(memory, files) else []
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            on += [_LANDLOCK] if _landlocked(libc, [*program(), *readable]) else []
            on += [_SECCOMP] if _filtered(libc) else []
    return tuple(on)


def limit_seconds(seconds: float | None) -> None:
    """Has the system end this process after so many more seconds of CPU time; None takes the limit away."""
    try:
        import resource  # noqa: PLC0415  not on Windows
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def program() -> list[Path]:
    """What this Python reads while it runs, beside what it is told to: itself, its packages, libraries.

    Where a script lies, and the folder it was started in, are not, though Python imports from there: people's
    files lie there.
    """
    paths = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent, _PACKAGE]
    paths += [Path(entry) for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    return [*paths, *map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom"))]


_PACKAGE = Path(__file__).parent


def _limit(memory: int, files: int) -> bool:
    try:
        import resource  # noqa: PLC0415  not on Windows

        wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, files)]
        with contextlib.suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            wanted.append((resource.RLIMIT_AS, pages * resource.getpagesize() + memory))
        for kind, most in wanted:
            hard = resource.getrlimit(kind)[1]
            own = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (own, own))
    except (ImportError, OSError, ValueError):
        return False
    return True


# Landlock: include/uapi/linux/landlock.h. Its numbers are the same on all machines.

_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_ACCESS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of the interface → how many kinds of access to files it knows; the last holds from there on."""

_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals


class _Rule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _landlocked(libc: ctypes.CDLL, readable: Iterable[Path]) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    kinds = (1 << _FILE_ACCESS[min(version, 5)]) - 1
    handled = [kinds, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0]
    known = 1 + (version >= 4) + (version >= 6)
    words = struct.pack(f"={known}Q", *handled[:known])
    ruleset = libc.syscall(_CREATE_RULESET, words, ctypes.c_size_t(len(words)), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(libc, ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
        _allow(libc, ruleset, _PACKAGE.parent, _READ_DIR)  # a process that is started looks for it there
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
        try:
            access &= -1 if path.is_dir() else ~_READ_DIR
            libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(_Rule(access, handle)), 0)
        finally:
            os.close(handle)


# seccomp: include/uapi/linux/seccomp.h, bpf_common.h; the calls' numbers are the kernel's of each machine.

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # a network
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # files: made, changed, moved, removed
    "creat": (85, None), "openat2": (437, 437), "truncate": (76, 45), "mkdir": (83, None),
    "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None),
    "mknodat": (259, 33), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "open_by_handle_at": (304, 265),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272), "process_madvise": (440, 440),
    # the system, and doors that computing does not go through
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsmount": (432, 432),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "acct": (163, 89), "swapon": (167, 224),
    "reboot": (169, 142), "personality": (135, 92), "clock_settime": (227, 112), "settimeofday": (164, 170),
    "sethostname": (170, 161), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "vhangup": (153, 58), "syslog": (103, 116),
}  # fmt: skip
"""Call → its number on x86_64 and on aarch64."""

_OPEN, _OPENAT, _CLONE, _CLONE3 = (2, None), (257, 56), (56, 220), (435, 435)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NEW_NAMESPACES = 0x7E020080
_LOAD, _EQUAL, _AT_LEAST, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: word, jumps, return
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _ARGUMENT, _NEXT_ARGUMENT = 0, 4, 16, 8
_TO_ALL_THREADS = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def _filtered(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in _MACHINES:
        return False
    steps = _steps(machine)
    whole = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    # All threads at once; the older call reaches this one alone.
    number = 317 if machine == "x86_64" else 277
    return bool(libc.syscall(number, 1, _TO_ALL_THREADS, ctypes.byref(whole)) == 0)


def _steps(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter: code, how many steps to skip if so and if not, and a constant."""
    column = 0 if machine == "x86_64" else 1
    no = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    steps = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, _MACHINES[machine]), no, (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        steps += [(_AT_LEAST, 0, 1, 0x40000000), no]  # the calls of x32
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), no]
    # Of a struct in memory nothing can be seen: the C library then asks the older way.
    steps += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    for numbers, argument, bits in (
        (_OPEN, 1, _WRITING),
        (_OPENAT, 2, _WRITING),
        (_CLONE, 0, _NEW_NAMESPACES),
    ):
        if (number := numbers[column]) is not None:
            at = _ARGUMENT + _NEXT_ARGUMENT * argument
            steps += [
                (_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, at),
                (_ANY, 0, 1, bits),
                no,
                (_LOAD, 0, 0, _NUMBER),
            ]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]
