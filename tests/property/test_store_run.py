"""Runs of MI_STORE_DATA_IMM: C against Python, and the streamer against one command at a time."""

from __future__ import annotations

import os
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.softgpu.streamer import Stop
from tests.guest_ram import PRESENT, WRITABLE, GuestRam, Tables
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
    st.sampled_from([0, 0, 0, 0, 1, 2, 0x8000, 0x1_0000, 0xFFFF_0000]),
    _dword,
)


@settings(max_examples=200, deadline=None)
@given(
    stores=st.lists(_store, max_size=40),
    tail=st.lists(_dword, max_size=3),
    mask=st.sampled_from([MASK48, MASK48, 0xFFFF_FFFF]),
    high=st.sampled_from([0, 0, 1, 2, 0x8000]),
)
def test_c_and_python_do_the_same_stores(
    stores: list[tuple[int, int, int, int]], tail: list[int], mask: int, high: int
) -> None:
    commands = array("I", [dword for store in stores for dword in store] + tail)
    answers = []
    for run in (native.store_run, reference.store_run):
        target = array("I", bytes(PAGE))
        done = run(memoryview(commands), STORE, mask, high << 32 | DATA, memoryview(target))
        answers.append((done, target))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("rest", range(4))
def test_a_run_is_done_whole(count: int, rest: int) -> None:
    """A command that is cut off at the end is not begun."""
    run = [dword for n in range(count) for dword in (STORE, DATA + 8 * n, 0, n + 1)]
    commands = array("I", [*run, *[STORE, DATA, 0][:rest]])
    for twin in (native.store_run, reference.store_run):
        target = array("I", bytes(PAGE))
        assert twin(memoryview(commands), STORE, MASK48, DATA, memoryview(target)) == count
        expected = [n // 2 + 1 if not n % 2 and n < 2 * count else 0 for n in range(20)]
        assert target[:20].tolist() == expected


@pytest.mark.parametrize("high", [0, 1, 2, 0x8000])
def test_an_address_has_both_its_dwords(high: int) -> None:
    commands = array("I", [STORE, DATA + 8, high, 7, STORE, DATA + 12, high ^ 3, 7])
    for run in (native.store_run, reference.store_run):
        target = array("I", bytes(PAGE))
        page = high << 32 | DATA
        assert run(memoryview(commands), STORE, MASK48, page, memoryview(target)) == 1
        assert list(target[:4]) == [0, 0, 7, 0]


def test_c_writes_pages_only() -> None:
    commands = array("I", [STORE, DATA, 0, 7])
    for dwords in (PAGE // 4 - 1, PAGE // 4 + 1, 0):
        target = array("I", bytes(4 * dwords))
        assert native.store_run(memoryview(commands), STORE, MASK48, DATA, memoryview(target)) == 0
        assert not any(target)


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


@pytest.mark.parametrize("why", ["absent", "read-only", "no memory", "memory that is read-only"])
def test_no_run_is_done_in_a_page_that_cannot_be_written(why: str) -> None:
    """The space does none of it, and says nothing: the command on its own does."""
    ram = GuestRam(8)
    fd = os.memfd_create("read-only")
    os.ftruncate(fd, PAGE)
    ram.memory.map(0x70_0000, PAGE, fd, 0, True, False)
    os.close(fd)
    tables = Tables(ram)
    good = ram.page()
    tables.map(0, good)
    if why != "absent":
        frame = {"no memory": 0x60_0000, "memory that is read-only": 0x70_0000}.get(why, ram.page())
        tables.map(PAGE, frame, PRESENT if why == "read-only" else PRESENT | WRITABLE)
    space = tables.space()
    before = ram.content()
    commands = memoryview(array("I", [STORE, PAGE + 8, 0, 7]))
    assert space.store_run(commands, STORE, PAGE + 8) == 0
    assert ram.content() == before
    assert space.store_run(memoryview(array("I", [STORE, 8, 0, 7])), STORE, 8) == 1
    assert ram.memory.read_u32(good + 8) == 7


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
