"""Waits, conditional ends and the commands without effect. Batches: `test_streamer.py`."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    ABSENT,
    BATCH_END,
    DATA,
    RING,
    USER_BATCH,
    USER_BATCH_START,
    CommandBench,
    make_bench,
)

GGTT = 1 << 22
WAIT = 0x1C << 23 | 1 << 15 | 2
CONDITIONAL_END = 0x36 << 23 | 1 << 21 | 2
COMPARISONS = [
    (0, [False, False, True]),
    (1, [False, True, True]),
    (2, [True, False, False]),
    (3, [True, True, False]),
    (4, [False, True, False]),
    (5, [True, False, True]),
]
"""Operation, and whether memory of 4, 5 and 6 compares so with 5."""


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


@pytest.mark.parametrize(("operation", "expected"), COMPARISONS)
def test_semaphore_wait_compares(operation: int, expected: list[bool]) -> None:
    for memory, passes in zip((4, 5, 6), expected, strict=True):
        bench = make_bench()
        bench.put(DATA, [memory])
        stop = bench.run([WAIT | GGTT | operation << 12, 5, DATA, 0])
        assert stop is (Stop.RING_EMPTY if passes else Stop.WAIT)


def test_a_wait_stays_until_memory_changes(bench: CommandBench) -> None:
    assert bench.run([WAIT | 4 << 12, 1, DATA, 0, 0x02 << 23, 0]) is Stop.WAIT
    assert bench.context.ring.head == 0
    assert bench.again() is Stop.WAIT
    assert bench.host.interrupts == [11], "once a wait"
    bench.put(DATA, [1])
    assert bench.again() is Stop.RING_EMPTY
    assert bench.host.interrupts == [11, 0]
    assert bench.host.counters.executed["MI_SEMAPHORE_WAIT"] == 1


def test_each_wait_raises_its_interrupt(bench: CommandBench) -> None:
    wait = [WAIT | 4 << 12, 1, DATA, 0]
    bench.run(wait)
    bench.put(DATA, [1])
    bench.again()
    bench.put(DATA, [0])
    assert bench.run(wait) is Stop.WAIT
    assert bench.host.interrupts == [11, 11]


def test_a_wait_in_a_batch_resumes_there(bench: CommandBench) -> None:
    store = [0x20 << 23 | 2, DATA + 4, 0, 9]
    assert bench.batch([0, 0, WAIT | 4 << 12, 1, DATA, 0, *store]) is Stop.WAIT
    assert bench.context.batch.address == USER_BATCH + 8
    bench.put(DATA, [1])
    assert bench.again() is Stop.RING_EMPTY
    assert bench.get(DATA + 4) == [9]


def test_a_wait_on_a_register(bench: CommandBench) -> None:
    assert bench.run([WAIT | 1 << 16 | 4 << 12, 3, 0x2600, 0]) is Stop.WAIT
    bench.host.registers[0x2600] = 3
    assert bench.again() is Stop.RING_EMPTY


def test_the_signal_mode_looks_at_memory_too(bench: CommandBench) -> None:
    assert bench.run([0x1C << 23 | 4 << 12 | 2, 1, DATA, 0]) is Stop.WAIT
    bench.put(DATA, [1])
    assert bench.again() is Stop.RING_EMPTY


def test_a_user_batch_does_not_wait_on_the_ggtt(bench: CommandBench) -> None:
    assert bench.batch([WAIT | GGTT | 4 << 12, 1, ABSENT, 0]) is Stop.RING_EMPTY
    assert bench.host.counters.dropped == {"MI_SEMAPHORE_WAIT GGTT": 1}


def test_a_wait_in_nothing_faults(bench: CommandBench) -> None:
    assert bench.run([WAIT, 1, ABSENT, 0]) is Stop.HUNG


@pytest.mark.parametrize("header", [WAIT | 6 << 12, CONDITIONAL_END | 7 << 12])
def test_comparisons_that_are_none_hang(bench: CommandBench, header: int) -> None:
    assert bench.batch([header, 1, DATA, 0]) is Stop.HUNG


@pytest.mark.parametrize(("operation", "expected"), COMPARISONS)
def test_conditional_end_goes_on_while_it_compares(operation: int, expected: list[bool]) -> None:
    for memory, goes_on in zip((4, 5, 6), expected, strict=True):
        bench = make_bench()
        bench.put(DATA, [memory])
        body = [CONDITIONAL_END | operation << 12, 5, DATA, 0, 0x02 << 23]
        assert bench.batch(body) is Stop.RING_EMPTY
        assert bench.host.interrupts == ([0] if goes_on else [])


def test_conditional_end_under_a_mask(bench: CommandBench) -> None:
    bench.put(DATA, [0x0F, 0xF5])
    body = [CONDITIONAL_END | 1 << 19 | 4 << 12, 5, DATA, 0, 0x02 << 23]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0]


@pytest.mark.parametrize(("this_level", "interrupts"), [(0, []), (1 << 18, [0])])
def test_conditional_end_of_a_second_level(
    bench: CommandBench, this_level: int, interrupts: list[int]
) -> None:
    second = USER_BATCH + 0x1000
    bench.put(second, [CONDITIONAL_END | this_level, 5, DATA, 0, BATCH_END])
    call = [USER_BATCH_START | 1 << 22, second, 0]
    assert bench.batch([*call, 0x02 << 23]) is Stop.RING_EMPTY
    assert bench.host.interrupts == interrupts


def test_conditional_end_in_the_ring_hangs(bench: CommandBench) -> None:
    assert bench.run([CONDITIONAL_END, 5, DATA, 0]) is Stop.HUNG


def test_a_user_batch_ends_on_no_ggtt_value(bench: CommandBench) -> None:
    body = [CONDITIONAL_END | GGTT, 5, DATA, 0, 0x02 << 23]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0]


def test_the_spinner_of_igt(bench: CommandBench) -> None:
    """A loop on a conditional end spins until its condition changes."""
    bench.put(DATA, [0xFFFF_FFFF])
    condition = [CONDITIONAL_END, BATCH_END, DATA, 0]
    assert bench.batch([*condition, USER_BATCH_START, USER_BATCH, 0]) is Stop.QUANTUM
    assert bench.context.spinning
    bench.put(DATA, [BATCH_END])
    assert bench.again() is Stop.RING_EMPTY


@pytest.mark.parametrize(
    "command",
    [
        [0x03 << 23],
        [0x04 << 23],
        [0x06 << 23],
        [0x09 << 23],
        [0x0B << 23],
        [0x0D << 23],
        [0x0E << 23 | 0x7F],
        [0x0F << 23],
        [0x12 << 23, 0],
        [0x13 << 23, 0],
        [0x14 << 23 | 1, 0, 0],
        [0x14 << 23 | 2, 0, 0, 0],
        [0x19 << 23, 0],
        [0x1B << 23, 0],
        [0x1D << 23, 0x3_0003],
        [0x2C << 23 | 2, 0, 0, 0],
        [0x2D << 23 | 2, 0, 0, 0],
    ],
)
def test_commands_without_effect_keep_the_length(bench: CommandBench, command: list[int]) -> None:
    assert bench.run([*command, 0x02 << 23]) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0]
    assert bench.host.registers == {}


def test_only_the_render_engine_has_mi_predicate() -> None:
    assert make_bench("RCS").run([0x0C << 23, 0]) is Stop.RING_EMPTY
    assert make_bench("VCS").run([0x0C << 23, 0]) is Stop.HUNG


def test_the_hang_names_the_place_in_a_batch(bench: CommandBench) -> None:
    assert bench.batch([0, 0, 0x3F << 23]) is Stop.HUNG
    assert bench.host.hangs[0].address == USER_BATCH + 8
    assert bench.context.ring.head == 12
    assert bench.context.ring.start == RING
