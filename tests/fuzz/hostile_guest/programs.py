"""What the attacker has the execution units run: noise, random programs, and such as never end."""

from __future__ import annotations

from collections.abc import Callable

from mediator.gen9.eu import registers
from mediator.gen9.eu.opcodes import Form
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.assembler import Assembler, Controls
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.register import arf, grf, immediate, null
from tests.eu_random import OPCODES, random_instruction
from tests.fuzz.hostile_guest.chance import Chance
from tests.property.eu_programs import END, Writer

LANES = 8
_SAMPLER, _GATEWAY, _DATA_PORT_1 = 2, 3, 12
_BARRIER = 1 << 25 | 4
A64_WRITE_X = 2 << 25 | 0x19 << 14 | 2 << 12 | 0xE << 8 | 0xFF
"""Untyped write of one dword a lane, SIMD8, at 64-bit addresses."""
_SLM_READ_X = 1 << 25 | 1 << 20 | 1 << 14 | 2 << 12 | 0xE << 8 | 254
_KINDS_OF_MESSAGES = {
    _SAMPLER: (*range(12), *range(16, 27)),
    4: (0, 1, 2, 3, 4),
    9: (0, 1, 3, 4),
    10: (*range(6), 7, 8, *range(10, 14)),
    _DATA_PORT_1: (1, 2, 4, 5, 6, 9, 10, 13, *range(0x10, 0x16), 0x19, 0x1A, 0x1B, 0x1D),
}
"""By shared function."""
_MASKS: tuple[Controls, ...] = ({}, {"no_mask": True}, {"predicate": True}, {"predicate": False})
_STRAIGHT = tuple(opcode for opcode in OPCODES if opcode.form is not Form.BRANCH)
_COUNT, _ADDRESS, _SCRATCH = 10, 12, 16
_LANE_NUMBERS = immediate(0x76543210, Packed.V)


def noise(chance: Chance) -> bytes:
    """Bytes that are no program, or one with a few bits wrong."""
    if chance.once_in(2):
        return chance.garbage(chance.choice((8, 64, 4000)))
    code = bytearray(computing(chance))
    for _ in range(chance.choice((1, 3, 20))):
        at = chance.randrange(8 * len(code))
        code[at // 8] ^= 1 << at % 8
    return bytes(code)


def instructions(chance: Chance) -> bytes:
    """Any instructions that have an encoding, with jumps to anywhere or without."""
    opcodes = chance.choice((OPCODES, _STRAIGHT))
    words = [encode(random_instruction(chance, opcodes)) for _ in range(chance.choice((1, 5, 40)))]
    return b"".join(word.to_bytes(16, "little") for word in words) + END


def computing(chance: Chance) -> bytes:
    """Instructions that mean something, one after another."""
    simd = chance.choice((8, 16, 32))
    return Writer(chance.getrandbits(32), simd).code(chance.choice((1, 10, 40)))


def endless(chance: Chance) -> bytes:
    """A loop without an end: of a thread, of channels, of gotos, with messages in it, by calls."""
    asm = Assembler()
    asm.mov(grf(_COUNT, Type.UD), 0)
    asm.label("again")
    kind = chance.randrange(5)
    if kind == 1:
        asm.cmp(null().of(Type.UD), grf(1, Type.UD), 5, condition=Condition.NOT_EQUAL)
    if kind == 2:
        asm.send(grf(_SCRATCH, Type.UD), 4, _DATA_PORT_1, _SLM_READ_X)
    asm.add(grf(_COUNT, Type.UD), grf(_COUNT, Type.UD), 1)
    match kind:
        case 1:
            asm.while_("again")
        case 3:
            asm.goto(16, "again", branch_control=True)
            asm.join(16)
        case 4:
            asm.call(grf(20, Type.D), "again", width=4)
        case _:
            asm.jmpi("again")
    asm.end()
    return asm.code()


def barriers(chance: Chance) -> bytes:
    """Barriers that some threads or channels never reach, or reach once too often."""
    asm = Assembler()
    for number in range(chance.choice((1, 2, 5))):
        if chance.once_in(2):  # of its own constants: what the attacker put there
            asm.cmp(
                null().of(Type.UD),
                grf(1, Type.UD)[number].scalar,
                chance.randrange(2),
                width=8,
                condition=Condition.EQUAL,
            )
            asm.jmpi(f"behind {number}", predicate=True)
        if chance.randrange(8):
            asm.send(None, 0, _GATEWAY, _BARRIER, width=8, no_mask=True)
        if chance.randrange(8):
            asm.wait(arf(registers.NOTIFICATION, Type.UD))
        asm.label(f"behind {number}")
    asm.end()
    return asm.code()


def messages(chance: Chance) -> bytes:
    """Messages of all kinds; their payload is what the attacker put into the constants."""
    asm = Assembler()
    for _ in range(chance.choice((1, 1, 3, 20))):
        length, response = chance.randrange(1, 16), chance.choice((0, 0, 1, 2, 4, 8, 16))
        sfid, function = _message(chance)
        descriptor = function | chance.once_in(2) << 19 | response << 20 | length << 25
        split = chance.once_in(3)
        asm.send(
            grf(chance.randrange(40, 100), Type.UD) if response else None,
            chance.randrange(1, 100 - length),
            sfid,
            None if chance.once_in(20) else descriptor,
            more=(chance.randrange(1, 100), chance.randrange(1, 5)) if split else None,
            width=chance.choice((8, 16)),
            **chance.choice(_MASKS),  # type: ignore[misc]  # none has a width
        )
    asm.end()
    return asm.code()


def _message(chance: Chance) -> tuple[int, int]:
    """A shared function, and what of it: mostly one that there is."""
    sfid = chance.choice((*_KINDS_OF_MESSAGES, _DATA_PORT_1, _DATA_PORT_1))
    entry = chance.choice((*range(8), 100, 240, 252, 253, 254, 254, 255, 255))
    if chance.once_in(20):
        return sfid, chance.getrandbits(19)
    kind = chance.choice(_KINDS_OF_MESSAGES[sfid])
    if sfid == _SAMPLER:
        return sfid, chance.choice((1, 2)) << 17 | kind << 12 | chance.getrandbits(4) << 8 | entry
    return sfid, kind << 14 | chance.getrandbits(6) << 8 | entry


def dumping(_chance: Chance) -> bytes:
    """Writes what is in its registers and in shared memory to the constants' first 64 bits.

    Nothing was put there: it shows what others left.
    """
    asm = Assembler()
    address = grf(_ADDRESS, Type.UQ)
    asm.mov(grf(6, Type.UW), _LANE_NUMBERS)
    asm.shl(grf(8, Type.UD), grf(6, Type.UW), 2)
    asm.add(address, grf(8, Type.UD), grf(1, Type.UQ).scalar)
    for register in range(14, 127):
        asm.send(None, _ADDRESS, _DATA_PORT_1, A64_WRITE_X, more=(register, 1))
        asm.add(address, address, 32)
    for _ in range(16):
        asm.send(grf(_SCRATCH, Type.UD), 8, _DATA_PORT_1, _SLM_READ_X)
        asm.send(None, _ADDRESS, _DATA_PORT_1, A64_WRITE_X, more=(_SCRATCH, 1))
        asm.add(grf(8, Type.UD), grf(8, Type.UD), 4096)
        asm.add(address, address, 32)
    asm.end()
    return asm.code()


KINDS: tuple[Callable[[Chance], bytes], ...] = (
    noise,
    instructions,
    computing,
    endless,
    barriers,
    messages,
    dumping,
)
