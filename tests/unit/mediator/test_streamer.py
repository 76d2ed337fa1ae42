"""The command streamer: ring, batches, budget, arbitration, hangs."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    ABSENT,
    BATCH_END,
    DATA,
    NOOP,
    RING,
    RING_SIZE,
    SECURE_BATCH,
    SECURE_BATCH_START,
    USER_BATCH,
    USER_BATCH_START,
    CommandBench,
    make_bench,
)

ARB_CHECK = 0x05 << 23
ARB_OFF = 0x08 << 23
ARB_ON = ARB_OFF | 1
USER_INTERRUPT = 0x02 << 23
SECOND_LEVEL = 1 << 22


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def store(value: int, address: int = DATA, *, use_global: bool = False) -> list[int]:
    return [0x20 << 23 | use_global << 22 | 2, address, 0, value]


def test_an_empty_ring_stops_at_once(bench: CommandBench) -> None:
    assert bench.run() is Stop.RING_EMPTY


def test_a_request_of_the_kernel_runs_to_the_tail(bench: CommandBench) -> None:
    flush = [0x7A00_0004, 1 << 20 | 1 << 14 | 1 << 24, DATA, 0, 77, 0]
    stop = bench.run([NOOP, ARB_CHECK, *flush, USER_INTERRUPT, ARB_ON, NOOP])
    assert stop is Stop.RING_EMPTY
    assert bench.context.ring.head == bench.context.ring.tail
    assert bench.get_u64(DATA) == 77
    assert bench.host.interrupts == [0]


def test_the_head_wraps_and_counts(bench: CommandBench) -> None:
    bench.context.ring.head = bench.context.ring.tail = RING_SIZE - 8
    assert bench.run([NOOP, NOOP, *store(5)]) is Stop.RING_EMPTY
    assert bench.context.ring.head == (1 << 21) + 16
    assert bench.get(DATA) == [5]


def test_a_command_may_cross_the_rings_end(bench: CommandBench) -> None:
    bench.context.ring.head = bench.context.ring.tail = RING_SIZE - 8
    assert bench.run(store(6)) is Stop.RING_EMPTY
    assert bench.get(DATA) == [6]
    assert bench.context.ring.head == (1 << 21) + 8


def test_the_wrap_count_itself_wraps(bench: CommandBench) -> None:
    bench.context.ring.tail = RING_SIZE - 8
    bench.context.ring.head = 0xFFE0_0000 | RING_SIZE - 8
    assert bench.run([NOOP, NOOP]) is Stop.RING_EMPTY
    assert bench.context.ring.head == 0


def test_a_command_past_the_tail_hangs(bench: CommandBench) -> None:
    assert bench.run([*store(5)[:2]]) is Stop.HUNG
    assert "tail" in bench.host.hangs[0].reason


def test_an_engine_that_reads_on_takes_what_stands_behind_the_tail(bench: CommandBench) -> None:
    """And goes round the ring for ever: head and tail are never equal between two commands."""
    bench.host.reads_on = True
    bench.put(RING, store(5))
    bench.context.ring.tail = 8
    assert bench.again() is Stop.QUANTUM
    assert bench.get(DATA) == [5]
    assert bench.context.ring.head >= 1 << 21
    assert bench.host.counters.executed["MI_STORE_DATA_IMM"] > 1


def test_an_engine_that_reads_on_leaves_the_ring_at_its_end(bench: CommandBench) -> None:
    bench.host.reads_on = True
    header, low, high, _ = store(6)
    bench.put(RING + RING_SIZE - 8, [header, low])
    bench.put(RING, [high, 6])
    bench.put(RING + RING_SIZE, [high, 7])
    bench.context.ring.head, bench.context.ring.tail = RING_SIZE - 8, 8
    assert bench.again() is Stop.RING_EMPTY
    assert bench.get(DATA) == [7]
    assert bench.context.ring.head == (1 << 21) + 8


def test_a_skipped_command_past_the_tail_hangs(bench: CommandBench) -> None:
    assert bench.run([0x7810_0007, 0]) is Stop.HUNG


@pytest.mark.parametrize("engine", ["RCS", "BCS", "VCS", "VECS"])
def test_unknown_commands_hang(engine: str) -> None:
    for dw0 in (0x3F << 23, 1 << 29, 7 << 29, 0x18 << 23 | 1):
        bench = make_bench(engine)
        assert bench.run([dw0, 0, 0, 0]) is Stop.HUNG
        (hang,) = bench.host.hangs
        assert (hang.address, hang.command, hang.fault) == (RING, dw0, None)
        assert bench.host.counters.illegal == 1


def test_commands_of_other_engines_hang() -> None:
    assert make_bench("RCS").run([0x5430_0004 | 1 << 22, *[0] * 6]) is Stop.HUNG
    assert make_bench("BCS").run([0x7A00_0004, *[0] * 5]) is Stop.HUNG


@pytest.mark.parametrize(
    ("engine", "dw0", "length", "name"),
    [
        ("RCS", 0x7B00_0005, 7, "3DPRIMITIVE"),
        ("RCS", 0x6904_0301, 1, "PIPELINE_SELECT"),
        ("RCS", 0x680B_0001, 1, "3DSTATE_VF_STATISTICS"),
        ("RCS", 0x7917_0101, 0x103, "3DSTATE_SO_DECL_LIST"),
        ("RCS", 0x7000_0102, 0x104, "MEDIA_VFE_STATE"),
        ("VCS", 0x7000_0003, 5, "MFX_PIPE_MODE_SELECT"),
        ("VCS", 0x7390_0011, 19, "HCP_PIC_STATE"),
        ("VCS", 0x6800_0100, 1, "MFX_WAIT"),
        ("VECS", 0x7402_0101, 0x103, "VEBOX_STATE"),
    ],
)
def test_pipeline_commands_are_skipped_and_counted(
    engine: str, dw0: int, length: int, name: str
) -> None:
    bench = make_bench(engine)
    assert bench.run([dw0, *[0xFFFF_FFFF] * (length - 1), USER_INTERRUPT]) is Stop.RING_EMPTY
    assert bench.host.counters.skipped == {name: 1}
    assert bench.host.interrupts == [0]


def test_a_ring_that_is_off_or_impossible_hangs(bench: CommandBench) -> None:
    bench.context.ring.control &= ~1
    assert bench.run([NOOP, NOOP]) is Stop.HUNG
    for head, tail in ((RING_SIZE, 0), (0, RING_SIZE)):
        bench = make_bench()
        bench.context.ring.head, bench.context.ring.tail = head, tail
        assert bench.again() is Stop.HUNG


def test_a_ring_in_nothing_faults(bench: CommandBench) -> None:
    bench.context.ring.start = ABSENT
    bench.context.ring.tail = 8
    assert bench.again() is Stop.HUNG
    assert bench.host.hangs[0].fault is not None
    assert bench.host.hangs[0].address == ABSENT


def test_a_batch_runs_and_returns(bench: CommandBench) -> None:
    assert bench.batch(store(9)) is Stop.RING_EMPTY
    assert bench.get(DATA) == [9]
    assert not bench.context.batch.active


def test_a_batch_that_runs_off_its_pages_faults(bench: CommandBench) -> None:
    last = 0x3F_F000
    bench.put(last + 0xFF0, store(4))
    assert bench.run([USER_BATCH_START, last, 0, NOOP]) is Stop.HUNG
    (hang,) = bench.host.hangs
    assert hang.fault is not None
    assert hang.address == last + 0x1000
    assert bench.get(DATA) == [4]


def test_a_command_across_a_page_is_fetched_whole(bench: CommandBench) -> None:
    bench.put(USER_BATCH + 0xFF8, [*store(3), BATCH_END])
    assert bench.run([USER_BATCH_START, USER_BATCH + 0xFF8, 0, NOOP]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [3]


def test_second_level_returns_into_the_first(bench: CommandBench) -> None:
    second = USER_BATCH + 0x4000
    bench.put(second, [*store(1), BATCH_END])
    call = [USER_BATCH_START | SECOND_LEVEL, second, 0]
    assert bench.batch([*call, *store(2, DATA + 4)]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [1, 2]


def test_a_chain_does_not_return(bench: CommandBench) -> None:
    other = USER_BATCH + 0x4000
    bench.put(other, [*store(1), BATCH_END])
    assert bench.batch([USER_BATCH_START, other, 0, *store(2, DATA + 4)]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [1, 0]


def test_batches_nest_two_deep_only(bench: CommandBench) -> None:
    """A second level that starts a second level does not come back to it."""
    second, third = USER_BATCH + 0x4000, USER_BATCH + 0x5000
    call = [USER_BATCH_START | SECOND_LEVEL, second, 0]
    bench.put(second, [USER_BATCH_START | SECOND_LEVEL, third, 0, *store(9), BATCH_END])
    bench.put(third, [*store(1), BATCH_END])
    assert bench.batch([*call, *store(2, DATA + 4)]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [1, 2]
    assert make_bench().run([*call, 0]) is Stop.HUNG, "no second level without a first"


def test_a_second_level_that_starts_itself_spins(bench: CommandBench) -> None:
    second = USER_BATCH + 0x4000
    call = [USER_BATCH_START | SECOND_LEVEL, second, 0]
    bench.put(second, call)
    assert bench.batch(call) is Stop.QUANTUM
    assert bench.context.spinning


@pytest.mark.parametrize("offset", [0x20, 0x23])
def test_a_batch_starts_at_an_offset(bench: CommandBench, offset: int) -> None:
    bench.host.registers[0x2158] = offset
    bench.put(USER_BATCH, [BATCH_END])
    bench.put(USER_BATCH + 0x20, [*store(5), BATCH_END])
    assert bench.run([USER_BATCH_START | 1 << 16, USER_BATCH, 0, NOOP]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [5]


def test_batch_end_in_the_ring_hangs(bench: CommandBench) -> None:
    assert bench.run([BATCH_END, 0]) is Stop.HUNG


def test_a_user_batch_starts_no_secure_batch(bench: CommandBench) -> None:
    other = SECURE_BATCH + 0x1000
    bench.put(other, [*store(8, use_global=True), BATCH_END])
    assert bench.batch([SECURE_BATCH_START, other, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0]
    assert bench.host.counters.dropped == {
        "MI_BATCH_BUFFER_START privilege": 1,
        "MI_STORE_DATA_IMM GGTT": 1,
    }


def test_a_secure_batch_may_start_a_user_batch(bench: CommandBench) -> None:
    bench.put(USER_BATCH, [*store(8, use_global=True), BATCH_END])
    call = [USER_BATCH_START | SECOND_LEVEL, USER_BATCH, 0]
    assert bench.batch([*call, *store(7, DATA + 4, use_global=True)], user=False) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [0, 7]


@pytest.mark.parametrize(("gate", "expected"), [(0, 0), (1, 9)])
def test_a_predicated_batch_start(bench: CommandBench, gate: int, expected: int) -> None:
    bench.host.registers[0x241C] = gate
    bench.put(USER_BATCH, [*store(9), BATCH_END])
    assert bench.run([USER_BATCH_START | 1 << 15, USER_BATCH, 0, NOOP]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [expected]


def test_the_quantum_ends_a_run_and_the_next_goes_on(bench: CommandBench) -> None:
    bench.ring([d for i in range(300) for d in (*store(i, DATA + 4 * i), ARB_CHECK)])
    runs = 0
    while (stop := bench.again(quantum=50)) is Stop.QUANTUM:
        runs += 1
        assert runs < 20
    assert stop is Stop.RING_EMPTY
    assert runs >= 3
    assert bench.get(DATA, 300) == list(range(300))


def test_attention_stops_at_an_arbitration_check_in_a_batch(bench: CommandBench) -> None:
    bench.host.attention = True
    assert bench.batch([*store(1), ARB_CHECK, *store(2)]) is Stop.ATTENTION
    assert bench.get(DATA) == [1]
    assert bench.context.batch.address == USER_BATCH + 20
    assert bench.again() is Stop.RING_EMPTY
    assert bench.get(DATA) == [2]


def test_arbitration_off_holds_attention_back(bench: CommandBench) -> None:
    bench.host.attention = True
    assert bench.run([ARB_OFF, ARB_CHECK, ARB_ON, ARB_CHECK]) is Stop.ATTENTION
    assert bench.context.ring.head == bench.context.ring.tail


def test_a_batch_start_is_no_arbitration_point(bench: CommandBench) -> None:
    bench.host.attention = True
    assert bench.batch(store(1)) is Stop.RING_EMPTY


def test_a_user_batch_cannot_turn_arbitration_off(bench: CommandBench) -> None:
    assert bench.batch([ARB_OFF]) is Stop.RING_EMPTY
    assert bench.context.arbitration
    assert bench.host.counters.dropped == {"MI_ARB_ON_OFF": 1}


def test_abandon_stops_between_commands(bench: CommandBench) -> None:
    bench.host.abandon = True
    assert bench.run(store(1)) is Stop.ATTENTION
    assert bench.get(DATA) == [0]


def test_a_loop_without_effect_spins(bench: CommandBench) -> None:
    loop = [ARB_CHECK, *[NOOP] * 500, USER_BATCH_START, USER_BATCH, 0]
    assert bench.batch(loop) is Stop.QUANTUM
    assert bench.context.spinning
    assert bench.again() is Stop.QUANTUM
    bench.put(USER_BATCH, [BATCH_END])
    assert bench.again() is Stop.RING_EMPTY
    assert not bench.context.spinning


def test_a_spinning_batch_can_be_preempted(bench: CommandBench) -> None:
    assert bench.batch([ARB_CHECK, USER_BATCH_START, USER_BATCH, 0]) is Stop.QUANTUM
    bench.host.attention = True
    assert bench.again() is Stop.ATTENTION


def test_a_loop_with_an_effect_does_not_spin(bench: CommandBench) -> None:
    increment = [0x2F << 23 | 0x05 << 8 | 1, DATA, 0]
    assert bench.batch([*increment, USER_BATCH_START, USER_BATCH, 0]) is Stop.QUANTUM
    assert not bench.context.spinning
    assert bench.get(DATA)[0] > 100


def test_a_command_too_short_for_its_meaning_hangs(bench: CommandBench) -> None:
    assert bench.run([0x20 << 23, 0]) is Stop.HUNG
    assert "MI_STORE_DATA_IMM" in bench.host.hangs[0].reason


def test_a_page_fault_leaves_the_head_on_the_command(bench: CommandBench) -> None:
    assert bench.run([NOOP, NOOP, *store(1, ABSENT)]) is Stop.HUNG
    assert bench.context.ring.head == 8
    (hang,) = bench.host.hangs
    assert hang.address == RING + 8
    assert hang.fault is not None
    assert hang.fault.write


@pytest.mark.parametrize("noops", [1, 2, 3, 100])
def test_no_operations_use_up_nothing_of_a_quantum(noops: int) -> None:
    bench = make_bench()
    store = [0x20 << 23 | 1 << 22 | 2, DATA, 0, 0x600D]
    assert bench.run([*[0] * noops, *store, *[0] * noops], quantum=1) is Stop.QUANTUM
    assert bench.get(DATA) == [0x600D]
    assert bench.again() is Stop.RING_EMPTY


def test_commands_are_counted_by_name_and_by_what_became_of_them() -> None:
    bench = make_bench()
    counters = bench.host.counters
    store = [0x20 << 23 | 1 << 22 | 2, DATA, 0, 1]
    report = [0x28 << 23 | 2, DATA, 0, 0]
    bench.ring([*store, ARB_CHECK, ARB_CHECK, *report, 0x7804_0001, 0, 0, 0])
    bench.again()
    assert counters.executed == {"MI_STORE_DATA_IMM": 1, "MI_ARB_CHECK": 2} | {
        name: 1 for name in counters.executed if name == "MI_REPORT_PERF_COUNT"
    }
    assert sum(counters.skipped.values()) + sum(counters.executed.values()) == 5
    assert (counters.dropped, counters.predicated, counters.illegal) == ({}, {}, 0)
    assert bench.batch([ARB_OFF, *store]) is Stop.RING_EMPTY
    assert counters.dropped == {"MI_ARB_ON_OFF": 1, "MI_STORE_DATA_IMM GGTT": 1}
    assert bench.run([0x7F << 23, 0]) is Stop.HUNG
    assert counters.illegal == 1


def test_suppressed_commands_are_counted_as_such() -> None:
    """Under MI_SET_PREDICATE with "no operation while set": all but what ignores it."""
    bench = make_bench()
    counters = bench.host.counters
    store = [0x20 << 23 | 1 << 22 | 2, DATA, 0, 1]
    bench.host.registers[0x23BC] = 0
    never = 0x01 << 23 | 0xF
    bench.run([never, NOOP, *store, *store, 0x01 << 23, NOOP])
    assert counters.predicated["MI_STORE_DATA_IMM"] == 2
    assert counters.executed["MI_SET_PREDICATE"] == 2
    assert "MI_STORE_DATA_IMM" not in counters.executed
    assert bench.get(DATA) == [0]


@pytest.mark.parametrize("stores", range(4))
@pytest.mark.parametrize("mode", [0, 0xF])
def test_a_loop_that_sets_predication_does_something(mode: int, stores: int) -> None:
    """However many commands it suppresses, which count for nothing and against nothing."""
    bench = make_bench()
    store = [0x20 << 23 | 2, DATA, 0, 1]
    loop = [0x01 << 23 | mode, *store * stores, 0x01 << 23, USER_BATCH_START, USER_BATCH, 0]
    assert bench.batch(loop) is Stop.QUANTUM
    assert not bench.context.spinning
