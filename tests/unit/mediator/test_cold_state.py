"""What counts begins at nothing, and what has state begins cold: every field says so by itself."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from mediator import port
from mediator.gen9.execlist import CSB_RESET_POINTER
from mediator.softgpu import blitter, counters, execlist, gpu, power
from mediator.vgpu import engine as virtual_engine
from mediator.vgpu import execlist as virtual_execlist
from mediator.vgpu import metrics
from mediator.workload import batch_shadow, command_stream, shadow_context, slot
from mmio_trap.register_map import Register
from mmio_trap.vfio_user.session import SessionCounters
from scheduler import simulator
from scheduler.policies.fifo import Fifo
from scheduler.policies.timeslice import Timeslice

CLASSES: tuple[type[Any], ...] = (
    *(blitter.BlitStats, blitter.Rectangle, blitter._Work, counters.CommandCounters),
    *(counters.EngineCounters, execlist.Execlists, gpu.GpuCounters, power.PowerState),
    *(virtual_engine.EngineState, virtual_execlist.Element, virtual_execlist.Execlists),
    *(metrics.WaitHistogram, metrics.EngineCounters, metrics.TrapCounters, metrics.VgpuCounters),
    *(metrics.GpuCounters, batch_shadow._Batch, command_stream.Counts, command_stream.Stream),
    *(shadow_context.RingFields, slot.Slot, port.Port, Register, SessionCounters),
    *(simulator.Trace, Fifo, Timeslice),
)
NOT_ZERO = {
    "write_pointer": CSB_RESET_POINTER,
    "read_pointer": CSB_RESET_POINTER,
    "write_mask": 0xFFFF_FFFF,
    "slice_ns": None,
    "limit_ns": None,
    "slot": virtual_execlist.NO_SLOT,
    "rc6_since_ns": None,
}
"""Fields that begin otherwise; None: with what a caller may choose."""


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_it_begins_cold(kind: type[Any]) -> None:
    looked_at = 0
    for each in fields(kind):
        if isinstance(each.default, int) and NOT_ZERO.get(each.name, 0) is not None:
            assert each.default == NOT_ZERO.get(each.name, 0), each.name
            looked_at += 1
    assert looked_at or any(each.default_factory is not MISSING for each in fields(kind))
