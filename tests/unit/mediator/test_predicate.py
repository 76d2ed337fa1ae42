"""MI_PREDICATE, MI_SET_PREDICATE and the commands with a predicate bit of their own."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    BATCH_END,
    NOOP,
    USER_BATCH,
    USER_BATCH_START,
    make_bench,
)
from tests.unit.mediator.command_bench import DATA as MEMORY

SRC0, SRC1, DATA, RESULT = 0x2400, 0x2408, 0x2410, 0x2418
RESULT_2 = 0x23BC
SET_PREDICATE = 0x01 << 23
STORE_REGISTER = 0x24 << 23 | 1 << 21 | 2
PREDICATE = 0x0C << 23
KEEP, LOAD, INVERT = 0 << 6, 2 << 6, 3 << 6
SET, AND, OR, XOR = (n << 3 for n in range(4))
TRUE, FALSE, SOURCES, DELTAS = range(4)


def run(header: int, registers: dict[int, int]) -> int:
    bench = make_bench()
    bench.host.registers.update(registers)
    assert bench.run([PREDICATE | header, 0]) is Stop.RING_EMPTY
    return bench.host.registers.get(RESULT, 0)


@pytest.mark.parametrize(
    ("compare", "registers", "expected"),
    [
        (TRUE, {}, 1),
        (FALSE, {}, 0),
        (SOURCES, {SRC0: 5, SRC1: 5}, 1),
        (SOURCES, {SRC0: 5, SRC1: 5, SRC1 + 4: 1}, 0),
        (SOURCES, {SRC0: 5, SRC1: 5, DATA: 9}, 1),
        (SOURCES, {SRC0: 7, SRC1: 5, DATA: 2}, 0),
        (TRUE, {SRC0: 7, SRC1: 5, DATA: 9}, 1),
        (FALSE, {SRC0: 5, SRC1: 5, DATA: 0}, 0),
        (DELTAS, {SRC0: 7, SRC1: 5, DATA: 2}, 1),
        (DELTAS, {SRC0: 5, SRC1: 7, DATA: 0xFFFF_FFFE, DATA + 4: 0xFFFF_FFFF}, 1),
        (DELTAS, {SRC0: 5, SRC1: 7, DATA: 2}, 0),
    ],
)
def test_comparisons(compare: int, registers: dict[int, int], expected: int) -> None:
    assert run(LOAD | SET | compare, registers) == expected
    assert run(INVERT | SET | compare, registers) == 1 - expected


@pytest.mark.parametrize(
    ("combine", "table"), [(AND, [0, 0, 0, 1]), (OR, [0, 1, 1, 1]), (XOR, [0, 1, 1, 0])]
)
def test_combinations(combine: int, table: list[int]) -> None:
    for i, expected in enumerate(table):
        compare = TRUE if i & 1 else FALSE
        assert run(LOAD | combine | compare, {RESULT: i >> 1}) == expected


def test_keep_leaves_the_state() -> None:
    assert run(KEEP | SET | FALSE, {RESULT: 1}) == 1


def test_an_unknown_load_hangs() -> None:
    assert make_bench().run([PREDICATE | 1 << 6, 0]) is Stop.HUNG


def store(value: int, address: int = MEMORY) -> list[int]:
    return [0x20 << 23 | 2, address, 0, value]


@pytest.mark.parametrize(
    ("mode", "register", "result", "expected"),
    [
        (0, RESULT_2, 0, 1),
        (1, RESULT_2, 0, 0),
        (1, RESULT_2, 1, 1),
        (2, RESULT_2, 0, 1),
        (2, RESULT_2, 1, 0),
        (3, RESULT, 0, 0),
        (3, RESULT, 1, 1),
        (4, RESULT, 0, 1),
        (4, RESULT, 1, 0),
        (5, RESULT, 0, 1),
        (6, RESULT, 0, 0),
        (7, RESULT, 0, 0),
        (8, RESULT, 0, 1),
        (15, RESULT_2, 0, 0),
        (15, RESULT_2, 1, 0),
    ],
)
def test_set_predicate(mode: int, register: int, result: int, expected: int) -> None:
    bench = make_bench()
    bench.host.registers[register] = result
    body = [SET_PREDICATE | mode, NOOP, *store(1), SET_PREDICATE, *store(2, MEMORY + 4)]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.get(MEMORY, 2) == [expected, 2]
    assert bench.host.counters.predicated == ({} if expected else {"MI_STORE_DATA_IMM": 1})


def test_predication_follows_the_result_at_each_command() -> None:
    bench = make_bench()
    bench.host.registers[RESULT] = 1
    clear = [0x22 << 23 | 1, RESULT, 0]
    assert bench.batch([SET_PREDICATE | 3, *store(1), *clear, *store(2)]) is Stop.RING_EMPTY
    assert bench.get(MEMORY) == [1]


def test_a_predicate_left_on_ends_with_its_batch() -> None:
    bench = make_bench()
    bench.put(USER_BATCH, [SET_PREDICATE | 15, *store(1), BATCH_END])
    start = [USER_BATCH_START, USER_BATCH, 0]
    assert bench.run([*start, *store(2, MEMORY + 4)]) is Stop.RING_EMPTY
    assert bench.get(MEMORY, 2) == [0, 2]


@pytest.mark.parametrize(("result", "expected"), [(0, 0), (1, 7), (2, 0)])
def test_a_predicated_register_store(result: int, expected: int) -> None:
    """Mesa's queries write their result so, once it is there."""
    bench = make_bench()
    bench.host.registers |= {RESULT: result, 0x2600: 7}
    assert bench.batch([STORE_REGISTER, 0x2600, MEMORY, 0]) is Stop.RING_EMPTY
    assert bench.get(MEMORY) == [expected]


def test_other_engines_have_no_predicate_for_a_register_store() -> None:
    bench = make_bench("BCS")
    bench.host.registers[0x22600] = 7
    assert bench.batch([STORE_REGISTER, 0x22600, MEMORY, 0]) is Stop.RING_EMPTY
    assert bench.get(MEMORY) == [7]


LOAD_REGISTERS = 0x22 << 23
_OF_LENGTH = {
    "registers": (LOAD_REGISTERS | 5, 7),
    "qword": (0x20 << 23 | 1 << 21 | 3, 5),
    "wait": (0x1C << 23 | 2, 4),
    "flush": (0x26 << 23 | 3, 5),
    "atomic": (0x2F << 23 | 9, 11),
    "pipe control": (0x7A00_0004, 6),
    "state": (0x6101_0011, 19),
    "shorter than it can be": (0x20 << 23, 4),
}


@pytest.mark.parametrize("name", _OF_LENGTH)
def test_what_is_suppressed_is_passed_over_whole(name: str) -> None:
    """Its operands would end the batch, if they were taken for commands."""
    header, length = _OF_LENGTH[name]
    bench = make_bench()
    body = [SET_PREDICATE | 15, header, *[BATCH_END] * (length - 1), SET_PREDICATE, *store(7)]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.get(MEMORY) == [7]
    assert sum(bench.host.counters.predicated.values()) == 1
