"""Parts of the translator by themselves, where they decide what compiled code may do."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import Port1
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import Destination, File, Instruction
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf, indirect
from mediator.softgpu.eu.translator import liveness, sends
from mediator.softgpu.eu.translator.message_shape import LaneAccess, _port1, shape_of
from mediator.softgpu.eu.translator.registers import Untranslatable
from mediator.softgpu.eu.translator.state import _restricted_float

PORT_1 = 12
READ = 1 << 25 | 1 << 20 | 0x11 << 14 | 2 << 12 | 0xE << 8 | 0xFF


def first(asm: Assembler) -> Instruction:
    """The first instruction of a program that ends behind it."""
    asm.end()
    return Program.of(asm.code()).instructions[0]


def restricted(byte: int) -> float:
    """A float of three exponent bits, bias 3, and four of fraction; 0 where all are 0."""
    sign, exponent, fraction = byte >> 7, byte >> 4 & 7, byte & 15
    size = (1 + fraction / 16) * 2.0 ** (exponent - 3) if byte & 0x7F else 0.0
    return -size if sign else size


def test_restricted_floats() -> None:
    for byte in range(256):
        (found,) = struct.unpack("<f", struct.pack("<I", _restricted_float(byte)))
        assert found == restricted(byte)
        assert str(found) == str(restricted(byte)), "also the sign of zero"


@pytest.mark.parametrize("element", [0, 1, 2, 3])
@pytest.mark.parametrize("elements", [0, 1, 2, 3])
def test_scattered_messages_whose_shape_is_known(element: int, elements: int) -> None:
    """Bytes and dwords, of which a lane has up to four; no qwords."""
    descriptor = messages.PORT_1_TYPE.put(Port1.GLOBAL_SCATTERED_READ) | 1 << 25 | 1 << 20
    descriptor |= messages.GLOBAL_ELEMENT.put(element) | messages.GLOBAL_ELEMENTS.put(elements)
    found = _port1(descriptor)
    if element > 1 or elements > 2:
        assert found is None
        return
    assert isinstance(found, LaneAccess)
    size, channels = (1 << elements, 1) if element == 0 else (4, 1 << elements)
    assert (found.size, found.channels) == (size, channels)


@pytest.mark.parametrize(
    ("length", "more", "known"),
    [
        (3, None, True),
        (1, (20, 2), True),
        (2, (14, 1), True),
        (2, (20, 1), False),
        (3, (20, 1), True),
        (2, None, False),
    ],
)
def test_a_block_that_is_written_stands_in_one_run(
    length: int, more: tuple[int, int] | None, *, known: bool
) -> None:
    """Two GRFs behind the header in r12; of two parts the compiled code wrote what stands behind
    the first."""
    asm = Assembler()
    descriptor = length << 25 | 1 << 19 | 8 << 14 | 3 << 8
    asm.send(None, 12, 10, descriptor, more=more, width=8)
    assert (shape_of(first(asm)) is not None) == known


@pytest.mark.parametrize("unknown", ["descriptor", "extended"])
def test_a_message_from_a_register_may_touch_all_registers(unknown: str) -> None:
    asm = Assembler(8)
    asm.send(
        grf(14, Type.UD),
        10,
        PORT_1,
        None if unknown == "descriptor" else READ,
        more=(12, 1),
        extended=None if unknown == "extended" else 0,
    )
    assert liveness.effects(first(asm)).read == liveness.ALL


def test_a_response_to_where_a_register_says_stays_interpreted() -> None:
    asm = Assembler(8)
    asm.send(grf(14, Type.UD), 10, PORT_1, READ)
    there = first(asm)
    assert there.message is not None
    assert sends.response_place(there, there.message) == (14, 1)
    elsewhere = replace(there, destination=indirect(2, 0, Type.UD).destination())
    with pytest.raises(Untranslatable, match="address register"):
        sends.response_place(elsewhere, there.message)


def test_the_encoder_refuses_what_has_no_place_in_a_word() -> None:
    asm = Assembler(8)
    asm.mad(grf(4, Type.F), grf(5, Type.F), grf(6, Type.F), grf(7, Type.F))
    mad = first(asm)
    assert encode(mad)
    with pytest.raises(ValueError, match="first channel 2"):
        encode(replace(mad, channel=2))
    for place in (
        indirect(0, 0, Type.F).destination(),
        Destination(File.ARF, 4 * 32, Type.F, 1),
    ):
        with pytest.raises(ValueError, match="destination is a register"):
            encode(replace(mad, destination=place))
