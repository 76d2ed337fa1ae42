"""What the compiler process may do once it has started: compute, and talk over two pipes.

Limits on memory, files and processor time; no new privileges; no core dump; and on x86-64 Linux a
filter that refuses all system calls but those that memory, threads of its own and the two pipes
need. Whatever cannot be had is left out: the process is also worth having without.

Sources: prctl(2), seccomp(2), setrlimit(2); include/uapi/linux/{filter,seccomp,audit}.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import struct
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_SIGKILL: Final = 9

_ALLOWED: Final = (
    *(0, 1, 3, 5, 8),  # read write close fstat lseek
    *(9, 10, 11, 12, 25, 28),  # mmap mprotect munmap brk mremap madvise
    *(13, 14, 15, 131),  # rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
    *(7, 23, 24, 35, 270, 271),  # poll select sched_yield nanosleep pselect6 ppoll
    *(39, 60, 63, 96, 97, 98, 99),  # getpid exit uname gettimeofday getrlimit getrusage sysinfo
    *(186, 201, 202, 204),  # gettid time futex sched_getaffinity
    *(228, 229, 230, 231, 234),  # clock_gettime clock_getres clock_nanosleep exit_group tgkill
    *(262, 302, 309, 318),  # newfstatat prlimit64 getcpu getrandom
    *(334, 449),  # rseq futex_waitv
)
"""Numbers of x86-64's system calls."""

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_RETURN_ALLOW, _RETURN_ERRNO, _RETURN_KILL = 0x7FFF0000, 0x00050000, 0x80000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _filter() -> bytes:
    """The program: not x86-64, kill; in the list, allow; else EPERM."""

    def step(code: int, yes: int, no: int, operand: int) -> bytes:
        return struct.pack("<HBBI", code, yes, no, operand)

    count = len(_ALLOWED)
    lines = [
        step(_LOAD, 0, 0, 4),  # seccomp_data.arch
        step(_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        step(_RETURN, 0, 0, _RETURN_KILL),
        step(_LOAD, 0, 0, 0),  # seccomp_data.nr
    ]
    lines += [step(_EQUAL, count - at, 0, number) for at, number in enumerate(_ALLOWED)]
    lines += [
        step(_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM),
        step(_RETURN, 0, 0, _RETURN_ALLOW),
    ]
    return b"".join(lines)


def limit(memory: int, seconds: int) -> None:
    """Before anything large is loaded: memory in bytes, no files, processor time of ``seconds``
    before the first call of `allow_seconds`."""
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (value, value))
    allow_seconds(seconds)
    with suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_seconds(seconds: int) -> None:
    """From now on so much processor time, before the kernel ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


def close_doors() -> bool:
    """Refuse system calls from now on; False where that cannot be done."""
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "AMD64"}:
        return False
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    code = ctypes.create_string_buffer(_filter())
    program = _Program(len(code.raw) // 8, ctypes.cast(code, ctypes.c_void_p))
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)
