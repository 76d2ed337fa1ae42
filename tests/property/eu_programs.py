"""Random programs of instructions that compute, for executors to be compared by.

Registers are of one kind each (integers, HF, F, DF), so that a NaN, whose bits are nobody's
business, is never read as a number.
"""

from __future__ import annotations

import random
from typing import Final

import numpy as np

from mediator.gen9.eu.control_register import IEEE
from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Kind, Packed, Type
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.execution import prepare
from mediator.softgpu.eu.interpreter.numpy_ops import NumpyOps
from mediator.softgpu.eu.interpreter.threads import ALL, Threads
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.decoder import decode_word
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    IllegalInstruction,
    Immediate,
    Instruction,
    Operand,
    Predicate,
    Region,
    Source,
)

INTEGERS: Final = (Type.UB, Type.B, Type.UW, Type.W, Type.UD, Type.D, Type.UQ, Type.Q)
BANKS: Final = {Type.F: (2, 18), Type.DF: (18, 34), Type.HF: (34, 42), None: (42, 66)}
"""First and last register of each kind; None: integers."""
_ONE: Final = (
    *(Opcode.MOV, Opcode.NOT, Opcode.FRC, Opcode.RNDU, Opcode.RNDD, Opcode.RNDE, Opcode.RNDZ),
    *(Opcode.LZD, Opcode.FBH, Opcode.FBL, Opcode.CBIT, Opcode.BFREV),
)
_TWO: Final = (
    *(Opcode.SEL, Opcode.CMP, Opcode.CMPN, Opcode.AND, Opcode.OR, Opcode.XOR, Opcode.SHR),
    *(Opcode.SHL, Opcode.ASR, Opcode.ADD, Opcode.MUL, Opcode.AVG, Opcode.MAC, Opcode.MACH),
    *(Opcode.ADDC, Opcode.SUBB, Opcode.BFI1, Opcode.SAD2, Opcode.SADA2, Opcode.DP4, Opcode.DPH),
    *(Opcode.DP3, Opcode.DP2, Opcode.LINE, Opcode.PLN),
)
_THREE: Final = (Opcode.MAD, Opcode.LRP, Opcode.BFE, Opcode.BFI2, Opcode.CSEL)
_EXACT_MATH: Final = (
    *(MathFunction.INV, MathFunction.SQRT, MathFunction.FDIV),
    *(MathFunction.IDIVREM, MathFunction.IQOT, MathFunction.IREM),
)
_REGIONS: Final = (
    *((8, 8, 1), (4, 4, 1), (16, 16, 1), (0, 1, 0), (2, 1, 0), (16, 8, 2), (1, 1, 0), (8, 4, 2)),
    *((32, 8, 4), (4, 1, 0), (2, 2, 1), (0, 4, 1), (8, 2, 4)),
)


