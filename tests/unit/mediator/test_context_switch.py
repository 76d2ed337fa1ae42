"""Context switches on the engine: where batches stand in the image, and the detours of a restore.

Dwords of the image as in Linux i915 gt/intel_lrc_reg.h, fields as in PRM SKL vol 7.
"""

from __future__ import annotations

import pytest

from mediator.softgpu.context_state import BatchState
from mediator.softgpu.engine import Engine
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import Context
from tests.gpu_driver.commands import (
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    batch_start,
    store_dword,
)
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

NAME, BASE = "bcs0", 0x22000
FIRST, SECOND = 0x1234_5678_9000, 0x0765_4321_0000
BATCHES = 0x0D
"""Dword of the first of six values, two dwords apart: BB_ADDR_UDW, BB_ADDR, BB_STATE, and SBB_*."""
PER_CONTEXT, INDIRECT = 0x19, 0x1B
PPGTT = 1 << 5
MODES = pytest.mark.parametrize(
    "strictness", [KIND, Strictness(image_as_commands=True)], ids=["known", "commands"]
)


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def spinning(bench: Bench, *, second: bool, ggtt: bool) -> tuple[Context, int]:
    """A context that spins in a batch; guest address of the loop's first command."""
    driver = bench.driver
    context = driver.create_context(NAME)
    if ggtt:
        page = driver.ram.allocate(2)
        address = driver.ggtt_map(page, 2)
        driver.ram.write_u32(page + 0x20, *loop(address + 0x20, ggtt=True))
        context.requests = address + 0x20
    else:
        page = context.tables.place(SECOND if second else FIRST, [0])
        address = (SECOND if second else FIRST) + 0x20
        driver.ram.write_u32(page + 0x20, *loop(address, ggtt=False))
        context.requests = address
    if second:
        call = [MI_NOOP, *batch_start(context.requests, ggtt=ggtt, second=True)]
        outer = FIRST
        if ggtt:
            driver.ram.write_u32(page + 0x1000, *call, MI_BATCH_BUFFER_END)
            outer = context.requests - 0x20 + 0x1000
        else:
            context.tables.place(FIRST, [*call, MI_BATCH_BUFFER_END])
        driver.emit(context, [*batch_start(outer, ggtt=ggtt), MI_NOOP])
    else:
        driver.emit(context, [*batch_start(context.requests, ggtt=ggtt), MI_NOOP])
    return context, page + 0x20


def loop(address: int, *, ggtt: bool) -> list[int]:
    return [MI_ARB_CHECK, *batch_start(address, ggtt=ggtt)]


def switch_to_another(bench: Bench) -> None:
    other = bench.driver.create_context(NAME)
    bench.driver.emit(other, [MI_NOOP, MI_NOOP])
    bench.driver.submit(other)
    bench.run(NAME)


def image(bench: Bench, context: Context, first: int, count: int) -> list[int]:
    return [bench.driver.ram.read_u32(context.value(first + 2 * n)) for n in range(count)]


