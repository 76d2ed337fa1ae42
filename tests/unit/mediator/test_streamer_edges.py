"""The command streamer at its edges: of pages, rings, quanta, and of what a guest changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.softgpu.context_state import BatchState, ContextState, RingState
from mediator.softgpu.streamer import SLICE, Stop, _place
from tests.unit.mediator.command_bench import (
    ABSENT,
    BATCH_END,
    DATA,
    NOOP,
    PML4,
    RING,
    RING_SIZE,
    SECURE_BATCH,
    USER_BATCH,
    USER_BATCH_START,
    CommandBench,
    make_bench,
)

PAGE = 4096
ARB_CHECK = 0x05 << 23
USER_INTERRUPT = 0x02 << 23
WAIT_FOR_EVENT = 0x03 << 23
SET_PREDICATE = 0x01 << 23
ILLEGAL = 0x3F << 23
STORE, QWORD, GGTT = 0x20 << 23, 1 << 21, 1 << 22
INCREMENT = [0x2F << 23 | 0x05 << 8 | 1, DATA, 0]
LOOP = [USER_BATCH_START, USER_BATCH, 0]
TOP = 1 << 48


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def store(value: int, address: int = DATA) -> list[int]:
    return [STORE | 2, address, 0, value]


def stores(bench: CommandBench) -> int:
    return bench.host.counters.executed["MI_STORE_DATA_IMM"]


# -- quanta --------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantum", [1, 2, 3, 5, SLICE - 1, SLICE])
def test_a_short_quantum_is_exact(bench: CommandBench, quantum: int) -> None:
    bench.ring([dword for n in range(2 * SLICE) for dword in store(n)])
    for number in (1, 2):
        assert bench.again(quantum) is Stop.QUANTUM
        assert stores(bench) == number * quantum
        assert bench.get(DATA) == [number * quantum - 1]
        assert bench.streamer.left == 0


def test_a_long_quantum_takes_rows_of_one_command_whole(bench: CommandBench) -> None:
    """As the same commands one by one, and in no more time than the first takes."""
    bench.ring([dword for n in range(240) for dword in store(n, DATA + 4 * n)])
    assert bench.again(SLICE + 1) is Stop.RING_EMPTY
    assert bench.get(DATA, 241) == [*range(240), 0]
    assert stores(bench) == 240
    assert bench.streamer.left > 0


@pytest.mark.parametrize(
    "command",
    [
        [STORE | 2, DATA, 0, 5],
        [STORE | GGTT | 2, DATA, 0, 5],
        [STORE | QWORD | 3, DATA, 0, 5, 6],
        [STORE | 3, DATA, 0, 5, 0],
        [STORE | QWORD | 4, DATA, 0, 5, 6, 0],
    ],
)
@pytest.mark.parametrize("user", [False, True])
def test_a_row_of_stores_does_what_each_does(command: list[int], user: bool) -> None:
    found = []
    for quantum in (SLICE, 1000):
        bench = make_bench()
        bench.host.ggtt.write_entry(8 * (DATA >> 12), (DATA + PAGE | 1).to_bytes(8, "little"))
        base = USER_BATCH if user else SECURE_BATCH
        body: list[int] = []
        for n in range(40):
            body += [command[0], DATA + 8 * n, *command[2:]]
        bench.put(base, [*body, BATCH_END])
        bench.ring([0x31 << 23 | user << 8 | 1, base, 0, NOOP])
        while bench.again(quantum) is Stop.QUANTUM:
            pass
        counters = bench.host.counters
        executed, dropped = dict(counters.executed), dict(counters.dropped)
        found.append((bench.get(DATA, 100), bench.get(DATA + PAGE, 100), executed, dropped))
    assert found[0] == found[1]
    assert found[0][2]["MI_STORE_DATA_IMM"] == 40


def test_a_pause_lets_each_run_do_something(bench: CommandBench) -> None:
    bench.host.pause = True
    bench.ring([dword for n in range(300) for dword in (*store(n), ARB_CHECK)])
    runs = 0
    while bench.again() is Stop.QUANTUM:
        assert stores(bench) > runs
        runs += 1
    assert stores(bench) == 300
    assert runs > 1


@pytest.mark.parametrize("quantum", range(3, 12))
def test_a_loop_with_an_effect_never_spins(bench: CommandBench, quantum: int) -> None:
    """However runs are cut: what an earlier one saw counts for nothing."""
    bench.ring([*LOOP, NOOP])
    bench.put(USER_BATCH, [*INCREMENT, *LOOP])
    before = 0
    for _ in range(6):
        assert bench.again(quantum) is Stop.QUANTUM
        assert not bench.context.spinning
        (now,) = bench.get(DATA)
        assert now > before
        before = now


@pytest.mark.parametrize(
    "body",
    [
        [WAIT_FOR_EVENT],
        [ARB_CHECK],
        [0x1C << 23 | 1 << 15 | 4 << 12 | 2, 0, DATA + 0x800, 0],
        [0x36 << 23 | 2, 0, DATA + 0x800, 0, *[NOOP] * 3],
        [NOOP] * 9,
        [],
    ],
    ids=["wait for event", "check", "semaphore", "conditional end refused", "no-ops", "nothing"],
)
def test_commands_without_effect_spin(bench: CommandBench, body: list[int]) -> None:
    if body and body[0] >> 23 == 0x36:
        body = [body[0] | GGTT, *body[1:]]
    assert bench.batch([*body, *LOOP]) is Stop.QUANTUM
    assert bench.context.spinning
    assert bench.streamer.left > 900


# -- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("noops", range(1, 5))
@pytest.mark.parametrize("quantum", [1, 1000])
def test_no_operations_up_to_the_end_of_a_page(
    bench: CommandBench, noops: int, quantum: int
) -> None:
    start = USER_BATCH + PAGE - 4 * (4 + noops)
    bench.put(start, [*store(7), *[NOOP] * noops, *store(8, DATA + 4), BATCH_END])
    bench.ring([USER_BATCH_START, start, 0, NOOP])
    while (stop := bench.again(quantum)) is Stop.QUANTUM:
        pass
    assert stop is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [7, 8]


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("skipped", [False, True])
def test_a_command_at_the_end_of_a_page(bench: CommandBench, before: int, skipped: bool) -> None:
    """Ending before it, at it, and behind it: carried out, or passed over by its length."""
    command = [0x7810_0002, 1, 2, 3] if skipped else store(7)
    start = USER_BATCH + PAGE - 4 * before
    bench.put(start, [*command, USER_INTERRUPT, BATCH_END])
    assert bench.run([USER_BATCH_START, start, 0, NOOP]) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0]
    assert bench.get(DATA) == [0 if skipped else 7]


def test_a_batch_goes_on_at_address_0_behind_the_last_of_48_bits(bench: CommandBench) -> None:
    pointers, directory, table = PML4 + PAGE, PML4 + 2 * PAGE, PML4 + 3 * PAGE
    bench.memory.write_u64(PML4 + 8 * 511, pointers | 3)
    bench.memory.write_u64(pointers + 8 * 511, directory | 3)
    bench.memory.write_u64(directory + 8 * 511, table | 3)
    bench.put(0x1F_F000 + PAGE - 16, store(7))
    bench.put(0, [ILLEGAL])
    start = TOP - 16
    assert bench.run([USER_BATCH_START, start & 0xFFFF_FFFF, start >> 32, NOOP]) is Stop.HUNG
    assert bench.get(DATA) == [7]
    (hang,) = bench.host.hangs
    assert (hang.address, hang.command) == (0, ILLEGAL)
    assert bench.context.batch.address == 0


@pytest.mark.parametrize("user", [False, True])
def test_a_fault_on_the_way_to_a_command_names_its_page_and_no_command(user: bool) -> None:
    bench = make_bench()
    bench.ring([*store(1), 0x31 << 23 | user << 8 | 1, ABSENT | 8, 0, NOOP])
    assert bench.again() is Stop.HUNG
    (hang,) = bench.host.hangs
    assert (hang.address, hang.command) == (ABSENT | 8, None)
    assert hang.fault is not None
    assert len(bench.streamer._page) == 0, "no page of the guest is held behind a run"
    assert bench.context.batch == BatchState(ABSENT | 8, True, user)


# -- rings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 2, 3, 256, 512])
def test_a_ring_is_as_long_as_its_control_says(bench: CommandBench, pages: int) -> None:
    """Bits 20:12, in pages minus 1; the bits around them are others'."""
    size = pages * PAGE
    ring = bench.context.ring
    ring.control = 1 << 21 | 1 << 11 | size - PAGE | 1
    ring.head, ring.tail = size - 8, 8
    bench.put(RING + size - 8, [NOOP, USER_INTERRUPT])
    bench.put(RING, [USER_INTERRUPT, NOOP])
    assert bench.again() is Stop.RING_EMPTY
    assert bench.host.interrupts == [0, 0]
    assert ring.head == 1 << 21 | 8