class Writer:
    """Makes instructions; ``simd`` is the width of the thread."""

    def __init__(self, seed: int, simd: int, floats: bool = True) -> None:
        self.random = random.Random(seed)
        self.simd = simd
        self.floats = floats
        self._threads, self._ops = Threads(1), NumpyOps(IEEE)

    def program(self, count: int) -> list[Instruction]:
        """So many instructions that mean something."""
        found: list[Instruction] = []
        while len(found) < count:
            made = self._checked(self._instruction())
            if made is not None:
                found.append(made)
        return found

    def code(self, count: int) -> bytes:
        """The same as code, with the end of the thread behind it."""
        words = [encode(each) for each in self.program(count)]
        return b"".join(word.to_bytes(16, "little") for word in words) + END

    def _checked(self, made: Instruction) -> Instruction | None:
        try:
            decoded = decode_word(encode(made))
            with np.errstate(all="ignore"):
                prepare(decoded, Surroundings())(self._threads, ALL, self._ops)
        except (IllegalInstruction, IllegalOperation, ValueError, KeyError):
            return None
        return decoded

    def _kind(self) -> Type:
        choices = [*INTEGERS, Type.D, Type.UD, Type.D, Type.UW, Type.W]
        if self.floats:
            choices += [Type.F] * 6 + [Type.DF] * 2 + [Type.HF] * 2
        return self.random.choice(choices)

    def _like(self, kind: Type) -> Type:
        """A type that may stand beside another as a source."""
        if kind.kind is Kind.FLOAT:
            return kind
        return self.random.choice([kind, kind, *INTEGERS])

    def _byte(self, kind: Type, *, aligned: bool) -> int:
        bank = BANKS[kind if kind.kind is Kind.FLOAT else None]
        register = self.random.randrange(bank[0], bank[1] - 2)
        inside = 0 if aligned else self.random.randrange(0, 32, kind.size)
        return register * 32 + inside

    def _source(self, kind: Type, width: int, *, may_be_immediate: bool) -> Operand:
        choose = self.random
        if may_be_immediate and choose.random() < 0.2 and kind.size >= 2:
            return self._immediate(kind)
        if width == 1:
            region = (0, 1, 0)
        else:
            region = choose.choice(_REGIONS[:4] if choose.random() < 0.6 else _REGIONS)
        return Source(
            File.GRF,
            self._byte(kind, aligned=choose.random() < 0.7),
            kind,
            Region(*region),
            negate=choose.random() < 0.15,
            absolute=choose.random() < 0.1,
        )

    def _immediate(self, kind: Type) -> Immediate:
        choose = self.random
        if kind in (Type.W, Type.UW) and choose.random() < 0.3:
            packed = Packed.V if kind is Type.W else Packed.UV
            return Immediate(packed, choose.getrandbits(32))
        if kind is Type.F and choose.random() < 0.2:
            return Immediate(Packed.VF, choose.getrandbits(32))
        if kind.kind is Kind.FLOAT:
            return Immediate(kind, _float_bits(choose, kind))
        small = choose.choice([0, 1, 2, 5, 31, 255, (1 << 8 * kind.size) - 1])
        bits = small if choose.random() < 0.6 else choose.getrandbits(8 * kind.size)
        return Immediate(kind, bits)

    def _instruction(self) -> Instruction:
        choose = self.random
        draw = choose.random()
        function = None
        if draw < 0.3:
            opcode, count = choose.choice([*_ONE, Opcode.MOV, Opcode.MOV]), 1
        elif draw < 0.75:
            opcode, count = choose.choice([*_TWO, Opcode.ADD, Opcode.MUL, Opcode.CMP]), 2
        elif draw < 0.9:
            opcode, count = choose.choice([*_THREE, Opcode.MAD]), 3
        else:
            opcode = Opcode.MATH
            function = choose.choice(_EXACT_MATH)
            count = function.source_count
        width = choose.choice([1, 2, 4, 8, 8, 8, 16, 16, 16, 32])
        channel = choose.choice([0, 0, 0, *range(0, 32, 4)])
        if channel + width > max(self.simd, width) or channel % min(width, 8):
            channel = 0
        kind = self._kind()
        if function in (MathFunction.IDIVREM, MathFunction.IQOT, MathFunction.IREM):
            kind = choose.choice([Type.D, Type.UD])
        kinds = [kind] + [self._like(kind) for _ in range(count - 1)]
        target = kind if choose.random() < 0.6 else self._kind()
        if count == 3:
            kinds, target = [kind] * 3, kind
        sources = tuple(
            self._source(each, width, may_be_immediate=at == count - 1 and count < 3)
            for at, each in enumerate(kinds)
        )
        stride = choose.choice([1, 1, 1, 1, 2, 4])
        return Instruction(
            offset=0,
            size=16,
            word=0,
            opcode=opcode,
            width=width,
            channel=channel,
            align16=False,
            predicate=self._predicate(),
            flag=choose.choice([0, 16, 32]),
            no_mask=choose.random() < 0.3,
            saturate=choose.random() < 0.12,
            condition=self._condition(opcode),
            write_accumulator=choose.random() < 0.05 or opcode in (Opcode.ADDC, Opcode.SUBB),
            destination=Destination(
                File.GRF, self._byte(target, aligned=choose.random() < 0.8), target, stride
            ),
            sources=sources,
            function=function,
        )

    def _predicate(self) -> Predicate | None:
        if self.random.random() > 0.25:
            return None
        control = 1 if self.random.random() < 0.7 else self.random.randrange(2, 14)
        return Predicate(control, self.random.random() < 0.5)

    def _condition(self, opcode: Opcode) -> Condition:
        choices = [each for each in Condition if each is not Condition.NONE]
        if opcode in (Opcode.CMP, Opcode.CMPN, Opcode.CSEL):
            return self.random.choice(choices[:6])
        if opcode is Opcode.MATH:
            return Condition.NONE
        return self.random.choice(choices) if self.random.random() < 0.2 else Condition.NONE


def _end() -> bytes:
    asm = Assembler(compacting=False)
    asm.end()
    return asm.code()


END: Final = _end()
"""The end of a thread."""


def _float_bits(choose: random.Random, kind: Type) -> int:
    """An ordinary number mostly; zeros, infinities, NaNs and denormals too."""
    exponent, fraction = {Type.HF: (5, 10), Type.F: (8, 23), Type.DF: (11, 52)}[kind]
    sign = choose.getrandbits(1) << exponent + fraction
    bias = (1 << exponent - 1) - 1
    draw = choose.random()
    if draw < 0.7:
        near = bias + choose.randrange(-6, 12)
        return sign | near << fraction | choose.getrandbits(fraction)
    if draw < 0.8:
        return sign | (bias + choose.randrange(0, 5)) << fraction
    if draw < 0.85:
        return sign
    if draw < 0.9:
        return sign | ((1 << exponent) - 1) << fraction
    if draw < 0.93:
        return sign | ((1 << exponent) - 1) << fraction | 1 << fraction - 1
    if draw < 0.96:
        return sign | choose.getrandbits(fraction)
    return (
        sign | choose.randrange(1, (1 << exponent) - 1) << fraction | choose.getrandbits(fraction)
    )


def registers(seed: int) -> bytes:
    """What is in the general registers at first, each bank with numbers of its kind."""
    choose = random.Random(seed)
    content = bytearray(choose.randbytes(4096))
    for kind, (first, last) in BANKS.items():
        if kind is None:
            continue
        for at in range(32 * first, 32 * last, kind.size):
            content[at : at + kind.size] = _float_bits(choose, kind).to_bytes(kind.size, "little")
    for at in range(32 * BANKS[None][0], 32 * BANKS[None][1], 8):
        if choose.random() < 0.4:
            small = choose.choice([0, 1, -1, 2, 127, 128, 255, 32767, 65535, 1 << 31, -(1 << 31)])
            content[at : at + 8] = (small & ((1 << 64) - 1)).to_bytes(8, "little")
    return bytes(content)
