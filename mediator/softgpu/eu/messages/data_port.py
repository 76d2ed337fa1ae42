"""The data ports: what their descriptors ask for. Twin of ``native/data_port.c``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Final

from mediator.gen9.eu.messages import (
    ATOMIC_MODE,
    ATOMIC_OPERATION,
    ATOMIC_RETURNS,
    BASE_KIB,
    CHANNELS_OFF,
    DWORD_SCATTERED_MODE,
    GLOBAL_ELEMENT,
    GLOBAL_ELEMENTS,
    GLOBAL_SIMD16,
    HEADER_BASE,
    HEADER_OFFSET,
    HEADER_PIXELS,
    PORT_0_TYPE,
    PORT_1_TYPE,
    SAMPLER_CACHE_BLOCK_READ,
    SAMPLER_CACHE_MEDIA_READ,
    SCATTERED_SIMD16,
    SCATTERED_SIZE,
    SCRATCH,
    SURFACE_MODE,
    AtomicOperation,
    FloatAtomicOperation,
    Port0,
    Port1,
)
from mediator.softgpu.eu.messages.atomic import Operation, atomic
from mediator.softgpu.eu.messages.block import block, dual_block, global_block, scratch
from mediator.softgpu.eu.messages.lanes import (
    Lanes,
    lanes32,
    lanes64,
    read_channels,
    read_elements,
    write_channels,
    write_elements,
)
from mediator.softgpu.eu.messages.message import GRF_BYTES, GRF_DWORDS, Message
from mediator.softgpu.eu.messages.target import everything, target_of
from mediator.softgpu.eu.messages.typed import media_block, typed, typed_atomic

Handler = Callable[[Message], None]

_LANES_OF_MODE = {1: 16, 2: 8}
_ALL_CHANNELS = 0xF
_MOST_GRFS = 16


def port_1(message: Message) -> None:
    """Data port 1."""
    PORT_1.get(PORT_1_TYPE.get(message.descriptor), Message.illegal)(message)


def port_0(message: Message) -> None:
    """Data port 0."""
    if SCRATCH.get(message.descriptor):
        scratch(message)
    else:
        PORT_0.get(PORT_0_TYPE.get(message.descriptor), Message.illegal)(message)


def read_only_port(message: Message) -> None:
    """The constant cache's and the sampler cache's port."""
    READ_ONLY.get(PORT_0_TYPE.get(message.descriptor), Message.illegal)(message)


def masked(message: Message) -> int:
    """Active channels, of which port 1's header may take some away."""
    return message.mask & message.header(HEADER_PIXELS) if message.header_grfs else message.mask


def _addresses(message: Message, count: int, *, wide: bool) -> Lanes:
    if wide:
        return lanes64(message.operand(0), count, masked(message))
    more = message.header(HEADER_BASE) & BASE_KIB.mask if message.stateless else 0
    return lanes32(message.operand(0), count, masked(message), 1, more)


def _untyped(message: Message, *, write: bool, wide: bool) -> None:
    enabled = ~CHANNELS_OFF.get(message.descriptor) & _ALL_CHANNELS
    count = _LANES_OF_MODE.get(SURFACE_MODE.get(message.descriptor))
    target = everything(message.unit) if wide else target_of(message)
    if count is None:
        message.illegal()
        return
    lanes = _addresses(message, count, wide=wide)
    if write:
        grfs = count // GRF_DWORDS * (2 if wide else 1)
        write_channels(target, lanes, enabled, message.operand(grfs))
    else:
        read_channels(target, lanes, enabled, message.response)


