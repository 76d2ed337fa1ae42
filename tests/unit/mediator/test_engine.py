"""One engine from submission to status buffer, interrupt and context image."""

from __future__ import annotations

import pytest

from mediator.gen9.execlist import Event
from mediator.softgpu.strictness import Strictness
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    MI_BATCH_BUFFER_START_PPGTT,
    MI_NOOP,
    MI_SEMAPHORE_WAIT_GGTT_POLL_EQ,
    MI_STORE_DATA_IMM,
    Context,
)
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

ENGINES = list(ENGINE_BASES)
BATCH = 0x10_0000
TARGET = 0x20_0000


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def batch(bench: Bench, context: Context, dwords: list[int], address: int = BATCH) -> int:
    """Map a page with ``dwords`` at ``address`` in the context; guest address of the page."""
    page = bench.driver.ram.allocate()
    bench.driver.ram.write_u32(page, *dwords)
    context.tables.map(address, page)
    return page


def spinner(bench: Bench, context: Context, *, preemptible: bool) -> int:
    first = MI_ARB_CHECK if preemptible else MI_NOOP
    return batch(bench, context, [first, MI_BATCH_BUFFER_START_PPGTT, BATCH, 0])


START = [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, MI_NOOP]


@pytest.mark.parametrize("engine", ENGINES)
def test_request_writes_seqno_and_events_and_interrupts(bench: Bench, engine: str) -> None:
    driver = bench.driver
    context = driver.create_context(engine)
    driver.emit(context, driver.breadcrumb(engine, 7))
    driver.submit(context)
    bench.run(engine)
    identity = context.descriptor >> 32
    assert driver.seqno(engine) == 7
    assert driver.events(engine) == [(Event.IDLE_TO_ACTIVE, 0), (0x18, identity)]
    assert bench.take_interrupts() == 1
    assert bench.gpu.idle


