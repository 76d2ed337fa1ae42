"""What a vGPU must carry to another process or host: one tree of plain data, and its encoding.

Complete for a vGPU that is parked (`Vgpu.park`): what hardware and shadows knew of its contexts
has been carried back into the guest's memory, which travels by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from mediator.vgpu.engine import EngineState
from mediator.vgpu.ggtt import GgttState
from mediator.vgpu.metrics import VgpuCounters
from mediator.workload.saved_images import SavedImages

VERSION = 4
"""Grows with every change of what follows; others are refused."""


@dataclass
class VgpuState:
    """A vGPU between two requests."""

    device_id: int
    type: str
    private_ggtt: bool
    part: list[tuple[int, int]]
    """GGTT addresses that are its own: start and end of each slice."""
    version: int = VERSION
    config: bytes = b""
    """PCI configuration space."""
    registers: dict[int, int] = field(default_factory=dict)
    """Virtual values by BAR0 offset, those that differ from their reset values."""
    second_events: dict[int, int] = field(default_factory=dict)
    """By offset of IIR: events that came once more before they were cleared."""
    ggtt: GgttState = field(default_factory=GgttState)
    engines: dict[str, EngineState] = field(default_factory=dict)
    saved_images: dict[str, SavedImages] = field(default_factory=dict)
    """By engine: the private parts of context images that hardware has saved for it."""
    counters: VgpuCounters = field(default_factory=VgpuCounters)


def encode(state: VgpuState) -> bytes:
    """The state as MessagePack."""
    return msgspec.msgpack.encode(state)


def decode(data: bytes) -> VgpuState:
    """The state in ``data``. Raises ValueError that says what is wrong with it."""
    try:
        version = msgspec.msgpack.decode(data, type=_Header).version
        if version != VERSION:
            raise ValueError(f"vGPU state of version {version}, this program reads {VERSION}")
        return msgspec.msgpack.decode(data, type=VgpuState)
    except (msgspec.DecodeError, RecursionError) as error:  # the latter: lists within lists
        raise ValueError(f"not a vGPU state: {error}") from error


@dataclass
class _Header:
    version: int
