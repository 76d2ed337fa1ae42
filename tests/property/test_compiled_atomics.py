"""Every atomic operation in compiled code, in each space: what `eu_send` does."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import AtomicOperation, Port1
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import ffi, lib  # after what it needs
from mediator.softgpu.eu.translator import kernel
from mediator.softgpu.eu.translator.linker import Linked
from tests.property.compiled_world import ENDED, PAGE, link
from tests.property.test_compiled_messages import (
    BUFFERS,
    DATA,
    GRF,
    PORT_1,
    SLM_BYTES,
    make_world,
    prepare,
)

GLOBAL, LOCAL, BUFFER = None, 254, 2
ADDRESSES = {GLOBAL: 2, LOCAL: 4, BUFFER: 6}
"""First register: of eight lanes each, all messages of a space have the same."""
OPERANDS = 8
"""Two of eight dwords or one of eight qwords; and so on for the second operand."""
ANSWERS = 12


@dataclass(frozen=True)
class Atomic:
    """A message of eight lanes; ``answer``: the first register of what comes back, if it does."""

    operation: AtomicOperation
    index: int | None
    size: int
    answer: int | None
    no_mask: bool

    @property
    def operands(self) -> int:
        """Registers of the payload behind the addresses."""
        each = self.size // 4
        return 2 * each if self.operation is AtomicOperation.COMPARE_WRITE else each

    @property
    def descriptor(self) -> int:
        """With lengths: the operands are of the second part."""
        number = Port1.GLOBAL_ATOMIC if self.index is None else Port1.UNTYPED_ATOMIC
        mode = self.size == 8 if self.index is None else 1
        bits = messages.PORT_1_TYPE.put(number) | messages.ATOMIC_MODE.put(mode)
        bits |= messages.ATOMIC_OPERATION.put(self.operation)
        bits |= messages.BINDING_TABLE_INDEX.put(255 if self.index is None else self.index)
        bits |= messages.MESSAGE_LENGTH.put(2 if self.index is None else 1)
        if self.answer is None:
            return bits
        return bits | messages.ATOMIC_RETURNS.put(1) | messages.RESPONSE_LENGTH.put(self.size // 4)


def _messages() -> list[Atomic]:
    found, answer = [], ANSWERS
    for at, index in enumerate((GLOBAL, LOCAL, BUFFER)):
        for operation in AtomicOperation:
            size = 8 if index is None and operation & 1 else 4
            back = (operation + at) % 5 != 0
            no_mask = (operation + at) % 3 == 0
            found.append(Atomic(operation, index, size, answer if back else None, no_mask))
            answer += size // 4 if back else 0
    assert answer <= 128
    return found


MESSAGES = _messages()


@pytest.fixture(scope="module")
def linked() -> Linked:
    asm = Assembler(8)
    for each in MESSAGES:
        asm.send(
            None if each.answer is None else grf(each.answer, Type.UD),
            ADDRESSES[each.index],
            PORT_1,
            each.descriptor,
            more=(OPERANDS, each.operands),
            no_mask=each.no_mask,
        )
    asm.end()
    options = kernel.Options(kept=(1 << 128) - 1)
    return link(kernel.translate(Program.of(asm.code()), 8, options))


def by_calls(world: Any, registers: bytes, mask: int) -> bytes:
    """The registers after `eu_send` has carried all out."""
    file = ffi.new("uint8_t[]", registers)
    for each in MESSAGES:
        lib.eu_send(
            world.worker.struct,
            world.group,
            ffi.addressof(world.threads, 0),
            PORT_1,
            each.descriptor,
            messages.MORE_LENGTH.put(each.operands),
            file + ADDRESSES[each.index] * GRF,
            file + OPERANDS * GRF,
            file + (each.answer or 0) * GRF,
            0xFF if each.no_mask else mask,
        )
    return bytes(ffi.buffer(file, 128 * GRF))


def places(random: Random, room: int) -> list[int]:
    """Few, so that lanes meet; some not aligned, some a little out of the room."""
    base = random.choice([0, 64, room - 24, room - 8])
    return [base + random.choice([0, 4, 8, 8, 16, 17, 20]) for _ in range(8)]


@pytest.mark.parametrize("mask", [0xFF, 0xA7])
@pytest.mark.parametrize("seed", range(5))
def test_every_atomic_operation(linked: Linked, seed: int, mask: int) -> None:
    random = Random(seed)
    registers = bytearray(random.randbytes(128 * GRF))
    room = random.choice([PAGE, 3 * PAGE])
    wide = [DATA + place for place in places(random, room)]
    struct.pack_into("<8Q", registers, ADDRESSES[GLOBAL] * GRF, *wide)
    for index, size in ((LOCAL, SLM_BYTES), (BUFFER, BUFFERS[BUFFER][1])):
        struct.pack_into("<8I", registers, ADDRESSES[index] * GRF, *places(random, size))
    small = random.choices([0, 1, 2, 3, 0x7FFF_FFFF, 0xFFFF_FFFF], k=PAGE)
    content, slm = struct.pack(f"<{PAGE}I", *small), random.randbytes(SLM_BYTES)
    given = random.choices([0, 1, 2, 3, 0xFFFF_FFFF], k=32)
    struct.pack_into("<32I", registers, OPERANDS * GRF, *given)
    for warm in (True, False):
        results: list[Any] = []
        for compiled in (False, True):
            space, world = make_world(content)
            with world.attached():
                prepare(world, slm, warm=warm)
                if compiled:
                    world.begin(0, bytes(registers), mask)
                    assert world.run(linked) == ENDED
                    found = bytes(world.threads[0].grf)
                else:
                    found = by_calls(world, bytes(registers), mask)
                assert world.worker.struct.fault == 0
            after = space.read(DATA, 4 * PAGE)
            results.append((found, after, bytes(ffi.buffer(world._slm, SLM_BYTES))))
            space.close()
        for number, (one, other) in enumerate(zip(*results, strict=True)):
            assert one == other, (seed, warm, number)