def _atomic(message: Message, *, wide: bool, floating: bool) -> None:
    descriptor = message.descriptor
    mode = ATOMIC_MODE.get(descriptor)
    count = 8 if wide or mode else 16
    size = 8 if wide and mode and not floating else 4
    target = everything(message.unit) if wide else target_of(message)
    operation = operation_of(ATOMIC_OPERATION.get(descriptor), floating=floating)
    if operation is None:
        message.illegal()
        return
    lanes = _addresses(message, count, wide=wide)
    data = count * (8 if wide else 4) // GRF_BYTES
    given = message.operand(data), message.operand(data + count * size // GRF_BYTES)
    old = message.response if ATOMIC_RETURNS.get(descriptor) else None
    atomic(target, lanes, size, operation, given, old)


def operation_of(code: int, *, floating: bool) -> Operation | None:
    """The atomic operation of a code; None when there is none."""
    kind = FloatAtomicOperation if floating else AtomicOperation
    return kind(code) if code in set(kind) else None


def _global_scattered(message: Message, *, write: bool) -> None:
    descriptor = message.descriptor
    kind = GLOBAL_ELEMENT.get(descriptor)
    elements = 1 << GLOBAL_ELEMENTS.get(descriptor)
    count = 16 if GLOBAL_SIMD16.get(descriptor) else 8
    size = (elements, 4, 8, 0)[kind]
    elements = 1 if kind == 0 else elements
    grfs = elements * count * (8 if kind == 2 else 4) // GRF_BYTES
    if size not in {1, 2, 4, 8} or (kind == 0 and size == 8) or grfs > _MOST_GRFS:
        message.illegal()
        return
    lanes = lanes64(message.operand(0), count, message.mask)
    _elements(message, lanes, size, elements, count * 8 // GRF_BYTES, write=write, wide=True)


def _scattered(
    message: Message, count: int, unit: int, size: int, elements: int, *, write: bool
) -> None:
    """Offsets count ``unit`` bytes; so does the header's. Every bit of its base counts."""
    more = message.header(HEADER_OFFSET) * unit
    if message.stateless:
        more += message.header(HEADER_BASE)
    lanes = lanes32(message.operand(0), count, message.mask, unit, more)
    _elements(message, lanes, size, elements, count // GRF_DWORDS, write=write, wide=False)


def _elements(
    message: Message,
    lanes: Lanes,
    size: int,
    elements: int,
    grfs: int,
    *,
    write: bool,
    wide: bool,
) -> None:
    target = everything(message.unit) if wide else target_of(message)
    if write:
        write_elements(target, lanes, size, elements, message.operand(grfs))
    else:
        read_elements(target, lanes, size, elements, message.response)


def _dword_scattered(message: Message, *, write: bool) -> None:
    mode = DWORD_SCATTERED_MODE.get(message.descriptor)
    if mode < 2:
        message.illegal()
    else:
        _scattered(message, 16 if mode == 3 else 8, 4, 4, 1, write=write)


def _byte_scattered(message: Message, *, write: bool) -> None:
    size = 1 << SCATTERED_SIZE.get(message.descriptor)
    count = 16 if SCATTERED_SIMD16.get(message.descriptor) else 8
    if size > 4:
        message.illegal()
    else:
        _scattered(message, count, 1, size, 1, write=write)


def _qword_scattered(message: Message, *, write: bool) -> None:
    elements = 1 << SCATTERED_SIZE.get(message.descriptor)
    count = 16 if SCATTERED_SIMD16.get(message.descriptor) else 8
    if elements > 4:
        message.illegal()
    else:
        _scattered(message, count, 1, 8, elements, write=write)


def _nothing(_message: Message) -> None:
    """A fence: one message is over before the next begins."""


PORT_1: Final = MappingProxyType[int, Handler](
    {
        Port1.UNTYPED_READ: partial(_untyped, write=False, wide=False),
        Port1.UNTYPED_WRITE: partial(_untyped, write=True, wide=False),
        Port1.GLOBAL_READ: partial(_untyped, write=False, wide=True),
        Port1.GLOBAL_WRITE: partial(_untyped, write=True, wide=True),
        Port1.UNTYPED_ATOMIC: partial(_atomic, wide=False, floating=False),
        Port1.UNTYPED_FLOAT_ATOMIC: partial(_atomic, wide=False, floating=True),
        Port1.GLOBAL_ATOMIC: partial(_atomic, wide=True, floating=False),
        Port1.GLOBAL_FLOAT_ATOMIC: partial(_atomic, wide=True, floating=True),
        Port1.TYPED_READ: partial(typed, write=False),
        Port1.TYPED_WRITE: partial(typed, write=True),
        Port1.TYPED_ATOMIC: typed_atomic,
        Port1.MEDIA_BLOCK_READ: partial(media_block, write=False),
        Port1.MEDIA_BLOCK_WRITE: partial(media_block, write=True),
        Port1.GLOBAL_SCATTERED_READ: partial(_global_scattered, write=False),
        Port1.GLOBAL_SCATTERED_WRITE: partial(_global_scattered, write=True),
        Port1.GLOBAL_BLOCK_READ: partial(global_block, write=False),
        Port1.GLOBAL_BLOCK_WRITE: partial(global_block, write=True),
    }
)
PORT_0: Final = MappingProxyType[int, Handler](
    {
        Port0.BLOCK_READ: partial(block, write=False),
        Port0.UNALIGNED_BLOCK_READ: partial(block, write=False, unit=1),
        Port0.BLOCK_WRITE: partial(block, write=True),
        Port0.DUAL_BLOCK_READ: partial(dual_block, write=False),
        Port0.DUAL_BLOCK_WRITE: partial(dual_block, write=True),
        Port0.DWORD_SCATTERED_READ: partial(_dword_scattered, write=False),
        Port0.DWORD_SCATTERED_WRITE: partial(_dword_scattered, write=True),
        Port0.BYTE_SCATTERED_READ: partial(_byte_scattered, write=False),
        Port0.BYTE_SCATTERED_WRITE: partial(_byte_scattered, write=True),
        Port0.QWORD_SCATTERED_READ: partial(_qword_scattered, write=False),
        Port0.QWORD_SCATTERED_WRITE: partial(_qword_scattered, write=True),
        Port0.FENCE: _nothing,
    }
)
READ_ONLY: Final = MappingProxyType[int, Handler](
    {
        Port0.BLOCK_READ: partial(block, write=False),
        Port0.UNALIGNED_BLOCK_READ: partial(block, write=False, unit=1),
        Port0.DUAL_BLOCK_READ: partial(dual_block, write=False),
        Port0.DWORD_SCATTERED_READ: partial(_dword_scattered, write=False),
        SAMPLER_CACHE_BLOCK_READ: partial(block, write=False, unit=1),
        SAMPLER_CACHE_MEDIA_READ: partial(media_block, write=False),
    }
)
