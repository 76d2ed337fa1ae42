"""Whatever decodes can be interpreted: it computes or is a fault, and writes where it may."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.threads import Threads
from mediator.softgpu.eu.isa.instruction import (
    Destination,
    File,
    IllegalInstruction,
    Instruction,
    Message,
)
from mediator.softgpu.eu.message_port import Call, MessageFault
from tests.eu_random import OPCODES, random_instruction
from tests.unit.mediator.eu_instruction_bench import instruction

_END = instruction(
    Opcode.SEND,
    message=Message(7, 0x02000010, 0, 127, None, None, True),
    destination=Destination(File.ARF, 0, Type.D, 1),
    no_mask=True,
)


class _Noise:
    """Answers every message with bytes."""

    def send(self, call: Call) -> MessageFault | None:
        """`message_port.Messages.send`."""
        call.response[:] = 0xA5
        return None


def _run(what: Instruction, seed: int) -> tuple[Interpreter, Threads, Threads]:
    what = replace(what, offset=0)
    end = replace(_END, offset=what.size)

    def at(offset: int) -> Instruction:
        if offset in (0, what.size):
            return end if offset else what
        raise IllegalInstruction("nothing", None, offset)

    threads, before = Threads(2), Threads(2)
    noise = np.random.default_rng(seed).integers(0, 256, threads.bytes.shape, np.uint8)
    threads.bytes[:] = noise
    threads.blocks["n0"], threads.blocks["arrived"] = 1, 0
    before.bytes[:] = threads.bytes
    interpreter = Interpreter(Kernel(at), threads, _Noise())
    interpreter.run(200)
    return interpreter, threads, before


def _written_bytes(what: Instruction) -> set[int]:
    """The general registers' bytes that an instruction names as destination."""
    destination = what.destination
    if what.message is not None or not isinstance(destination, Destination):
        return set(range(4096))
    if destination.file is not File.GRF:
        return set()
    # A call leaves two dwords; a division's remainder follows the quotient.
    width = 2 if what.opcode in (Opcode.CALL, Opcode.CALLA) else what.width
    stride = 1 if what.opcode in (Opcode.CALL, Opcode.CALLA) else destination.stride
    size = destination.type.size
    starts = [destination.byte + n * stride * size for n in range(width)]
    if what.function is not None and what.function.mnemonic == "idiv":
        starts += [at + -(-width * stride * size // 32) * 32 for at in starts]
    return {at + byte for at in starts for byte in range(size)}


def _behaves(count: int, seed: int) -> None:
    random = Random(seed)
    ended = 0
    for number in range(count):
        what = random_instruction(random, OPCODES)
        interpreter, threads, before = _run(what, number)
        changed = np.flatnonzero((threads.bytes != before.bytes)[:, :4096].any(axis=0))
        assert set(changed.tolist()) <= _written_bytes(what), what
        if interpreter.fault is None:
            ended += interpreter.run(0) is State.ENDED
        else:
            assert interpreter.fault.reason
    assert ended > count / 3


def test_random_instructions() -> None:
    _behaves(250, 1)


@pytest.mark.modes
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_random_instructions(seed: int) -> None:
    _behaves(2500, seed)
