"""The mediator's driver of the physical GPU, with the software GPU behind it, engines running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.gen9.interrupts import MASTER_ENABLE, MASTER_IRQ, EngineInterrupt
from mediator.physical.host import IDLE_CONTEXT_ID
from mediator.physical.partition import PAGE
from mediator.softgpu.strictness import KIND, strict
from tests.gpu_driver.commands import (
    ILLEGAL,
    MI_ARB_OFF,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    MI_USER_INTERRUPT,
    batch_start,
    load_register,
    semaphore_wait,
    store_dword,
)
from tests.gpu_driver.driver import wait_for
from tests.readiness import readable
from tests.unit.mediator.host_gpu_fixture import (
    BATCH,
    TARGET,
    HostBench,
    spinner,
    wait_until_batch,
)

NAMES = [facts.name for facts in ENGINES]
PROMOTED, PREEMPTED, COMPLETED = 0x1, 0x2, 0x18
ALL = 0xFFFF_FFFF


@pytest.fixture(params=[KIND, strict(3)], ids=["kind", "strict"])
def bench(request: pytest.FixtureRequest) -> Iterator[HostBench]:
    made = HostBench(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_initialise_leaves_the_engine_ready_and_silent(bench: HostBench, name: str) -> None:
    engine = bench.host.engines[name]
    status_page = engine.read(reg.RING_HWS_PGA)
    slab = bench.host.slab
    assert slab.ggtt <= status_page < slab.ggtt + slab.size
    assert engine.read(reg.RING_MODE) & reg.GFX_RUN_LIST_ENABLE
    assert engine.read(reg.RING_MI_MODE) & reg.MI_MODE_IDLE
    assert engine.read(reg.RING_EMR) == ALL & ~reg.EIR_INSTRUCTION_ERROR
    assert not engine.hung()
    assert engine.events() == []
    assert bench.host.take_interrupts() == {}
    assert bench.gpu.read32(MASTER_IRQ) == MASTER_ENABLE
    assert not readable(bench.gpu.interrupt_fd, 0)


def test_every_forcewake_domain_is_held(bench: HostBench) -> None:
    for ack in (reg.FORCEWAKE_ACK_RENDER, reg.FORCEWAKE_ACK_MEDIA, reg.FORCEWAKE_ACK_GT):
        assert bench.gpu.read32(ack) & reg.FORCEWAKE_KERNEL


@pytest.mark.parametrize("name", NAMES)
def test_golden_page_describes_registers_and_names_no_context(bench: HostBench, name: str) -> None:
    engine = bench.host.engines[name]
    page, base = engine.golden, engine.facts.mmio_base
    assert len(page) == PAGE // 4
    assert page[ImageIndex.MI_MODE - 1] == base + reg.RING_MI_MODE
    assert page[ImageIndex.CS_GPR0 - 1] == base + reg.RING_CS_GPR
    assert page[ImageIndex.MI_MODE] == 0xFFFF_0000
    for index in (
        ImageIndex.RING_HEAD,
        ImageIndex.RING_TAIL,
        ImageIndex.RING_START,
        ImageIndex.RING_CTL,
        ImageIndex.BB_ADDR,
        ImageIndex.CTX_TIMESTAMP,
        ImageIndex.PDP0_LDW,
        ImageIndex.PDP0_UDW,
    ):
        assert page[index] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_context_runs_and_its_events_come(bench: HostBench, name: str) -> None:
    world = bench.world
    context = world.driver.create_context(name)
    page = context.tables.place(TARGET, [0])
    context.tables.place(BATCH, [*store_dword(TARGET, 0x1234), MI_BATCH_BUFFER_END])
    world.driver.emit(context, batch_start(BATCH))
    events = bench.events(name)
    bench.host.engines[name].submit(context.descriptor)
    events.wait(COMPLETED, context.reported)
    assert events.seen == [(PROMOTED, 0), (COMPLETED, context.reported)]
    assert world.ram.read_u32(page) == 0x1234


def test_two_contexts_in_one_list(bench: HostBench) -> None:
    driver = bench.world.driver
    first, second = driver.create_context("vcs0"), driver.create_context("vcs0")
    for context in (first, second):
        driver.emit(context, [MI_NOOP, MI_NOOP])
    events = bench.events("vcs0")
    bench.host.engines["vcs0"].submit(first.descriptor, second.descriptor)
    events.wait(COMPLETED, second.reported)
    assert events.seen == [(PROMOTED, 0), (0x14, first.reported), (COMPLETED, second.reported)]


@pytest.mark.parametrize("name", NAMES)
def test_idle_context_preempts_a_loop_which_goes_on_later(bench: HostBench, name: str) -> None:
    engine, events = bench.host.engines[name], bench.events(name)
    context, batch = spinner(bench.world, name)
    engine.submit(context.descriptor)
    wait_until_batch(engine)
    engine.submit_idle()
    events.wait(COMPLETED, IDLE_CONTEXT_ID)
    assert events.seen == [
        (PROMOTED, 0),
        (PREEMPTED, context.reported),
        (COMPLETED, IDLE_CONTEXT_ID),
    ]
    bench.world.ram.write_u32(batch, MI_BATCH_BUFFER_END)
    engine.submit(context.descriptor)
    events.wait(COMPLETED, context.reported)


def test_idle_context_preempts_a_semaphore_wait(bench: HostBench) -> None:
    engine, events, driver = bench.host.engines["bcs0"], bench.events("bcs0"), bench.world.driver
    context = driver.create_context("bcs0")
    page = bench.world.ram.allocate()
    driver.emit(context, semaphore_wait(driver.ggtt_map(page), 1, ggtt=True))
    engine.submit(context.descriptor)
    events.wait(PROMOTED, 0)
    engine.submit_idle()
    events.wait(COMPLETED, IDLE_CONTEXT_ID)
    bench.world.ram.write_u32(page, 1)
    engine.submit(context.descriptor)
    events.wait(COMPLETED, context.reported)


def test_idle_context_can_follow_itself(bench: HostBench) -> None:
    engine = bench.host.engines["vecs0"]
    for _ in range(20):
        events = bench.events("vecs0")
        engine.submit_idle()
        events.wait(COMPLETED, IDLE_CONTEXT_ID)
        assert events.seen == [(PROMOTED, 0), (COMPLETED, IDLE_CONTEXT_ID)]


@pytest.mark.parametrize("name", NAMES)
def test_idle_context_leaves_no_register_of_a_context(bench: HostBench, name: str) -> None:
    engine, driver = bench.host.engines[name], bench.world.driver
    gpr = engine.facts.mmio_base + reg.RING_CS_GPR
    context = driver.create_context(name)
    driver.emit(context, load_register((gpr, 0x5EC2E7), (gpr + 4, 0x5EC2E7)))
    events = bench.events(name)
    engine.submit(context.descriptor)
    events.wait(COMPLETED, context.reported)
    assert bench.gpu.read32(gpr) == 0x5EC2E7
    engine.submit_idle()
    events.wait(COMPLETED, IDLE_CONTEXT_ID)
    assert bench.gpu.read32(gpr) == bench.gpu.read32(gpr + 4) == 0


@pytest.mark.parametrize("name", NAMES)
def test_reset_takes_a_loop_that_cannot_be_preempted(bench: HostBench, name: str) -> None:
    engine, driver = bench.host.engines[name], bench.world.driver
    looping = driver.create_context(name)
    looping.tables.place(BATCH, [MI_NOOP, *batch_start(BATCH)])
    driver.emit(looping, [MI_ARB_OFF, *batch_start(BATCH)])
    engine.submit(looping.descriptor)
    wait_until_batch(engine)
    engine.submit_idle()
    assert engine.reset()
    assert not engine.hung()
    events = bench.events(name)
    context = driver.create_context(name)
    driver.emit(context, [MI_NOOP, MI_NOOP])
    engine.submit(context.descriptor)
    events.wait(COMPLETED, context.reported)
    assert events.seen == [(PROMOTED, 0), (COMPLETED, context.reported)]


def test_reset_leaves_the_other_engines_alone(bench: HostBench) -> None:
    context, batch = spinner(bench.world, "rcs0")
    events = bench.events("rcs0")
    bench.host.engines["rcs0"].submit(context.descriptor)
    wait_until_batch(bench.host.engines["rcs0"])
    assert bench.host.engines["bcs0"].reset()
    bench.world.ram.write_u32(batch, MI_BATCH_BUFFER_END)
    events.wait(COMPLETED, context.reported)


def test_illegal_command_hangs_with_an_interrupt(bench: HostBench) -> None:
    engine, driver = bench.host.engines["vcs0"], bench.world.driver
    context = driver.create_context("vcs0")
    driver.emit(context, [ILLEGAL, MI_NOOP])
    engine.submit(context.descriptor)
    wait_for(engine.hung, "the hang")
    wait_for(
        lambda: bool(
            bench.host.take_interrupts().get("vcs0", 0) & 1 << EngineInterrupt.MASTER_ERROR
        ),
        "the error interrupt",
    )
    assert engine.reset()
    assert not engine.hung()


def test_page_fault_hangs_the_engine_that_it_names(bench: HostBench) -> None:
    engine, driver = bench.host.engines["bcs0"], bench.world.driver
    context = driver.create_context("bcs0")
    driver.emit(context, batch_start(BATCH))
    engine.submit(context.descriptor)
    wait_for(engine.hung, "the hang")
    assert not any(bench.host.engines[name].hung() for name in NAMES if name != "bcs0")
    assert engine.reset()
    assert not engine.hung()
    assert bench.gpu.read32(reg.GEN8_RING_FAULT_REG) == 0


@pytest.mark.parametrize("name", NAMES)
def test_user_interrupts_follow_the_mask(bench: HostBench, name: str) -> None:
    engine, driver = bench.host.engines[name], bench.world.driver
    for imr, expected in ((ALL, 0), (0, 1)):
        engine.set_user_mask(imr)
        context = driver.create_context(name)
        driver.emit(context, [MI_USER_INTERRUPT, MI_NOOP])
        events = bench.events(name)
        engine.submit(context.descriptor)
        events.wait(COMPLETED, context.reported)
        assert events.interrupts & 1 << EngineInterrupt.CONTEXT_SWITCH
        assert events.interrupts & 1 << EngineInterrupt.USER == expected
        assert not events.others


def test_the_user_mask_survives_an_engine_reset(bench: HostBench) -> None:
    engine = bench.host.engines["bcs0"]
    engine.set_user_mask(0)
    assert engine.reset()
    assert engine.read(reg.RING_IMR) == 0


def test_a_write_pointer_out_of_range_counts_as_a_hang(bench: HostBench) -> None:
    engine = bench.host.engines["rcs0"]
    address = engine.read(reg.RING_HWS_PGA) - bench.host.slab.ggtt + 0x7C
    bench.host.slab.u32[address // 4] = 6
    assert engine.events() == []
    assert engine.hung()
    assert engine.reset()
    assert not engine.hung()
    assert engine.events() == []


def test_restart_makes_everything_cold_but_ready(bench: HostBench) -> None:
    page = bench.world.driver.ggtt_map(bench.world.ram.allocate())
    context, _ = spinner(bench.world, "rcs0")
    bench.host.engines["rcs0"].submit(context.descriptor)
    bench.host.restart()
    driver = bench.world.driver
    faulting = driver.create_context("bcs0")
    driver.emit(faulting, store_dword(page, 1, ggtt=True))
    bench.host.engines["bcs0"].submit(faulting.descriptor)
    wait_for(bench.host.engines["bcs0"].hung, "a fault: the old entry is gone")
    events = bench.events("rcs0")
    fresh = driver.create_context("rcs0")
    driver.emit(fresh, [MI_NOOP, MI_NOOP])
    bench.host.engines["rcs0"].submit(fresh.descriptor)
    events.wait(COMPLETED, fresh.reported)
