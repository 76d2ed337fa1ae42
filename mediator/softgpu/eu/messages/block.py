"""Blocks: some OWords in a row, for the thread as a whole. Twin of ``native/block.c``."""

from __future__ import annotations

from mediator.gen9.eu.messages import (
    BASE_KIB,
    BLOCK_DWORDS,
    BLOCK_SIZE,
    DUAL_BLOCK_OWORDS,
    DUAL_BLOCK_SIZE,
    GLOBAL_BLOCK_KIND,
    HEADER_ADDRESS,
    HEADER_BASE,
    HEADER_OFFSET,
    HEADER_SCRATCH_SIZE,
    HIGH_HALF,
    OWORD,
    SCRATCH_BY_CHANNEL,
    SCRATCH_GRFS,
    SCRATCH_OFFSET,
    SCRATCH_SIZE,
    SCRATCH_WRITE,
)
from mediator.softgpu.eu.messages.memory import ADDRESS_MASK
from mediator.softgpu.eu.messages.message import GRF_BYTES, GRF_DWORDS, Message
from mediator.softgpu.eu.messages.target import Target, everything, target_of

_CHANNELS = 16


def block(message: Message, *, write: bool, unit: int = OWORD) -> None:
    """A block; ``unit``: bytes that the header's offset counts, 1 or 16."""
    target = target_of(message)
    _move(message, target, _offset(message, unit), write=write)


def global_block(message: Message, *, write: bool) -> None:
    """A block at a 64-bit address."""
    kind = GLOBAL_BLOCK_KIND.get(message.descriptor)
    if kind > 1 or (write and kind):
        message.illegal()
        return
    address = message.header(HEADER_ADDRESS) | message.header(HEADER_ADDRESS + 1) << 32
    address &= ADDRESS_MASK & (~3 if kind else ~15)
    _move(message, everything(message.unit), address, write=write)


def dual_block(message: Message, *, write: bool) -> None:
    """Two blocks side by side; a channel for each dword of the first and the second."""
    owords = DUAL_BLOCK_OWORDS.get(DUAL_BLOCK_SIZE.get(message.descriptor))
    target = target_of(message)
    if owords is None:
        message.illegal()
        return
    offsets, given = message.operand(0), message.operand(1)
    base = _offset(message, OWORD)
    for place in range(owords * GRF_DWORDS):
        channel = place % GRF_DWORDS
        oword = offsets[channel & 4] + place // GRF_DWORDS
        if message.mask >> channel & 1:
            at = base + oword * OWORD + channel % 4 * 4
            _move_dword(message, target, at, place, given, write=write)


def scratch(message: Message) -> None:
    """Registers that a thread keeps in its scratch space."""
    descriptor, bases = message.descriptor, message.unit.bases
    base = message.header(HEADER_BASE) & BASE_KIB.mask
    size = 1024 << SCRATCH_SIZE.get(message.header(HEADER_SCRATCH_SIZE))
    room = max(0, bases.general_size - base)
    target = Target(message.unit, bases.general + base, min(size, room))
    given = message.operand(0)
    start = SCRATCH_OFFSET.get(descriptor) * GRF_BYTES
    for place in range(GRF_DWORDS << SCRATCH_GRFS.get(descriptor)):
        by_channel = SCRATCH_BY_CHANNEL.get(descriptor)
        if by_channel and not message.mask >> place % _CHANNELS & 1:
            continue
        write = bool(SCRATCH_WRITE.get(descriptor))
        _move_dword(message, target, start + 4 * place, place, given, write=write)


def _offset(message: Message, unit: int) -> int:
    """The header's; on the stateless surface with its base, of whole KiB."""
    offset = (message.header(HEADER_OFFSET) & (~3 if unit == 1 else ~0)) * unit
    if message.stateless:
        offset += message.header(HEADER_BASE) & BASE_KIB.mask
    return offset


def _move(message: Message, target: Target, offset: int, *, write: bool) -> None:
    code = BLOCK_SIZE.get(message.descriptor)
    if code >= len(BLOCK_DWORDS):
        message.illegal()
        return
    first = 4 if code == HIGH_HALF else 0
    given = message.operand(0)
    for n in range(BLOCK_DWORDS[code]):
        _move_dword(message, target, offset + 4 * n, first + n, given, write=write)


def _move_dword(
    message: Message, target: Target, offset: int, place: int, given: memoryview, *, write: bool
) -> None:
    if write:
        target.store(offset, 4, given[place])
    else:
        message.response[place] = target.load(offset, 4)