def test_the_tail_counts_in_qwords(bench: CommandBench) -> None:
    bench.put(RING, [USER_INTERRUPT] * 4)
    bench.context.ring.tail = 1 << 21 | 8 | 7
    assert bench.again() is Stop.RING_EMPTY
    assert bench.host.interrupts == [0, 0]


@pytest.mark.parametrize(
    ("head", "tail", "control"),
    [
        (8, RING_SIZE, RING_SIZE - PAGE | 1),
        (RING_SIZE, 8, RING_SIZE - PAGE | 1),
        (8, 16, RING_SIZE - PAGE),
    ],
)
def test_a_ring_that_makes_no_sense_hangs_at_its_start(
    bench: CommandBench, head: int, tail: int, control: int
) -> None:
    bench.run([NOOP, USER_INTERRUPT, NOOP, USER_INTERRUPT])
    ring = bench.context.ring
    ring.head, ring.tail, ring.control = head, tail, control
    assert bench.again() is Stop.HUNG
    (hang,) = bench.host.hangs
    assert (hang.address, hang.command, hang.fault) == (RING, None, None)
    assert ring.head == head


def test_a_place_is_in_the_ring_and_in_the_contexts_own_batches() -> None:
    """Not in those of the GGTT, which may be copies, nor in those that are over."""
    for first in (BatchState(), BatchState(0x4000, True, True), BatchState(0x4000, True, False)):
        for second in (BatchState(), BatchState(0x8000, False, True), BatchState(1, True, True)):
            context = ContextState(
                ring=RingState(head=5 << 21 | 0x1F_FFF8), batch=first, second=second
            )
            assert _place(context) == (
                0x1F_FFF8,
                0x4000 if first.active and first.ppgtt else 0,
                1 if second.active else 0,
            )


