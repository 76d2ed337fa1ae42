"""MI_MATH against a model of plain integers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.softgpu.alu import Alu, AluOp, AluRegister
from mediator.softgpu.outcome import IllegalCommand
from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import make_bench

ONES = (1 << 64) - 1
qwords = st.one_of(st.integers(0, ONES), st.sampled_from([0, 1, ONES, 1 << 63, ONES >> 1]))
gprs = st.integers(0, 15)


@dataclass
class Bank:
    values: list[int] = field(default_factory=lambda: [0] * 16)

    def read(self, number: int) -> int:
        return self.values[number]

    def write(self, number: int, value: int) -> None:
        self.values[number] = value


def instruction(op: int, operand1: int = 0, operand2: int = 0) -> int:
    return op << 20 | operand1 << 10 | operand2


MODEL = {
    AluOp.ADD: lambda a, b: a + b,
    AluOp.SUB: lambda a, b: a - b,
    AluOp.AND: lambda a, b: a & b,
    AluOp.OR: lambda a, b: a | b,
    AluOp.XOR: lambda a, b: a ^ b,
}


@given(op=st.sampled_from(list(MODEL)), a=qwords, b=qwords, x=gprs, y=gprs)
def test_operations(op: AluOp, a: int, b: int, x: int, y: int) -> None:
    bank = Bank()
    bank.values[x] = a
    bank.values[y] = b
    a = bank.values[x]
    program = [
        instruction(AluOp.LOAD, AluRegister.SRCA, x),
        instruction(AluOp.LOAD, AluRegister.SRCB, y),
        instruction(op),
        instruction(AluOp.STORE, 0, AluRegister.ACCU),
        instruction(AluOp.STORE, 1, AluRegister.CF),
        instruction(AluOp.STORE, 2, AluRegister.ZF),
        instruction(AluOp.STOREINV, 3, AluRegister.ACCU),
    ]
    Alu().execute(program, bank)
    exact = MODEL[op](a, b)
    wrapped = exact & ONES
    assert bank.values[0] == wrapped
    assert bank.values[1] == (ONES if exact != wrapped else 0)
    assert bank.values[2] == (ONES if wrapped == 0 else 0)
    assert bank.values[3] == wrapped ^ ONES


@given(a=qwords, x=gprs)
def test_loads(a: int, x: int) -> None:
    bank = Bank()
    bank.values[x] = a
    program = [
        instruction(AluOp.LOADINV, AluRegister.SRCA, x),
        instruction(AluOp.LOAD0, AluRegister.SRCB),
        instruction(AluOp.OR),
        instruction(AluOp.STORE, 0, AluRegister.ACCU),
        instruction(AluOp.LOAD1, AluRegister.SRCB),
        instruction(AluOp.AND),
        instruction(AluOp.STORE, 1, AluRegister.ACCU),
    ]
    Alu().execute(program, bank)
    assert bank.values[:2] == [a ^ ONES, a ^ ONES]


@given(program=st.lists(st.integers(0, 0xFFFF_FFFF), max_size=32))
def test_any_program_ends_or_is_illegal(program: list[int]) -> None:
    bank = Bank([ONES] * 16)
    with contextlib.suppress(IllegalCommand):
        Alu().execute(program, bank)
    assert all(0 <= value <= ONES for value in bank.values)


def test_the_command_uses_the_engines_own_registers() -> None:
    for engine, base in (("RCS", 0x2600), ("VECS", 0x1A600)):
        bench = make_bench(engine)
        bench.host.registers |= {base: 0xFFFF_FFFF, base + 4: 0, base + 8: 1}
        program = [
            instruction(AluOp.LOAD, AluRegister.SRCA, 0),
            instruction(AluOp.LOAD, AluRegister.SRCB, 1),
            instruction(AluOp.ADD),
            instruction(AluOp.STORE, 15, AluRegister.ACCU),
        ]
        assert bench.batch([0x1A << 23 | 3, *program]) is Stop.RING_EMPTY
        assert bench.host.registers[base + 8 * 15] == 0
        assert bench.host.registers[base + 8 * 15 + 4] == 1


@pytest.mark.parametrize(
    "bad",
    [
        instruction(0x105),
        instruction(AluOp.LOAD, AluRegister.ACCU, 0),
        instruction(AluOp.LOAD, AluRegister.SRCA, 16),
        instruction(AluOp.STORE, 16, AluRegister.ACCU),
        instruction(AluOp.STORE, 0, 5),
    ],
)
def test_illegal_instructions_hang(bad: int) -> None:
    assert make_bench().run([0x1A << 23, bad]) is Stop.HUNG


def _legal(program: list[int]) -> bool:
    try:
        Alu().execute(program, Bank())
    except IllegalCommand:
        return False
    return True


def test_exactly_these_operands_exist() -> None:
    """All ten bits of each count."""
    every = range(1 << 10)
    gpr, results = set(range(16)), {0x31, 0x32, 0x33}
    for op in (AluOp.LOAD, AluOp.LOADINV):
        assert {n for n in every if _legal([instruction(op, n, 0)])} == {0x20, 0x21}
        assert {n for n in every if _legal([instruction(op, 0x20, n)])} == gpr | results
    for op in (AluOp.LOAD0, AluOp.LOAD1):
        assert {n for n in every if _legal([instruction(op, n)])} == {0x20, 0x21}
    for op in (AluOp.STORE, AluOp.STOREINV):
        assert {n for n in every if _legal([instruction(op, n, 0x31)])} == gpr
        assert {n for n in every if _legal([instruction(op, 0, n)])} == results


def test_exactly_these_instructions_exist() -> None:
    found = {code for code in range(1 << 12) if _legal([instruction(code, 0x20, 0)])}
    stores = {code for code in range(1 << 12) if _legal([instruction(code, 0, 0x31)])}
    assert found == {0, 0x80, 0x480, 0x81, 0x481, 0x100, 0x101, 0x102, 0x103, 0x104}
    assert stores == {0, 0x100, 0x101, 0x102, 0x103, 0x104, 0x180, 0x580}
