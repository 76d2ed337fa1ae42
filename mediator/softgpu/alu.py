"""MI_MATH: the command streamer's 64-bit ALU.

Source: PRM SKL vol 2a MI_MATH, "MI ALU instructions". Pure but for `math`, which lends it the
engine's general purpose registers. Operand registers and flags start at 0 in every command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from mediator.gen9.field import Field
from mediator.gen9.registers import RING_CS_GPR, RING_CS_GPR_COUNT
from mediator.softgpu.outcome import IllegalCommand

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

ALL_ONES: Final = (1 << 64) - 1
_OPCODE: Final = Field(31, 20)
_OPERAND1: Final = Field(19, 10)
_OPERAND2: Final = Field(9, 0)


class AluOp(IntEnum):
    """Instruction bits 31:20."""

    NOOP = 0x000
    LOAD = 0x080
    LOADINV = 0x480
    LOAD0 = 0x081
    LOAD1 = 0x481
    ADD = 0x100
    SUB = 0x101
    AND = 0x102
    OR = 0x103
    XOR = 0x104
    STORE = 0x180
    STOREINV = 0x580


class AluRegister(IntEnum):
    """Operands besides the general purpose registers 0 to 15."""

    SRCA = 0x20
    SRCB = 0x21
    ACCU = 0x31
    ZF = 0x32
    CF = 0x33


class RegisterBank(Protocol):
    """The sixteen 64-bit general purpose registers."""

    def read(self, number: int) -> int:
        """Value of register ``number``."""

    def write(self, number: int, value: int) -> None:
        """Set register ``number``."""


@dataclass
class Alu:
    """The ALU's own registers; flags hold all ones or 0."""

    srca: int = 0
    srcb: int = 0
    accu: int = 0
    zf: int = 0
    cf: int = 0

    def execute(self, instructions: Iterable[int], bank: RegisterBank) -> None:
        """Run ``instructions``. Raises IllegalCommand for an unknown opcode or operand."""
        for instruction in instructions:
            self._step(instruction, bank)

    def _step(self, instruction: int, bank: RegisterBank) -> None:
        code = _OPCODE.get(instruction)
        operand1, operand2 = _OPERAND1.get(instruction), _OPERAND2.get(instruction)
        match code:
            case AluOp.NOOP:
                pass
            case AluOp.LOAD:
                self._load(operand1, self._source(operand2, bank))
            case AluOp.LOADINV:
                self._load(operand1, self._source(operand2, bank) ^ ALL_ONES)
            case AluOp.LOAD0:
                self._load(operand1, 0)
            case AluOp.LOAD1:
                self._load(operand1, ALL_ONES)
            case AluOp.ADD:
                total = self.srca + self.srcb
                self._result(total & ALL_ONES, carry=total > ALL_ONES)
            case AluOp.SUB:
                total = self.srca - self.srcb
                self._result(total & ALL_ONES, carry=total < 0)
            case AluOp.AND:
                self._result(self.srca & self.srcb, carry=False)
            case AluOp.OR:
                self._result(self.srca | self.srcb, carry=False)
            case AluOp.XOR:
                self._result(self.srca ^ self.srcb, carry=False)
            case AluOp.STORE:
                self._store(operand1, self._value(operand2), bank)
            case AluOp.STOREINV:
                self._store(operand1, self._value(operand2) ^ ALL_ONES, bank)
            case _:
                raise IllegalCommand(f"MI_MATH instruction {instruction:#010x}")

    def _result(self, value: int, *, carry: bool) -> None:
        self.accu = value
        self.zf = 0 if value else ALL_ONES
        self.cf = ALL_ONES if carry else 0

    def _load(self, register: int, value: int) -> None:
        if register == AluRegister.SRCA:
            self.srca = value
        elif register == AluRegister.SRCB:
            self.srcb = value
        else:
            raise IllegalCommand(f"MI_MATH loads register {register:#x}")

    def _source(self, register: int, bank: RegisterBank) -> int:
        if register < RING_CS_GPR_COUNT:
            return bank.read(register)
        return self._value(register)

    def _value(self, register: int) -> int:
        match register:
            case AluRegister.ACCU:
                return self.accu
            case AluRegister.ZF:
                return self.zf
            case AluRegister.CF:
                return self.cf
            case _:
                raise IllegalCommand(f"MI_MATH reads register {register:#x}")

    def _store(self, register: int, value: int, bank: RegisterBank) -> None:
        if register >= RING_CS_GPR_COUNT:
            raise IllegalCommand(f"MI_MATH stores to register {register:#x}")
        bank.write(register, value)


class _EngineRegisters:
    """The running engine's general purpose registers."""

    def __init__(self, streamer: Streamer) -> None:
        self._streamer = streamer
        self._first = streamer.mmio_base + RING_CS_GPR

    def read(self, number: int) -> int:
        return self._streamer.read_register_u64(self._first + 8 * number)

    def write(self, number: int, value: int) -> None:
        host, offset = self._streamer.host, self._first + 8 * number
        host.write_register(offset, value & 0xFFFF_FFFF)
        host.write_register(offset + 4, value >> 32)


def math(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_MATH: run the ALU instructions that follow the header."""
    Alu().execute(command[1:], _EngineRegisters(streamer))
    return None
