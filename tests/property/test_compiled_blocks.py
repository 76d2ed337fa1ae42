"""Blocks in compiled code: what `eu_send` does, without it where a block is wholly at hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import Port0, Port1
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import ffi, lib, routine_addresses  # after what it needs
from mediator.softgpu.eu.translator import kernel
from mediator.softgpu.eu.translator.compiler import compile_text
from mediator.softgpu.eu.translator.linker import Linked, Linker
from tests.property.compiled_world import ENDED, PAGE
from tests.property.test_compiled_messages import (
    BUFFERS,
    DATA,
    GRF,
    SLM_BYTES,
    make_world,
    prepare,
)

CONSTANTS, PORT_0, PORT_1 = 9, 10, 12
GLOBAL, LOCAL, BUFFER = None, 254, 1
BASE, SIZE = BUFFERS[BUFFER]
_SEND = (
    "void(struct eu_worker *, struct eu_group *, struct eu_thread *, uint32_t, uint32_t,"
    " uint32_t, const uint8_t *, const uint8_t *, uint8_t *, uint32_t)"
)


@dataclass(frozen=True)
class Block:
    """A message: its header's register, and behind it the data or the response."""

    port: int
    index: int | None
    unit: int
    write: bool
    code: int
    no_mask: bool
    register: int

    @property
    def size(self) -> int:
        """Bytes."""
        return 4 * messages.BLOCK_DWORDS[self.code]

    @property
    def grfs(self) -> int:
        """Registers of data."""
        return max(1, self.size // GRF)

    @property
    def descriptor(self) -> int:
        """With lengths."""
        bits = messages.BLOCK_SIZE.put(self.code) | messages.HEADER_PRESENT.put(1)
        bits |= messages.MESSAGE_LENGTH.put(1 + self.write * self.grfs)
        bits |= messages.RESPONSE_LENGTH.put(0 if self.write else self.grfs)
        if self.index is None:
            number = Port1.GLOBAL_BLOCK_WRITE if self.write else Port1.GLOBAL_BLOCK_READ
            kind = messages.GLOBAL_BLOCK_KIND.put(self.unit == 4)
            return bits | messages.PORT_1_TYPE.put(number) | kind | 255
        number_ = Port0.BLOCK_READ if self.unit > 1 else Port0.UNALIGNED_BLOCK_READ
        number_ = Port0.BLOCK_WRITE if self.write else number_
        return bits | messages.PORT_0_TYPE.put(number_) | self.index

    def header(self, random: Random) -> bytes:
        """One whose place is often at an edge: of a page, of the buffer, of local memory."""
        words = [random.getrandbits(32) for _ in range(8)]
        words[5] = 0
        limit = {None: PAGE, LOCAL: SLM_BYTES, BUFFER: random.choice([PAGE, SIZE])}[self.index]
        end = random.choice([limit, limit, random.randrange(self.size, PAGE)])
        place = end - self.size + random.choice([0, 0, -4, 4, 16, -16, random.randrange(-40, 40)])
        place = max(place, 0)
        if self.index is None:
            beyond = random.choice([0, 0, 0xFFFF << 48])
            words[0:2] = struct.unpack("<2I", struct.pack("<Q", DATA + place | beyond))
        elif self.index == LOCAL:
            place += random.choice([0, 0x1000_0000, 0xFFF_0000])
            words[2] = place // self.unit
        else:
            place = random.choice([place] * 8 + [SIZE + 4096, 0xFFFF_FFF0])
            words[2] = place // (self.unit if place < 1 << 31 else 1)
        return struct.pack("<8I", *words)

    def is_at_hand(self, header: bytes) -> bool:
        """Whether the block needs no call when all pages are known."""
        if self.index is None:
            place = struct.unpack_from("<Q", header)[0] & ((1 << 48) - 1) & -self.unit
            return bool(place % PAGE + self.size <= PAGE)
        place = struct.unpack_from("<I", header, 8)[0] * self.unit & -4
        if self.index == LOCAL:
            return bool((place & 0xFFFF) + self.size <= SLM_BYTES)
        inside = place + self.size <= SIZE if self.write else place < SIZE
        return bool(inside and (BASE + place) % PAGE + self.size <= PAGE)


def _blocks() -> list[Block]:
    forms = [
        *((PORT_1, GLOBAL, unit, write) for unit, write in ((16, False), (4, False), (16, True))),
        *((PORT_0, index, 16, write) for index in (LOCAL, BUFFER) for write in (False, True)),
        *((port, index, 1, False) for port, index in ((PORT_0, BUFFER), (CONSTANTS, LOCAL))),
    ]
    found, register = [], 1
    for number, (port, index, unit, write) in enumerate(forms):
        for code in range(5):
            made = Block(port, index, unit, write, code, (code + number) % 3 == 0, register)
            found.append(made)
            register += 1 + made.grfs
    assert register <= 128
    return found


BLOCKS = _blocks()


@pytest.fixture(scope="module")
def calls() -> list[int]:
    """Descriptors with which `eu_send` is called."""
    return []


@pytest.fixture(scope="module")
def linked(calls: list[int]) -> Any:
    """All blocks in one program, whose calls are noted."""
    asm = Assembler(8)
    for each in BLOCKS:
        back = None if each.write else grf(each.register + 1, Type.UD)
        asm.send(back, each.register, each.port, each.descriptor, no_mask=each.no_mask)
    asm.end()

    def send(*operands: Any) -> None:
        calls.append(operands[4])
        lib.eu_send(*operands)

    noted = ffi.callback(_SEND, send)
    symbols = {**routine_addresses(), "eu_send": int(ffi.cast("uintptr_t", noted))}
    options = kernel.Options(kept=(1 << 128) - 1)
    text = kernel.translate(Program.of(asm.code()), 8, options)
    yield Linker(symbols).link(compile_text(text))
    del noted


def by_calls(world: Any, registers: bytes, mask: int) -> bytes:
    """The registers after `eu_send` has carried all out."""
    file = ffi.new("uint8_t[]", registers)
    for each in BLOCKS:
        header = file + each.register * GRF
        lib.eu_send(
            world.worker.struct,
            world.group,
            ffi.addressof(world.threads, 0),
            each.port,
            each.descriptor,
            0,
            header,
            ffi.NULL,
            header + GRF,
            0xFF if each.no_mask else mask,
        )
    return bytes(ffi.buffer(file, 128 * GRF))


@pytest.mark.parametrize("mask", [0xFF, 0x80, 0])
@pytest.mark.parametrize("seed", range(8))
def test_blocks_of_every_size_and_space(
    linked: Linked, calls: list[int], seed: int, mask: int
) -> None:
    random = Random(seed)
    registers = bytearray(random.randbytes(128 * GRF))
    headers = {each: each.header(random) for each in BLOCKS}
    for each, header in headers.items():
        registers[each.register * GRF : (each.register + 1) * GRF] = header
    content, slm = random.randbytes(4 * PAGE), random.randbytes(SLM_BYTES)
    for known in ("all", "reads", ""):
        results: list[Any] = []
        for compiled in (False, True):
            space, world = make_world(content)
            with world.attached():
                prepare(world, slm, warm=known == "all")
                for page in range(4 if known else 0):
                    lib.eu_readable(world.worker.struct, DATA + page * PAGE)
                if compiled:
                    world.begin(0, bytes(registers), mask)
                    calls.clear()
                    assert world.run(linked) == ENDED
                    found = bytes(world.threads[0].grf)
                else:
                    found = by_calls(world, bytes(registers), mask)
                assert world.worker.struct.fault == 0
            after = space.read(DATA, 4 * PAGE)
            results.append((found, after, bytes(ffi.buffer(world._slm, SLM_BYTES))))
            space.close()
        assert results[0] == results[1], (seed, known)
        quick = {each for each in BLOCKS if mask or each.no_mask}
        quick = {each for each in quick if each.is_at_hand(headers[each])}
        if known == "all":
            assert calls == [each.descriptor for each in BLOCKS if each not in quick]
        if known == "reads":
            reads = {each.descriptor for each in quick if not each.write}
            assert not reads & set(calls), "pages that are known for reading alone"
