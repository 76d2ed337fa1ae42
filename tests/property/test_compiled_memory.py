"""Compiled code gives a guest nothing of the host's: stacks, and what others left in registers."""

from __future__ import annotations

import struct

import pytest

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import acc, address, grf, indirect

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import ffi, lib, routine_addresses
from mediator.softgpu.eu.translator import kernel
from mediator.softgpu.eu.translator.compiler import compile_text
from mediator.softgpu.eu.translator.linker import Linker
from tests.eu_corpus.launch import Segment
from tests.property.compiled_world import ENDED, CompiledWorld, PagedMemory, link

PORT_1 = 12
READ, WRITE = 0x11 << 14, 0x19 << 14
ONE_CHANNEL_OF_8 = 2 << 12 | 0xE << 8
DATA = 0x7_0000_0000
GRF = 32


def run(asm: Assembler, registers: bytes, *, kept: int) -> bytes:
    """Registers of one SIMD8 thread behind the end of a program; ``kept``: those that count."""
    text = kernel.translate(Program.of(asm.code()), 8, kernel.Options(kept=kept))
    space = PagedMemory([Segment(DATA, bytearray(range(256)) * 16)])
    try:
        world = CompiledWorld(space, Bases(), 1, 0)
        with world.attached():
            world.begin(0, registers, 0xFF)
            ffi.memmove(world.threads[0].acc, b"\x33" * 320, 320)
            assert world.run(link(text)) == ENDED
        return bytes(world.threads[0].grf)
    finally:
        space.close()


def registers_from(first: int, count: int) -> int:
    return ((1 << count) - 1) << first


def test_a_response_longer_than_its_data_leaves_the_rest() -> None:
    """The read is under a mask that nobody misses, so that old values need not be kept."""
    asm = Assembler()
    asm.send(grf(10, Type.UD), 2, PORT_1, READ | ONE_CHANNEL_OF_8 | 2 << 25 | 8 << 20, width=8)
    asm.send(None, 2, PORT_1, WRITE | ONE_CHANNEL_OF_8 | 2 << 25, more=(10, 1), width=8)
    asm.end()
    addresses = struct.pack("<8Q", *(DATA + 4 * n for n in range(8)))
    before = bytes(2 * GRF) + addresses + b"\x5a" * (124 * GRF)
    after = run(asm, before, kept=registers_from(11, 7))
    assert after[11 * GRF : 18 * GRF] == b"\x5a" * (7 * GRF)


def test_an_operand_in_two_accumulators_is_loaded_whole() -> None:
    asm = Assembler()
    asm.mov(grf(10, Type.UD), acc(4, Type.UD), width=16, no_mask=True)
    asm.end()
    after = run(asm, b"\x5a" * (128 * GRF), kept=registers_from(10, 2))
    assert after[10 * GRF : 12 * GRF] == b"\x33" * (2 * GRF)


def test_what_an_address_places_across_the_end_goes_on_at_the_beginning() -> None:
    asm = Assembler()
    asm.mov(address(0), 4093, width=1)
    asm.mov(grf(10, Type.UD), indirect(0, 0, Type.UD), width=1)
    asm.end()
    before = bytes(range(32)) + bytes(126 * GRF) + b"\xa5" * GRF
    after = run(asm, before, kept=registers_from(10, 1))
    assert after[10 * GRF : 10 * GRF + 4] == b"\xa5\xa5\xa5\x00"


def test_many_messages_need_no_more_stack_than_one() -> None:
    def text(messages: int) -> str:
        asm = Assembler()
        for _ in range(messages):
            typed_read = 5 << 14 | 1 << 12 | 15 << 25 | 31 << 20
            asm.send(grf(60, Type.UD), 2, PORT_1, typed_read, more=(20, 15), width=16)
        asm.end()
        return kernel.translate(Program.of(asm.code()), 16)

    assert text(9).count("alloca") == text(1).count("alloca")


def test_buffers_far_apart_have_places_of_their_own_in_the_tlb() -> None:
    """Drivers put them at multiples of some MiB: each is looked for once, by the first access."""
    far = [DATA + (16 << 20) * n for n in range(3)]
    asm = Assembler()
    for _ in range(2):
        for number in range(len(far)):
            read = READ | ONE_CHANNEL_OF_8 | 2 << 25 | 1 << 20
            asm.send(grf(40 + number, Type.UD), 2 + 2 * number, PORT_1, read, width=8)
    asm.end()
    sends: list[int] = []
    kind = (
        "void(struct eu_worker *, struct eu_group *, struct eu_thread *, uint32_t, uint32_t,"
        " uint32_t, const uint8_t *, const uint8_t *, uint8_t *, uint32_t)"
    )

    def send(*operands: object) -> None:
        sends.append(1)
        lib.eu_send(*operands)

    counted = ffi.callback(kind, send)
    symbols = {**routine_addresses(), "eu_send": int(ffi.cast("uintptr_t", counted))}
    kept = registers_from(40, len(far))
    text = kernel.translate(Program.of(asm.code()), 8, kernel.Options(kept=kept))
    linked = Linker(symbols).link(compile_text(text))
    space = PagedMemory([Segment(at, bytearray([n]) * 4096) for n, at in enumerate(far)])
    try:
        world = CompiledWorld(space, Bases(), 1, 0)
        with world.attached():
            addresses = b"".join(struct.pack("<8Q", *(at + 4 * n for n in range(8))) for at in far)
            world.begin(0, bytes(2 * GRF) + addresses, 0xFF)
            assert world.run(linked) == ENDED
        assert len(sends) == len(far)
        found = bytes(world.threads[0].grf)[40 * GRF : (40 + len(far)) * GRF]
        assert found == b"".join(bytes([n]) * GRF for n in range(len(far)))
    finally:
        space.close()
