"""Waiting until a vGPU is as somebody wants it: for `wait` and `stop --wait`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from vgpu_ctl.api.methods import EventsParams
from vgpu_ctl.api.objects import Event, VgpuInfo, VgpuState
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.progress import Progress
from vgpu_ctl.client import ApiError, Client, ErrorCode

TICK_S = 0.2
"""How often the vGPU is looked at without an event (none tells of `idle`), and the time-out."""

Connect = Callable[[], Client]
Condition = Callable[[Client, VgpuInfo], bool]


def _idle(vgpud: Client, vgpu: VgpuInfo) -> bool:
    """No request is queued or on the hardware."""
    if vgpu.state is not VgpuState.ACTIVE:
        return True
    engines = [e for found in vgpud.stats(vgpu.uuid).vgpus for e in found.engines.values()]
    return not any(engine.queue_depth + engine.in_flight for engine in engines)


CONDITIONS: Mapping[str, Condition] = {
    "active": lambda _, vgpu: vgpu.state is VgpuState.ACTIVE,
    "attached": lambda _, vgpu: vgpu.client is not None,
    "detached": lambda _, vgpu: vgpu.client is None,
    "idle": _idle,
    "stopped": lambda _, vgpu: vgpu.state is not VgpuState.ACTIVE,
    "gone": lambda _vgpud, _vgpu: False,
}
"""What can be waited for, of a vGPU that is there."""
_WITHOUT_IT = {"detached", "stopped", "gone"}
"""Also true once it is no more."""


def wait_until(connect: Connect, name: str, condition: str, timeout_s: float = math.inf) -> None:
    """Return when the vGPU called ``name`` is in the condition.

    Events are asked for before it is looked at, so nothing is missed between the two. Raises
    Failure when ``timeout_s`` is over first, ApiError when there is no such vGPU.
    """
    with connect() as listener, connect() as vgpud:
        try:
            uuid = vgpud.show(name).uuid  # its name may change
            events = listener.stream(
                "events", EventsParams(vgpu=uuid), tick_s=min(TICK_S, timeout_s)
            )
        except ApiError as error:
            if condition == "gone" and error.code is ErrorCode.NOT_FOUND:
                return
            raise
        look = partial(_holds, vgpud, uuid, condition)
        if not look():
            _listen(events, look, f"{name} to be {condition}", timeout_s)


def _listen(
    events: Iterator[Event | None], holds: Callable[[], bool], what: str, timeout_s: float
) -> None:
    """Look again after each event, and on each tick, until it holds."""
    started = time.monotonic()
    total_s = timeout_s if math.isfinite(timeout_s) else None
    with Progress(f"waiting for {what}", total_s) as progress:
        for _ in events:
            if holds():
                return
            elapsed_s = time.monotonic() - started
            if elapsed_s >= timeout_s:
                raise Failure(ExitCode.TIMED_OUT, f"{timeout_s:g} s were too short for {what}")
            progress.show(elapsed_s)


def _holds(vgpud: Client, uuid: str, condition: str) -> bool:
    """Whether it is so now, with a vGPU that has been there."""
    try:
        return CONDITIONS[condition](vgpud, vgpud.show(uuid))
    except ApiError as error:
        if error.code is ErrorCode.NOT_FOUND and condition in _WITHOUT_IT:
            return True
        raise
