"""How `vgpuctl` ends: one table, for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from vgpu_ctl.api.messages import ErrorCode


class ExitCode(IntEnum):
    """Exit status of `vgpuctl`; a closed pipe on standard output ends with 1, too."""

    OK = 0
    FAILED = 1
    """Something did not work; `assert`: the host differs; `doctor`: a check failed."""
    USAGE = 2
    """A wrong option, or a value that is not allowed."""
    NOT_FOUND = 3
    CONFLICT = 4
    """The name or UUID is taken, or the vGPU is busy."""
    NO_CAPACITY = 5
    UNREACHABLE = 6
    """No vgpud answers."""
    PERMISSION = 7
    TIMED_OUT = 124
    """What was waited for has not come, as with timeout(1)."""
    INTERRUPTED = 130
    """By Ctrl-C, as shells count: 128 and the signal's number."""


EXIT_CODES: Mapping[ErrorCode, ExitCode] = {
    ErrorCode.FAILED: ExitCode.FAILED,
    ErrorCode.INVALID: ExitCode.USAGE,
    ErrorCode.NOT_FOUND: ExitCode.NOT_FOUND,
    ErrorCode.EXISTS: ExitCode.CONFLICT,
    ErrorCode.BUSY: ExitCode.CONFLICT,
    ErrorCode.NO_CAPACITY: ExitCode.NO_CAPACITY,
    ErrorCode.PERMISSION: ExitCode.PERMISSION,
    ErrorCode.UNSUPPORTED: ExitCode.FAILED,
    ErrorCode.PROTOCOL: ExitCode.FAILED,
}
"""What vgpud's refusals become."""
