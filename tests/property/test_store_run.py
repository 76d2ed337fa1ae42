"""Runs of MI_STORE_DATA_IMM: C against Python, and the streamer against one command at a time."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    ABSENT,
    BATCH_END,
    DATA,
    USER_BATCH,
    make_bench,
)

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

STORE = 0x20 << 23 | 2
STORE_QWORD = 0x20 << 23 | 1 << 21 | 3
PAGE = 4096
MASK48 = (1 << 48) - 1

_dword = st.integers(0, 0xFFFF_FFFF)
_store = st.tuples(
    st.sampled_from([STORE, STORE, STORE, STORE, STORE_QWORD, 0]),
    st.one_of(st.integers(DATA, DATA + PAGE - 1), st.integers(DATA, DATA + 3 * PAGE), _dword),
    st.sampled_from([0, 0, 0, 1, 0xFFFF_0000]),
    _dword,
)


@settings(max_examples=200, deadline=None)
@given(
    stores=st.lists(_store, max_size=40),
    tail=st.lists(_dword, max_size=3),
    mask=st.sampled_from([MASK48, 0xFFFF_FFFF]),
)
def test_c_and_python_do_the_same_stores(
    stores: list[tuple[int, int, int, int]], tail: list[int], mask: int
) -> None:
    commands = array("I", [dword for store in stores for dword in store] + tail)
    answers = []
    for run in (native.store_run, reference.store_run):
        target = array("I", bytes(PAGE))
        done = run(memoryview(commands), STORE, mask, DATA, memoryview(target))
        answers.append((done, target))
    assert answers[0] == answers[1]


def test_a_run_that_writes_its_own_commands_does_what_they_say_then() -> None:
    for run in (native.store_run, reference.store_run):
        page = array("I", bytes(PAGE))
        page[0:8] = array("I", [STORE, DATA + 16, 0, BATCH_END, STORE, DATA, 0, 1])
        assert run(memoryview(page)[:8], STORE, MASK48, DATA, memoryview(page)) == 1
        assert page[4] == BATCH_END


@settings(max_examples=60, deadline=None)
@given(
    stores=st.lists(st.tuples(st.integers(0, 2 * PAGE // 4 - 1), _dword), min_size=1, max_size=200)
)
def test_the_streamer_does_a_run_as_it_does_each_command(stores: list[tuple[int, int]]) -> None:
    together, apart = make_bench("BCS"), make_bench("BCS")
    run: list[int] = []
    spread: list[int] = []
    for index, data in stores:
        command = [STORE, DATA + 4 * index, 0, data]
        run += command
        spread += [*command, 0x05 << 23]
    assert together.batch(run) is Stop.RING_EMPTY
    assert apart.batch(spread) is Stop.RING_EMPTY
    assert together.memory.read(DATA, 2 * PAGE) == apart.memory.read(DATA, 2 * PAGE)
    executed = together.host.counters.executed["MI_STORE_DATA_IMM"]
    assert executed == apart.host.counters.executed["MI_STORE_DATA_IMM"] == len(stores)


def test_a_run_that_meets_an_absent_page_hangs_there_with_the_rest_done() -> None:
    bench = make_bench("BCS")
    good = [dword for i in range(20) for dword in (STORE, DATA + 4 * i, 0, i + 1)]
    assert bench.batch([*good, STORE, ABSENT, 0, 1, *good]) is Stop.HUNG
    assert bench.memory.read_u32(DATA + 4 * 19) == 20
    assert bench.host.hangs[0].address == USER_BATCH + 4 * len(good)


def test_a_run_records_the_page_it_wrote() -> None:
    bench = make_bench("BCS")
    bench.memory.start_recording()
    assert bench.batch([STORE, DATA, 0, 1] * 30) is Stop.RING_EMPTY
    assert DATA // PAGE in bench.memory.take_dirty()


def test_a_user_run_reaches_no_global_page() -> None:
    bench = make_bench("BCS")
    before = bench.memory.read(DATA, PAGE)
    assert bench.batch([STORE | 1 << 22, DATA, 0, 0x666] * 30) is Stop.RING_EMPTY
    assert bench.memory.read(DATA, PAGE) == before