# -- what a guest changes ------------------------------------------------------------------------


class Changing(dict[int, object]):
    """What the streamer knows of headers; the guest changes its batch at each look."""

    def __init__(self, bench: CommandBench, address: int, dword: int) -> None:
        super().__init__()
        self.change: Callable[[], None] = lambda: bench.put(address, [dword])

    def get(self, key: int, default: object = None) -> object:
        self.change()
        return super().get(key, default)


@pytest.mark.parametrize("start", [USER_BATCH, USER_BATCH + PAGE - 8])
def test_a_header_is_what_was_looked_at(bench: CommandBench, start: int) -> None:
    """Whatever stands there later: a store into its own space stays one."""
    bench.host.ggtt.write_entry(8 * (DATA >> 12), (DATA + PAGE | 1).to_bytes(8, "little"))
    bench.put(start, [*store(7), BATCH_END])
    changing = Changing(bench, start, STORE | GGTT | 2)
    bench.streamer._user_entries = changing  # type: ignore[assignment]
    bench.run([USER_BATCH_START, start, 0, NOOP])
    assert (bench.get(DATA), bench.get(DATA + PAGE)) == ([7], [0])


def test_a_header_is_decoded_once_for_each_privilege(bench: CommandBench) -> None:
    bench.batch([ARB_CHECK, 0x08 << 23, ARB_CHECK | 1])
    assert set(bench.streamer._user_entries) == {0x0280, 0x0400, 0x0500}
    assert set(bench.streamer._privileged_entries) == {0x1880}
    assert bench.host.counters.dropped == {"MI_ARB_ON_OFF": 1}
    bench.run([0x08 << 23, NOOP])
    assert not bench.context.arbitration


# -- predication ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        [STORE | QWORD | 3, DATA, 0, ILLEGAL, ILLEGAL],
        [STORE | 2, DATA, 0, ILLEGAL],
        [0x22 << 23 | 7, *[ILLEGAL] * 8],
        [0x7810_0002, ILLEGAL, ILLEGAL, ILLEGAL],
        [NOOP, 1 << 22 | 5],
    ],
)
def test_what_is_suppressed_is_passed_over_whole(bench: CommandBench, command: list[int]) -> None:
    body = [SET_PREDICATE | 15, *command, SET_PREDICATE, *store(7, DATA + 8)]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.get(DATA, 3) == [0, 0, 7]
    assert sum(bench.host.counters.predicated.values()) == 1
    assert 0x2094 not in bench.host.registers


@pytest.mark.parametrize("mode", [0, 15])
def test_a_batch_ends_as_it_would_without_predication(bench: CommandBench, mode: int) -> None:
    assert bench.batch([SET_PREDICATE | mode]) is Stop.RING_EMPTY
    assert bench.context.batch == BatchState(USER_BATCH + 4, False, True)


def test_a_suppressed_command_past_the_tail_hangs(bench: CommandBench) -> None:
    assert bench.run([SET_PREDICATE | 15, *store(7)[:3]]) is Stop.HUNG
    assert bench.context.ring.head == 4
    assert bench.host.hangs[0].address == RING + 4
