"""MI_PREDICATE. MI_SET_PREDICATE: `test_streamer.py`."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import make_bench

SRC0, SRC1, DATA, RESULT = 0x2400, 0x2408, 0x2410, 0x2418
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