@MODES
@pytest.mark.parametrize("ggtt", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_batches_stand_in_the_image(second: bool, ggtt: bool, strictness: Strictness) -> None:
    """Saved where they stood, each with its space, and gone on with from there."""
    bench = make_bench(strictness)
    context, at = spinning(bench, second=second, ggtt=ggtt)
    bench.driver.submit(context)
    bench.run(NAME)
    switch_to_another(bench)
    loops = context.requests + 4  # behind the arbitration point
    state = 0 if ggtt else PPGTT
    inner = [loops >> 32, loops & 0xFFFF_FFFF | 1, state]
    begun = (context.requests - 0x20 + 0x1000 if ggtt else FIRST) + 16
    outer = [begun >> 32, begun & 0xFFFF_FFFF | 1, state]
    none = [0, 0, 0]
    assert image(bench, context, BATCHES, 6) == (outer + inner if second else inner + none)
    labels = image(bench, context, BATCHES - 1, 6)
    assert labels == [BASE + offset for offset in (0x168, 0x140, 0x110, 0x11C, 0x114, 0x118)]
    bench.driver.submit(context)
    bench.run(NAME)
    engine = bench.gpu.engines[NAME]
    assert engine.context is not None
    found = engine.context.second if second else engine.context.batch
    assert (found.active, found.ppgtt, found.address) == (True, not ggtt, loops - 4)
    if second:
        assert engine.context.batch == BatchState(begun, True, not ggtt)
    bench.driver.ram.write_u32(at, MI_BATCH_BUFFER_END)
    bench.run(NAME)
    assert engine.idle


@MODES
@pytest.mark.parametrize("lines", [1, 2, 63])
@pytest.mark.parametrize("offset", [0, 0x40, 0xFC0])
def test_an_indirect_batch_is_so_many_cache_lines(
    lines: int, offset: int, strictness: Strictness
) -> None:
    """From any cache line on, over the end of a page, and not one command further."""
    bench = make_bench(strictness)
    driver = bench.driver
    context = driver.create_context(NAME)
    page, target = driver.ram.allocate(3), driver.ram.allocate()
    address, to = driver.ggtt_map(page, 3), driver.ggtt_map(target)
    dwords = [MI_NOOP] * (16 * lines + 4)
    dwords[:4] = store_dword(to, 1, ggtt=True)
    dwords[16 * lines - 4 : 16 * lines] = store_dword(to + 4, 2, ggtt=True)
    dwords[16 * lines :] = store_dword(to + 8, 3, ggtt=True)
    driver.ram.write_u32(page + offset, *dwords)
    driver.ram.write_u32(context.value(INDIRECT), address + offset | lines)
    driver.emit(context, driver.breadcrumb(NAME, 1))
    driver.submit(context)
    bench.run(NAME)
    assert driver.seqno(NAME) == 1
    assert [driver.ram.read_u32(target + 4 * n) for n in range(3)] == [1, 2, 0]


@pytest.mark.parametrize(("pointer", "runs"), [(0, False), (1, True), (0xFFF, True), (2, False)])
def test_a_per_context_batch_is_valid_by_bit_0(bench: Bench, pointer: int, runs: bool) -> None:
    """And begins at its page."""
    driver = bench.driver
    context = driver.create_context(NAME)
    page, target = driver.ram.allocate(), driver.ram.allocate()
    address, to = driver.ggtt_map(page), driver.ggtt_map(target)
    driver.ram.write_u32(page, *store_dword(to, 7, ggtt=True), MI_BATCH_BUFFER_END)
    driver.ram.write_u32(context.value(PER_CONTEXT), address | pointer)
    driver.emit(context, driver.breadcrumb(NAME, 1))
    driver.submit(context)
    bench.run(NAME)
    assert driver.seqno(NAME) == 1
    assert driver.ram.read_u32(target) == (7 if runs else 0)


@pytest.mark.parametrize(("index", "lines"), [(INDIRECT, 1), (PER_CONTEXT, 1)])
def test_a_detour_draws_nothing(bench: Bench, index: int, lines: int) -> None:
    """It runs with the GPU's lock held: a 2D command in it hangs."""
    driver = bench.driver
    context = driver.create_context(NAME)
    page = driver.ram.allocate()
    address = driver.ggtt_map(page)
    fill = [2 << 29 | 0x50 << 22 | 5, 3 << 24 | 0xF0 << 16 | 64, 0, 1 << 16 | 1, 0, 0, 1]
    driver.ram.write_u32(page, *fill, MI_BATCH_BUFFER_END)
    driver.ram.write_u32(context.value(index), address | lines)
    driver.submit(context)
    bench.run(NAME)
    assert "work-around" in str(bench.gpu.engines[NAME].hung)


@pytest.mark.parametrize("inhibited", [False, True])
def test_the_time_of_a_context_is_in_its_image(bench: Bench, inhibited: bool) -> None:
    """Ticks of 83.3 ns in dword 0x23; where its restore is inhibited it begins at 0."""
    driver = bench.driver
    context, at = spinning(bench, second=False, ggtt=False)
    driver.submit(context)
    bench.run(NAME)
    switch_to_another(bench)
    driver.ram.write_u32(context.value(0x23), 0xFFFF_FFF0)
    if inhibited:
        driver.ram.write_u32(context.value(0x03), 0x0001_0001)
        driver.ram.write_u32(context.value(0x05), 0)
    driver.submit(context)
    bench.run(NAME)
    bench.clock.now += 4_000
    expected = 48 if inhibited else 32
    assert driver.read32(BASE + 0x3A8) == expected
    driver.ram.write_u32(at, MI_BATCH_BUFFER_END)
    bench.run(NAME)
    assert driver.ram.read_u32(context.value(0x23)) == expected


def test_a_lite_restore_takes_page_tables_anew_unless_hardware_need_not() -> None:
    for strictness in (KIND, Strictness(stale_translations=True)):
        bench = make_bench(strictness)
        context, _ = spinning(bench, second=False, ggtt=False)
        bench.driver.submit(context)
        bench.run(NAME)
        engine: Engine = bench.gpu.engines[NAME]
        page = bench.driver.ram.allocate()
        bench.driver.ram.write_u32(page + 0x20, *[MI_BATCH_BUFFER_END] * 2)
        context.tables.map(FIRST, page)
        bench.run(NAME)
        assert not engine.idle
        bench.driver.submit(context)
        bench.run(NAME)
        assert engine.totals.lite_restores == 1
        assert engine.idle is (strictness is KIND)


def test_control_bits_of_a_context(bench: Bench) -> None:
    """CTX_CONTROL: the register shows its low half; a save leaves RESTORE_INHIBIT out."""
    driver = bench.driver
    context, at = spinning(bench, second=False, ggtt=False)
    driver.ram.write_u32(context.value(0x03), 0xFFFF_0009)
    driver.submit(context)
    bench.run(NAME)
    engine = bench.gpu.engines[NAME]
    assert driver.read32(BASE + 0x244) == 9
    assert engine.context is not None
    assert engine.context.inhibit_switch
    driver.ram.write_u32(at, MI_BATCH_BUFFER_END)
    bench.run(NAME)
    assert driver.ram.read_u32(context.value(0x03)) == 0xFFFF_0008
