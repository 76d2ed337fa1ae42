"""What `vgpuctl reset` does to a vGPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.guest_events import GuestEvents

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu
    from vgpu_ctl.host.hosted_vgpu import HostedVgpu

_LEVELS = ("engines", "function")


def reset_by_operator(hosted: HostedVgpu, level: str) -> None:
    """Have the engines lose what they do, or reset the whole function. Raises ApiError."""
    if level not in _LEVELS:
        text = f"level: {level!r:.80} is not allowed: {' or '.join(_LEVELS)}"
        raise ApiError(ErrorCode.INVALID, text, field="level")
    active = hosted.active  # as it is now: no lock is held
    if active is None:
        raise ApiError(ErrorCode.BUSY, f"{hosted.name} is not active", field="vgpu")
    vgpu = active.vgpu
    if vgpu is None:
        raise ApiError(
            ErrorCode.UNSUPPORTED,
            f"{hosted.name} has a GPU of its own: only its guest can reset it",
            field="vgpu",
        )
    if level == "engines":
        vgpu.lose_work("reset by the operator")
    else:
        _reset_function(vgpu)


def _reset_function(vgpu: Vgpu) -> None:
    """A function-level reset that is not taken for the guest's."""
    observer = vgpu.observer
    assert isinstance(observer, GuestEvents), "`Host` has made it"
    observer.by_operator = "function"
    try:
        vgpu.reset()
    finally:
        observer.by_operator = ""
