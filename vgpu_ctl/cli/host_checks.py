"""Does the kernel give what a vGPU needs?"""

from __future__ import annotations

import fcntl
import os
import resource
from pathlib import Path

from vgpu_ctl.api.objects import DaemonInfo
from vgpu_ctl.cli.finding import Outcome, fail, ok, warn
from vgpu_ctl.cli.subject import Subject

_ENOUGH_FILES = 4096
_FEW_FILES = 1024


def memory_can_be_shared(_: Subject) -> Outcome:
    """Guest RAM comes as a memfd that is sealed against shrinking."""
    try:
        memory = os.memfd_create("vgpuctl-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        return fail(f"no memfd: {error.strerror}", "allow memfd_create(2) in this sandbox")
    try:
        os.ftruncate(memory, resource.getpagesize())
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError as error:
        return fail(f"no sealing: {error.strerror}", "use a kernel that seals memfds (3.17)")
    finally:
        os.close(memory)
    return ok("memfd and sealing work")


def enough_files_may_be_open(subject: Subject) -> Outcome:
    """A client of a vGPU costs vgpud a few dozen files: sockets, eventfds, memory."""
    daemon = subject.daemon
    limit = _limit_of(daemon.pid) if isinstance(daemon, DaemonInfo) else None
    whose = "of vgpud" if limit is not None else "here"
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    advice = f"raise LimitNOFILE= of vgpud.service, or `ulimit -n {_ENOUGH_FILES}` before vgpud"
    if limit < _FEW_FILES:
        return warn(f"{limit} open files {whose}: few vGPUs at a time", advice)
    return ok(f"{limit} open files {whose}")


def _limit_of(process: int) -> int | None:
    """The soft limit of another process; None where it may not be read."""
    try:
        lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("Max open files")), [])
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else None
