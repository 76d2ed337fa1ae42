"""What a binding table index stands for. Twin of ``native/target.c``."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mediator.gen9.eu.messages import (
    BINDLESS,
    BINDLESS_STATE,
    LAST_TABLE_ENTRY,
    LOCAL_MASK,
    SHARED_LOCAL_MEMORY,
    STATELESS,
    STATELESS_NON_COHERENT,
)
from mediator.gen9.eu.surface_state import (
    BASE,
    BUFFER_DEPTH_SHIFT,
    BUFFER_HEIGHT_SHIFT,
    BUFFER_WIDTH,
    DEPTH,
    ENTRY_BYTES,
    HEIGHT,
    PITCH,
    STATE_BYTES,
    TYPE,
    SurfaceType,
)
from mediator.softgpu.eu.messages.memory import ADDRESS_MASK
from mediator.softgpu.eu.messages.message import Buffer, Message, Unit

_BUFFERS = {SurfaceType.BUFFER, SurfaceType.STRUCTURED, SurfaceType.SCRATCH}


@dataclass(slots=True)
class Target:
    """``size`` bytes, of shared local memory or from GPU address ``base`` on."""

    unit: Unit
    base: int
    size: int
    local: bool = False

    def inside(self, offset: int, size: int) -> bool:
        """All of an access lies inside."""
        return offset + size <= self.size

    def place(self, offset: int) -> int:
        """``offset`` without the bits that do not count."""
        return offset & LOCAL_MASK if self.local else offset

    def load(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset``; 0 unless all of them are inside."""
        offset = self.place(offset)
        if not self.inside(offset, size):
            return 0
        if self.local:
            return int.from_bytes(self.unit.slm[offset : offset + size], "little")
        return self.unit.memory.load(self.base + offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        """Write ``size`` bytes at ``offset``, if all of them are inside."""
        offset = self.place(offset)
        if not self.inside(offset, size):
            return
        value &= (1 << 8 * size) - 1
        if self.local:
            self.unit.slm[offset : offset + size] = value.to_bytes(size, "little")
        else:
            self.unit.memory.store(self.base + offset, size, value)


def everything(unit: Unit) -> Target:
    """All of the address space."""
    return Target(unit, 0, (1 << 64) - 1)


def target_of(message: Message) -> Target:
    """What a message reads and writes."""
    unit, index = message.unit, message.index
    if index == SHARED_LOCAL_MEMORY:
        return Target(unit, 0, unit.slm_size, local=True)
    found = _bindless(message) if index == BINDLESS else _buffer(unit, index)
    return Target(unit, found.base, found.size)


def state_of(message: Message) -> int | None:
    """GPU address of the surface state that a message names; None where there can be none."""
    unit, index = message.unit, message.index
    if index == BINDLESS:
        return bindless_state(message)
    return None if index > LAST_TABLE_ENTRY else _table_state(unit, index)


def bindless_state(message: Message) -> int | None:
    """GPU address of a bindless surface state; None past the end."""
    bases = message.unit.bases
    offset = BINDLESS_STATE.get(message.extended) * STATE_BYTES
    return None if offset + STATE_BYTES > bases.bindless_size else bases.bindless + offset


def _table_state(unit: Unit, index: int) -> int:
    entry = unit.memory.load(unit.bases.binding_table + ENTRY_BYTES * index, ENTRY_BYTES)
    return unit.bases.surface + (entry & -STATE_BYTES)


def _bindless(message: Message) -> Buffer:
    state = bindless_state(message)
    return Buffer() if state is None else _decode(message.unit, state)


def _buffer(unit: Unit, index: int) -> Buffer:
    found = unit.buffers.get(index)
    if found is None:
        if index in {STATELESS, STATELESS_NON_COHERENT}:
            found = Buffer(unit.bases.general, unit.bases.general_size)
        elif index > LAST_TABLE_ENTRY:
            found = Buffer()
        else:
            found = _decode(unit, _table_state(unit, index))
        unit.buffers[index] = found
    return found


def _decode(unit: Unit, state: int) -> Buffer:
    """The surface state at a GPU address: only buffers have bytes that these messages reach."""
    dwords = [unit.memory.load(state + 4 * n, 4) for n in range(BASE + 2)]
    if TYPE.get(dwords[0]) not in _BUFFERS:
        return Buffer()
    last = BUFFER_WIDTH.get(dwords[2])
    last |= HEIGHT.get(dwords[2]) << BUFFER_HEIGHT_SHIFT
    last |= DEPTH.get(dwords[3]) << BUFFER_DEPTH_SHIFT
    (base,) = struct.unpack("<Q", struct.pack("<2I", *dwords[BASE : BASE + 2]))
    return Buffer(base & ADDRESS_MASK, (last + 1) * (PITCH.get(dwords[3]) + 1))