def test_saved_image_has_the_new_head_and_lets_restore(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("bcs0")
    driver.emit(context, driver.breadcrumb("bcs0", 1))
    driver.submit(context)
    bench.run("bcs0")
    assert driver.ram.read_u32(context.image + 4 * 0x05) == context.tail
    assert driver.ram.read_u32(context.image + 4 * 0x03) & 1 == 0
    driver.emit(context, driver.breadcrumb("bcs0", 2))
    driver.submit(context)
    bench.run("bcs0")
    assert driver.seqno("bcs0") == 2


def test_two_elements_run_in_order(bench: Bench) -> None:
    driver = bench.driver
    first, second = driver.create_context("vcs0"), driver.create_context("vcs0")
    driver.emit(first, driver.breadcrumb("vcs0", 1))
    driver.emit(second, driver.breadcrumb("vcs0", 2))
    driver.submit(first, second)
    bench.run("vcs0")
    assert driver.seqno("vcs0") == 2
    assert [event for event, _ in driver.events("vcs0")] == [0x1, 0x14, 0x18]


def test_user_batch_stores_through_the_page_tables(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    page = driver.ram.allocate()
    context.tables.map(TARGET, page)
    batch(bench, context, [MI_STORE_DATA_IMM, TARGET + 8, 0, 0xC0FFEE, MI_BATCH_BUFFER_END])
    driver.emit(context, [*START, *driver.breadcrumb("rcs0", 3)])
    driver.submit(context)
    bench.run("rcs0")
    assert driver.ram.read_u32(page + 8) == 0xC0FFEE
    assert driver.seqno("rcs0") == 3


def test_endless_batch_stays_busy_until_its_memory_says_end(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    page = spinner(bench, context, preemptible=False)
    driver.emit(context, [*START, *driver.breadcrumb("rcs0", 4)])
    driver.submit(context)
    bench.run("rcs0")
    assert not bench.gpu.idle
    assert driver.seqno("rcs0") == 0
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 4
    assert bench.gpu.idle


def test_preemption_in_the_middle_of_a_batch_and_return(bench: Bench) -> None:
    driver = bench.driver
    low, high = driver.create_context("rcs0"), driver.create_context("rcs0")
    page = spinner(bench, low, preemptible=True)
    driver.emit(low, [*START, *driver.breadcrumb("rcs0", 1)])
    driver.submit(low)
    bench.run("rcs0")
    driver.emit(high, driver.breadcrumb("rcs0", 2))
    driver.submit(high, low)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 2
    events = driver.events("rcs0")
    assert events[:3] == [
        (0x1, 0),
        (Event.PREEMPTED, low.descriptor >> 32),
        (0x14, high.descriptor >> 32),
    ]
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 1
    assert bench.gpu.idle


def test_batch_without_arbitration_point_is_not_preempted(bench: Bench) -> None:
    driver = bench.driver
    low, high = driver.create_context("bcs0"), driver.create_context("bcs0")
    spinner(bench, low, preemptible=False)
    driver.emit(low, [*START, *driver.breadcrumb("bcs0", 1)])
    driver.submit(low)
    bench.run("bcs0")
    driver.emit(high, driver.breadcrumb("bcs0", 2))
    driver.submit(high)
    bench.run("bcs0")
    assert driver.seqno("bcs0") == 0
    assert [event for event, _ in driver.events("bcs0")] == [0x1]


def test_lite_restore_takes_the_new_tail(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("vecs0")
    page = spinner(bench, context, preemptible=True)
    driver.emit(context, [*START, *driver.breadcrumb("vecs0", 1)])
    driver.submit(context)
    bench.run("vecs0")
    driver.emit(context, driver.breadcrumb("vecs0", 2))
    driver.submit(context)
    bench.run("vecs0")
    assert [event for event, _ in driver.events("vecs0")] == [0x1, 0x8002]
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    bench.run("vecs0")
    assert driver.seqno("vecs0") == 2


def test_semaphore_in_the_ring_is_preempted_and_resumed(bench: Bench) -> None:
    """What preempt-to-busy needs: a paused ring gives way and starts again at its wait."""
    driver = bench.driver
    waiting, other = driver.create_context("rcs0"), driver.create_context("rcs0")
    flag = driver.status_pages["rcs0"] + 0xC8
    address = driver.read32(0x2080) + 0xC8
    driver.ram.write_u32(flag, 1)
    wait = [MI_SEMAPHORE_WAIT_GGTT_POLL_EQ, 0, address, 0]
    driver.emit(waiting, [*wait, *driver.breadcrumb("rcs0", 1)])
    driver.submit(waiting)
    bench.run("rcs0")
    assert not bench.gpu.idle
    driver.emit(other, driver.breadcrumb("rcs0", 2))
    driver.submit(other, waiting)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 2
    driver.ram.write_u32(flag, 0)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_ring_control_shows_a_semaphore_wait(bench: Bench, engine: str) -> None:
    """What i915's performance counters sample; IGT perf_pmu semaphore-wait relies on it."""
    driver, control = bench.driver, ENGINE_BASES[engine] + 0x3C
    context = driver.create_context(engine)
    flag = driver.status_pages[engine] + 0xC8
    driver.ram.write_u32(flag, 1)
    address = driver.read32(ENGINE_BASES[engine] + 0x80) + 0xC8
    wait = [MI_SEMAPHORE_WAIT_GGTT_POLL_EQ, 0, address, 0]
    page = spinner(bench, context, preemptible=True)
    driver.emit(context, [*wait, *START])
    driver.submit(context)
    bench.run(engine)
    assert driver.read32(control) & 1 << 10
    driver.ram.write_u32(flag, 0)
    bench.run(engine)
    assert driver.read32(control) & 1 << 10 == 0
    assert driver.read32(control) & 1
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    bench.run(engine)
    assert bench.gpu.idle


def test_general_purpose_registers_belong_to_the_context(bench: Bench) -> None:
    driver = bench.driver
    gpr0 = 0x22600
    load = 0x22 << 23 | 1
    first, second = driver.create_context("bcs0"), driver.create_context("bcs0")
    for context, value in ((first, 0x1111), (second, 0x2222)):
        driver.emit(context, [load, gpr0, value, MI_NOOP])
        driver.submit(context)
        bench.run("bcs0")
    page = driver.ram.allocate()
    store = [0x24 << 23 | 1 << 22 | 2, gpr0, driver.ggtt_map(page), 0]
    driver.emit(first, store)
    driver.submit(first)
    bench.run("bcs0")
    assert driver.ram.read_u32(page) == 0x1111


def test_new_context_sees_nothing_of_the_one_before(bench: Bench) -> None:
    driver = bench.driver
    gpr0 = 0x2600
    first, second = driver.create_context("rcs0"), driver.create_context("rcs0")
    driver.emit(first, [0x22 << 23 | 1, gpr0, 0x5EC2E7, MI_NOOP])
    driver.submit(first)
    bench.run("rcs0")
    page = driver.ram.allocate()
    driver.emit(second, [0x24 << 23 | 1 << 22 | 2, gpr0, driver.ggtt_map(page), 0])
    driver.submit(second)
    bench.run("rcs0")
    assert driver.ram.read_u32(page) == 0


def test_context_timestamp_counts_active_time_only(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    spinner(bench, context, preemptible=True)
    driver.emit(context, START)
    driver.submit(context)
    bench.run("rcs0")
    bench.clock.now += 1_000_000
    assert driver.read32(0x23A8) == 12_000
    other = driver.create_context("rcs0")
    driver.emit(other, driver.breadcrumb("rcs0", 1))
    driver.submit(other)
    bench.run("rcs0")
    assert driver.ram.read_u32(context.image + 4 * 0x23) == 12_000


def test_context_timestamp_stays_when_the_context_has_gone(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    page = spinner(bench, context, preemptible=True)
    driver.emit(context, START)
    driver.submit(context)
    bench.run("rcs0")
    bench.clock.now += 1_000_000
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    bench.run("rcs0")
    assert bench.gpu.idle
    bench.clock.now += 1_000_000
    assert driver.read32(0x23A8) == 12_000


def test_a_driver_that_reads_events_by_mmio_moves_its_pointer_alone(bench: Bench) -> None:
    """i915 before 4.16 writes the read pointer after each look, by its mask."""
    driver, pointer = bench.driver, 0x223A0
    context = driver.create_context("bcs0")
    for number in range(1, 5):
        driver.emit(context, driver.breadcrumb("bcs0", number))
        driver.submit(context)
        bench.run("bcs0")
        written = (2 * number - 1) % 6
        assert driver.read32(pointer) & 7 == written
        driver.write32(pointer, 0x700 << 16 | written << 8)
        assert driver.read32(pointer) == written << 8 | written
        assert driver.read32(0x22370 + 8 * written) == 0x18


def test_indirect_and_per_context_batches_run_before_the_ring(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    page, target = driver.ram.allocate(2), driver.ram.allocate()
    gtt_page, gtt_target = driver.ggtt_map(page, 2), driver.ggtt_map(target)
    store = 0x20 << 23 | 1 << 22 | 2
    driver.ram.write_u32(page + 64, store, gtt_target, 0, 1)
    driver.ram.write_u32(page + 4096, store, gtt_target + 4, 0, 2, MI_BATCH_BUFFER_END)
    driver.ram.write_u32(context.image + 4 * 0x1B, gtt_page + 64 | 1)
    driver.ram.write_u32(context.image + 4 * 0x19, gtt_page + 4096 | 1)
    driver.emit(context, driver.breadcrumb("rcs0", 1))
    driver.submit(context)
    bench.run("rcs0")
    assert driver.ram.read_u32(target) == 1
    assert driver.ram.read_u32(target + 4) == 2
    assert driver.seqno("rcs0") == 1


@pytest.mark.parametrize(
    ("index", "value", "words"),
    [
        (0x0B, 0, "not enabled"),
        (0x09, 0x7FFFF000, "fault"),
    ],
)
def test_bad_ring_hangs_until_reset(bench: Bench, index: int, value: int, words: str) -> None:
    driver = bench.driver
    context = driver.create_context("bcs0")
    driver.emit(context, driver.breadcrumb("bcs0", 1))
    driver.ram.write_u32(context.image + 4 * index, value)
    driver.submit(context)
    bench.run("bcs0")
    assert words in str(bench.gpu.engines["bcs0"].hung)
    assert not bench.gpu.idle
    driver.write32(0x941C, 1 << 3)
    assert driver.read32(0x941C) == 0
    assert bench.gpu.idle
    driver.initialise()
    good = driver.create_context("bcs0")
    driver.emit(good, driver.breadcrumb("bcs0", 2))
    driver.submit(good)
    bench.run("bcs0")
    assert driver.seqno("bcs0") == 2
    assert driver.events("bcs0")[0] == (0x1, 0)


def test_context_address_outside_the_ggtt_hangs_with_a_fault(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("vcs0")
    context.lrca = 0x7000_0000
    driver.submit(context)
    bench.run("vcs0")
    assert "context image" in str(bench.gpu.engines["vcs0"].hung)
    assert driver.read32(0x4094) & 1
    assert driver.read32(0x4094) >> 12 & 7 == 1


def test_illegal_command_hangs_sets_eir_and_interrupts(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    driver.emit(context, [0x3F << 23, 0, 0, 0])
    driver.submit(context)
    bench.take_interrupts()
    bench.run("rcs0")
    assert driver.read32(0x20B0) & 1
    assert driver.read32(0x2068) == 0x3F << 23
    assert driver.read32(0x44308) & 1 << 3


def test_stopped_ring_is_idle_and_ready_for_reset(bench: Bench) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    spinner(bench, context, preemptible=False)
    driver.emit(context, START)
    driver.submit(context)
    bench.run("rcs0")
    assert not driver.read32(0x209C) & 1 << 9
    driver.write32(0x209C, 1 << 24 | 1 << 8)
    assert driver.read32(0x209C) & 1 << 9
    driver.write32(0x20D0, 1 << 16 | 1)
    assert driver.read32(0x20D0) & 2
    driver.write32(0x941C, 1 << 1)
    assert driver.read32(0x209C) & 1 << 8 == 0
    assert bench.gpu.idle


def test_reset_of_one_engine_leaves_the_others(bench: Bench) -> None:
    driver = bench.driver
    busy, reset = driver.create_context("rcs0"), driver.create_context("bcs0")
    for context in (busy, reset):
        spinner(bench, context, preemptible=True)
        driver.emit(context, START)
        driver.submit(context)
        bench.run(context.engine)
    driver.write32(0x941C, 1 << 3)
    assert bench.gpu.engines["bcs0"].idle
    assert not bench.gpu.engines["rcs0"].idle


def test_interrupt_waits_for_master_and_masks(bench: Bench) -> None:
    driver = bench.driver
    driver.write32(0x44200, 0)
    context = driver.create_context("rcs0")
    driver.emit(context, driver.breadcrumb("rcs0", 1))
    driver.submit(context)
    bench.run("rcs0")
    assert bench.take_interrupts() == 0
    assert driver.read32(0x44200) == 1
    assert driver.read32(0x44308) == 0x101
    driver.write32(0x44200, 1 << 31)
    assert bench.take_interrupts() == 1
    driver.write32(0x44200, 0)
    driver.write32(0x44308, 0x101)
    driver.write32(0x44200, 1 << 31)
    assert bench.take_interrupts() == 1  # the second of two context switch events
    driver.write32(0x44200, 0)
    assert driver.read32(0x44308) == 0x100
    driver.write32(0x44308, 0x100)
    driver.write32(0x44200, 1 << 31)
    assert bench.take_interrupts() == 0
    assert driver.read32(0x44308) == 0
    driver.write32(0x20A8, 0xFFFFFFFE ^ 0x100)
    driver.emit(context, driver.breadcrumb("rcs0", 2))
    driver.submit(context)
    bench.run("rcs0")
    assert driver.read32(0x44308) == 0x101


def test_ring_mask_has_its_bits_where_the_bank_has_them(bench: Bench) -> None:
    driver = bench.driver
    user, switch = 1 << 16, 1 << 24
    context = driver.create_context("bcs0")
    for enabled in (user, switch):
        driver.write32(0x44308, 0xFFFFFFFF)
        driver.write32(0x220A8, 0xFFFFFFFF ^ enabled)
        driver.emit(context, driver.breadcrumb("bcs0", 1))
        driver.submit(context)
        bench.run("bcs0")
        assert driver.read32(0x44308) == enabled


@pytest.mark.parametrize("mask", [1 << 1, 1 << 0])
def test_ring_that_resets_its_own_engine_ends_idle_and_works_again(bench: Bench, mask: int) -> None:
    driver = bench.driver
    context = driver.create_context("rcs0")
    driver.emit(context, [0x22 << 23 | 1, 0x941C, mask, MI_NOOP])
    driver.submit(context)
    bench.run("rcs0")
    assert bench.gpu.idle
    assert bench.gpu.engines["rcs0"].totals.contexts_completed == 0
    driver.initialise()
    good = driver.create_context("rcs0")
    driver.emit(good, driver.breadcrumb("rcs0", 2))
    driver.submit(good)
    bench.run("rcs0")
    assert driver.seqno("rcs0") == 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("unprotected", [False, True])
def test_the_blitter_alone_may_not_protect_registers(engine: str, unprotected: bool) -> None:
    bench = make_bench(Strictness(bcs_unprotected=unprotected))
    driver = bench.driver
    context, status = driver.create_context(engine), ENGINE_BASES[engine] + 0x80
    before = driver.read32(status)
    batch(bench, context, [0x22 << 23 | 1, status, before + 0x1000, MI_BATCH_BUFFER_END])
    driver.emit(context, START)
    driver.submit(context)
    bench.run(engine)
    changed = driver.read32(status) != before
    assert changed == (unprotected and engine == "bcs0")


def test_ring_mode_switches_the_privilege_check_off(bench: Bench) -> None:
    driver, secret = bench.driver, 0x2098
    context = driver.create_context("rcs0")
    batch(bench, context, [0x22 << 23 | 1, secret, 0x77, MI_BATCH_BUFFER_END])
    for mode, expected in ((1 << 16, 0), (1 << 16 | 1, 0x77)):
        driver.write32(0x2098, 0)
        driver.write32(0x229C, mode)
        driver.emit(context, START)
        driver.submit(context)
        bench.run("rcs0")
        assert driver.read32(secret) == expected


def test_force_to_nonpriv_opens_registers(bench: Bench) -> None:
    driver, other, opened = bench.driver, 0x20AC, 0x2098
    context = driver.create_context("rcs0")
    batch(bench, context, [0x22 << 23 | 3, opened, 0x77, other, 0x77, MI_BATCH_BUFFER_END])
    for slot in range(12):
        driver.write32(opened, 0)
        driver.write32(0x24D0 + 4 * slot, opened)
        driver.emit(context, START)
        driver.submit(context)
        bench.run("rcs0")
        driver.write32(0x24D0 + 4 * slot, 0)
        assert driver.read32(opened) == 0x77
        assert driver.read32(other) != 0x77
