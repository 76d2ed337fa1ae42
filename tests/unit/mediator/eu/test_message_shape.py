"""Which messages compiled code carries out by itself, and what it takes their descriptors for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import AtomicOperation, Gateway, Port0, Port1, SharedFunction
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Instruction, Message
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.eu.translator.message_shape import (
    Barrier,
    BlockAccess,
    Fence,
    LaneAccess,
    LaneAtomic,
    Shape,
    Space,
    shape_of,
)

PORT_0, PORT_1 = SharedFunction.DATA_PORT_0, SharedFunction.DATA_PORT_1
CONSTANTS, SAMPLER_CACHE = SharedFunction.CONSTANT_CACHE_PORT, SharedFunction.SAMPLER_CACHE_PORT
HEADER = messages.HEADER_PRESENT.put(1)
LOCAL, BINDLESS = messages.SHARED_LOCAL_MEMORY, messages.BINDLESS
STATELESS = (messages.STATELESS, messages.STATELESS_NON_COHERENT)
PAYLOAD = 12
TABLE = {7: Space.BUFFER, 239: Space.BUFFER, 254: Space.LOCAL}
"""Binding table indices that every message with code of its own may have."""


def instruction(**controls: Any) -> Instruction:
    """A message."""
    asm = Assembler(8)
    asm.send(grf(40, Type.UD), PAYLOAD, PORT_1, 0, **controls)
    asm.end()
    return Program.of(asm.code()).instructions[0]


MASKED = instruction()


def shape(
    sfid: int,
    bits: int,
    length: int,
    back: int = 0,
    more: tuple[int, int] | None = None,
    like: Instruction = MASKED,
) -> Shape | None:
    """Of a message of ``length`` registers with ``back`` of response."""
    message = Message(
        sfid=sfid,
        descriptor=bits | messages.MESSAGE_LENGTH.put(length) | messages.RESPONSE_LENGTH.put(back),
        extended=sfid | messages.MORE_LENGTH.put(more[1] if more else 0),
        payload=PAYLOAD,
        payload_indirect=None,
        more=more[0] if more else None,
        end_of_thread=False,
        extended_address=0,
    )
    return shape_of(replace(like, message=message))


@dataclass(frozen=True)
class Row:
    """A message without lengths, the least ones that it has, and what it is then."""

    sfid: int
    bits: int
    length: int
    back: int
    expected: Shape


def surface_rows() -> Iterator[Row]:
    """Untyped ones, and those of 64-bit addresses."""
    kinds = [
        *((Port1.UNTYPED_READ, False, index, space) for index, space in TABLE.items()),
        *((Port1.UNTYPED_WRITE, True, index, space) for index, space in TABLE.items()),
        *((Port1.UNTYPED_READ, False, index, Space.BUFFER) for index in STATELESS),
        *((Port1.UNTYPED_WRITE, True, index, Space.BUFFER) for index in STATELESS),
        *((Port1.GLOBAL_READ, False, index, Space.GLOBAL) for index in (255, BINDLESS)),
        *((Port1.GLOBAL_WRITE, True, index, Space.GLOBAL) for index in (255, BINDLESS)),
    ]
    for number, write, index, space in kinds:
        for mode, lanes in ((1, 16), (2, 8)):
            for off in range(15):
                places = tuple(channel for channel in range(4) if not off & 1 << channel)
                bits = messages.PORT_1_TYPE.put(number) | messages.BINDING_TABLE_INDEX.put(index)
                bits |= messages.SURFACE_MODE.put(mode) | messages.CHANNELS_OFF.put(off)
                addresses = lanes * (8 if space is Space.GLOBAL else 4) // 32
                data = lanes * 4 * len(places) // 32
                found = LaneAccess(space, index, write, lanes, 4, places, dword_aligned=True)
                yield Row(PORT_1, bits, addresses + write * data, 0 if write else data, found)


def scattered_rows() -> Iterator[Row]:
    for write in (False, True):
        number = Port1.GLOBAL_SCATTERED_WRITE if write else Port1.GLOBAL_SCATTERED_READ
        for lanes in (8, 16):
            for kind in (0, 1):
                for more in range(3):
                    size, count = (1 << more, 1) if kind == 0 else (4, 1 << more)
                    bits = messages.PORT_1_TYPE.put(number) | messages.GLOBAL_ELEMENT.put(kind)
                    bits |= messages.GLOBAL_ELEMENTS.put(more)
                    bits |= messages.GLOBAL_SIMD16.put(lanes == 16)
                    places, data = tuple(range(count)), lanes * count // 8
                    yield Row(
                        PORT_1,
                        bits,
                        lanes // 4 + write * data,
                        0 if write else data,
                        LaneAccess(Space.GLOBAL, 0, write, lanes, size, places, False),
                    )


def offset_rows() -> Iterator[Row]:
    """Dwords and bytes at 32-bit offsets, with a header and without."""
    spaces = {**TABLE, **dict.fromkeys(STATELESS, Space.BUFFER)}
    for index, space in spaces.items():
        for write in (False, True):
            for lanes in (8, 16):
                for header in (False, True):
                    for size, unit in ((4, 4), (1, 1), (2, 1), (4, 1)):
                        if unit == 4:
                            number = (Port0.DWORD_SCATTERED_READ, Port0.DWORD_SCATTERED_WRITE)
                            bits = messages.DWORD_SCATTERED_MODE.put(lanes // 8 + 1)
                        else:
                            number = (Port0.BYTE_SCATTERED_READ, Port0.BYTE_SCATTERED_WRITE)
                            bits = messages.SCATTERED_SIMD16.put(lanes == 16)
                            bits |= messages.SCATTERED_SIZE.put(size // 2)
                        bits |= messages.PORT_0_TYPE.put(number[write])
                        bits |= messages.BINDING_TABLE_INDEX.put(index) | header * HEADER
                        yield Row(
                            PORT_0,
                            bits,
                            header + lanes // 8 * (2 if write else 1),
                            0 if write else lanes // 8,
                            LaneAccess(space, index, write, lanes, size, (0,), False, unit, header),
                        )


def atomic_rows() -> Iterator[Row]:
    spaces = {**TABLE, **dict.fromkeys(STATELESS, Space.BUFFER)}
    forms = [
        *((Port1.UNTYPED_ATOMIC, index, space, 0, 16, 4) for index, space in spaces.items()),
        *((Port1.UNTYPED_ATOMIC, index, space, 1, 8, 4) for index, space in spaces.items()),
        *((Port1.GLOBAL_ATOMIC, index, Space.GLOBAL, 0, 8, 4) for index in (255, BINDLESS)),
        *((Port1.GLOBAL_ATOMIC, index, Space.GLOBAL, 1, 8, 8) for index in (255, BINDLESS)),
    ]
    alone = (AtomicOperation.INCREMENT, AtomicOperation.DECREMENT, AtomicOperation.PRE_DECREMENT)
    for number, index, space, mode, lanes, size in forms:
        for operation in AtomicOperation:
            for returns in (False, True):
                bits = messages.PORT_1_TYPE.put(number) | messages.BINDING_TABLE_INDEX.put(index)
                bits |= messages.ATOMIC_MODE.put(mode) | messages.ATOMIC_OPERATION.put(operation)
                bits |= messages.ATOMIC_RETURNS.put(returns)
                operands = 2 if operation is AtomicOperation.COMPARE_WRITE else 1
                operands = 0 if operation in alone else operands
                each = lanes * size // 32
                addresses = lanes * (8 if space is Space.GLOBAL else 4) // 32
                found = LaneAtomic(space, index, lanes, size, operation, returns)
                assert found.operands == operands
                yield Row(PORT_1, bits, addresses + operands * each, each if returns else 0, found)


BLOCKS = {0: (4, 0, 1), 1: (4, 4, 1), 2: (8, 0, 1), 3: (16, 0, 2), 4: (32, 0, 4)}
"""By the size's code: dwords, the first one's place in the registers, registers."""


def block_rows() -> Iterator[Row]:
    for code, (dwords, first, grfs) in BLOCKS.items():
        size = messages.BLOCK_SIZE.put(code)
        for number, kind, write, unit in (
            (Port1.GLOBAL_BLOCK_READ, 0, False, 16),
            (Port1.GLOBAL_BLOCK_READ, 1, False, 4),
            (Port1.GLOBAL_BLOCK_WRITE, 0, True, 16),
        ):
            bits = messages.PORT_1_TYPE.put(number) | messages.GLOBAL_BLOCK_KIND.put(kind) | size
            for more in (0, HEADER):
                yield Row(
                    PORT_1,
                    bits | more,
                    1 + write * grfs,
                    0 if write else grfs,
                    BlockAccess(Space.GLOBAL, 0, write, dwords, first, unit),
                )
        for index, space in TABLE.items():
            for sfid, number_, unit in (
                (PORT_0, Port0.BLOCK_READ, 16),
                (PORT_0, Port0.UNALIGNED_BLOCK_READ, 1),
                (PORT_0, Port0.BLOCK_WRITE, 16),
                (CONSTANTS, Port0.BLOCK_READ, 16),
                (CONSTANTS, Port0.UNALIGNED_BLOCK_READ, 1),
                (SAMPLER_CACHE, messages.SAMPLER_CACHE_BLOCK_READ, 1),
            ):
                write = number_ == Port0.BLOCK_WRITE
                bits = messages.PORT_0_TYPE.put(number_) | messages.BINDING_TABLE_INDEX.put(index)
                yield Row(
                    sfid,
                    bits | size | HEADER,
                    1 + write * grfs,
                    0 if write else grfs,
                    BlockAccess(space, index, write, dwords, first, unit),
                )


ROWS = (surface_rows, scattered_rows, offset_rows, atomic_rows, block_rows)


@pytest.mark.parametrize("rows", ROWS)
def test_a_message_with_all_its_registers_is_known_and_none_with_fewer(rows: Any) -> None:
    """Also as two parts, and with more registers than it needs."""
    for row in rows():
        for length, back in ((0, 0), (1, 0), (0, 1)):
            length, back = row.length + length, row.back + back
            assert shape(row.sfid, row.bits, length, back) == row.expected, row
        assert shape(row.sfid, row.bits, row.length - 1, row.back) is None, row
        if row.back:
            assert shape(row.sfid, row.bits, row.length, row.back - 1) is None, row
        if isinstance(row.expected, BlockAccess):
            continue  # its registers follow each other: see test_translator_parts
        for second in range(1, row.length):
            parts = row.length - second, row.back, (30, second)
            assert shape(row.sfid, row.bits, *parts) == row.expected, row
        if row.length > 1:
            assert shape(row.sfid, row.bits, 1, row.back, (30, row.length - 2)) is None, row


@pytest.mark.parametrize("rows", ROWS[:-1])
def test_an_instruction_has_no_more_channels_than_its_message(rows: Any) -> None:
    likes = [(width, replace(MASKED, width=width)) for width in (1, 8, 16, 32)]
    for row in rows():
        lanes = row.expected.lanes
        for width, like in likes:
            found = shape(row.sfid, row.bits, row.length, row.back, like=like)
            assert found == (row.expected if width <= lanes else None), (row, width)


def test_what_a_lane_reaches() -> None:
    def access(
        space: Space, size: int, places: tuple[int, ...], *, aligned: bool
    ) -> tuple[int, ...]:
        made = LaneAccess(space, 0, False, 8, size, places, aligned)
        return made.channels, made.span, made.multiple, made.packed, made.address_bytes

    assert access(Space.GLOBAL, 4, (0, 1, 2, 3), aligned=True) == (4, 16, 4, True, 8)
    assert access(Space.BUFFER, 4, (1, 3), aligned=True) == (2, 16, 4, False, 4)
    assert access(Space.LOCAL, 4, (0, 2), aligned=True) == (2, 12, 4, False, 4)
    assert access(Space.LOCAL, 2, (0,), aligned=False) == (1, 2, 1, True, 4)
    for space, size in ((Space.GLOBAL, 8), (Space.BUFFER, 4), (Space.LOCAL, 4)):
        atomic = LaneAtomic(space, 0, 8, 4, AtomicOperation.ADD, returns=False)
        assert atomic.address_bytes == size


def _put(sfid: int, number: int, index: int = 7, more: int = 0) -> tuple[int, int]:
    field = messages.PORT_1_TYPE if sfid == PORT_1 else messages.PORT_0_TYPE
    return sfid, field.put(number) | messages.BINDING_TABLE_INDEX.put(index) | more


_SIMD8 = messages.SURFACE_MODE.put(2)
_ADD = messages.ATOMIC_OPERATION.put(AtomicOperation.ADD)
_DWORDS8 = messages.DWORD_SCATTERED_MODE.put(2)
OTHERS = [
    *(_put(PORT_1, Port1.UNTYPED_READ, more=messages.SURFACE_MODE.put(mode)) for mode in (0, 3)),
    *(
        _put(PORT_1, number, 7, _SIMD8 | messages.CHANNELS_OFF.put(15))
        for number in (Port1.UNTYPED_READ, Port1.UNTYPED_WRITE, Port1.GLOBAL_READ)
    ),
    *(
        _put(PORT_1, number, BINDLESS, _SIMD8)
        for number in (Port1.UNTYPED_READ, Port1.UNTYPED_WRITE)
    ),
    *(
        _put(PORT_1, number, 7, _SIMD8 | HEADER)
        for number in (Port1.UNTYPED_READ, Port1.GLOBAL_READ, Port1.GLOBAL_SCATTERED_READ)
    ),
    *(
        _put(PORT_1, number, 7, _SIMD8)
        for number in Port1
        if number.name.startswith(("TYPED", "MEDIA", "UNTYPED_FLOAT", "GLOBAL_FLOAT"))
    ),
    _put(PORT_1, Port1.UNTYPED_ATOMIC, 7, _ADD | HEADER),
    _put(PORT_1, Port1.UNTYPED_ATOMIC, BINDLESS, _ADD),
    _put(PORT_1, Port1.UNTYPED_ATOMIC, 7, 0),
    _put(PORT_1, Port1.GLOBAL_ATOMIC, 255, 0),
    *(
        _put(PORT_1, number, 255, messages.BLOCK_SIZE.put(code))
        for number in (Port1.GLOBAL_BLOCK_READ, Port1.GLOBAL_BLOCK_WRITE)
        for code in (5, 6, 7)
    ),
    *(
        _put(PORT_1, Port1.GLOBAL_BLOCK_READ, 255, messages.GLOBAL_BLOCK_KIND.put(kind))
        for kind in (2, 3)
    ),
    *(
        _put(PORT_1, Port1.GLOBAL_BLOCK_WRITE, 255, messages.GLOBAL_BLOCK_KIND.put(kind))
        for kind in (1, 2, 3)
    ),
    *(
        _put(PORT_0, Port0.DWORD_SCATTERED_READ, 7, messages.DWORD_SCATTERED_MODE.put(mode))
        for mode in (0, 1)
    ),
    _put(PORT_0, Port0.DWORD_SCATTERED_READ, BINDLESS, _DWORDS8),
    _put(PORT_0, Port0.DWORD_SCATTERED_READ, 7, _DWORDS8 | messages.SCRATCH.put(1)),
    _put(PORT_0, Port0.BYTE_SCATTERED_READ, 7, messages.SCATTERED_SIZE.put(3)),
    *(
        _put(PORT_0, number, 7, HEADER)
        for number in Port0
        if "DUAL" in number.name or "QWORD" in number.name
    ),
    *(
        _put(sfid, Port0.BLOCK_READ, index, HEADER)
        for sfid in (PORT_0, CONSTANTS, SAMPLER_CACHE)
        for index in (BINDLESS, *STATELESS)
    ),
    *(
        _put(sfid, Port0.BLOCK_READ, 7, HEADER | messages.BLOCK_SIZE.put(code))
        for sfid in (PORT_0, CONSTANTS)
        for code in (5, 6, 7)
    ),
    *(_put(sfid, Port0.BLOCK_READ) for sfid in (PORT_0, CONSTANTS, SAMPLER_CACHE)),
    _put(CONSTANTS, Port0.DWORD_SCATTERED_READ, 7, _DWORDS8),
    _put(SAMPLER_CACHE, messages.SAMPLER_CACHE_MEDIA_READ, 7, HEADER),
    _put(SharedFunction.RENDER_CACHE_PORT, Port0.BLOCK_READ, 7, HEADER),
    (SharedFunction.SAMPLER, messages.SAMPLER_SIMD.put(1)),
    (SharedFunction.URB, 0),
]


@pytest.mark.parametrize(("sfid", "bits"), OTHERS)
def test_all_others_are_left_to_the_call(sfid: int, bits: int) -> None:
    for width in (1, 8):
        assert shape(sfid, bits, 10, 16, like=replace(MASKED, width=width)) is None


def test_a_fence_and_a_barrier_need_no_registers() -> None:
    assert shape(*_put(PORT_0, Port0.FENCE), 0) == Fence()
    assert shape(*_put(PORT_0, Port0.FENCE, BINDLESS, HEADER), 1, 1) == Fence()
    for function in Gateway:
        found = shape(SharedFunction.GATEWAY, function, 1, like=instruction(no_mask=True))
        assert found == (Barrier() if function is Gateway.BARRIER else None)


def test_a_barrier_that_a_thread_may_miss_is_left_to_the_call() -> None:
    gateway = SharedFunction.GATEWAY
    assert shape(gateway, Gateway.BARRIER, 1) is None
    predicated = instruction(no_mask=True, predicate=True)
    assert shape(gateway, Gateway.BARRIER, 1, like=predicated) is None


@pytest.mark.parametrize("unknown", [{"descriptor": None}, {"extended": None}])
def test_a_message_that_a_register_describes_is_left_to_the_call(unknown: dict[str, Any]) -> None:
    assert MASKED.message is not None
    descriptor = _put(PORT_0, Port0.FENCE)[1]
    message = replace(MASKED.message, sfid=PORT_0, descriptor=descriptor, extended=PORT_0)
    assert shape_of(replace(MASKED, message=message)) == Fence()
    assert shape_of(replace(MASKED, message=replace(message, **unknown))) is None


def test_a_block_has_its_header_in_the_first_part() -> None:
    for row in block_rows():
        parts = (PAYLOAD, row.length)
        assert shape(row.sfid, row.bits, 0, row.back, parts) is None, row


def test_what_is_no_message_has_no_shape() -> None:
    assert shape_of(replace(MASKED, message=None)) is None
