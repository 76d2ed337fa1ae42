"""The software GPU as a backend: its I/O address spaces, their separation, what it records."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from errno import EINVAL

import pytest

from mediator.gen9.identity import SKYLAKE_GT2
from mediator.physical.gpu import DmaSpace, PhysicalGpu
from mediator.physical.host import IDLE_CONTEXT_ID
from mediator.physical.soft import SoftPhysicalGpu
from tests.gpu_driver import Context
from tests.gpu_driver.commands import MI_ARB_CHECK, MI_NOOP, batch_start, store_dword
from tests.gpu_driver.driver import wait_for
from tests.open_files import open_fds
from tests.readiness import readable
from tests.unit.mediator.host_gpu_fixture import (
    BATCH,
    TARGET,
    HostBench,
    World,
    spinner,
    wait_until_batch,
)

COMPLETED = 0x18


@pytest.fixture
def bench() -> Iterator[HostBench]:
    made = HostBench()
    yield made
    made.close()


def run(bench: HostBench, context: Context) -> None:
    """Submit ``context``, and idle behind it, so that the engine holds nothing of it."""
    events, engine = bench.events(context.engine), bench.host.engines[context.engine]
    engine.submit(context.descriptor)
    events.wait(COMPLETED, context.reported)
    engine.submit_idle()
    events.wait(COMPLETED, IDLE_CONTEXT_ID)


def enter(bench: HostBench, world: World) -> None:
    bench.gpu.attach_space(world.space)


def test_it_is_a_physical_gpu() -> None:
    gpu: PhysicalGpu = SoftPhysicalGpu(SKYLAKE_GT2)
    assert gpu.identity is SKYLAKE_GT2
    gpu.close()


def test_closing_leaves_no_thread_and_no_file() -> None:
    gc.collect()
    before = open_fds()
    threads = threading.active_count()
    bench = HostBench()
    bench.close()
    del bench
    gc.collect()
    assert open_fds() <= before
    assert threading.active_count() == threads


def test_the_same_ggtt_entry_reaches_the_memory_of_the_world(bench: HostBench) -> None:
    first, second = bench.world, bench.new_world()
    worlds = (first, second)
    targets = []
    for number, world in enumerate(worlds):
        enter(bench, world)
        context = world.driver.create_context("bcs0")
        page = world.ram.allocate()
        targets.append((page, world.driver.ggtt_map(page)))
        world.driver.emit(context, store_dword(targets[-1][1], 0xA0 + number, ggtt=True))
        run(bench, context)
    assert targets[0] == targets[1]
    assert [world.ram.read_u32(targets[0][0]) for world in worlds] == [0xA0, 0xA1]


def test_page_tables_are_those_of_the_world(bench: HostBench) -> None:
    first, second = bench.world, bench.new_world()
    contexts, pages = [], []
    for number, world in enumerate((first, second)):
        context = world.driver.create_context("rcs0")
        pages.append(context.tables.place(TARGET, [0]))
        world.driver.emit(context, store_dword(TARGET, 0xB0 + number))
        contexts.append(context)
    assert contexts[0].tables.root == contexts[1].tables.root
    for context, world in zip(contexts, (first, second), strict=True):
        enter(bench, world)
        run(bench, context)
    assert first.ram.read_u32(pages[0]) == 0xB0
    assert second.ram.read_u32(pages[1]) == 0xB1


def test_another_space_is_out_of_reach(bench: HostBench) -> None:
    there = bench.gpu.create_space()
    bench.spaces.append(there)
    secret = bench.add_ram(there, base=2 << 30)
    secret.ram.write_u32(secret.ram.base, 0x5EC2E7)
    driver = bench.world.driver
    context = driver.create_context("bcs0")
    driver.emit(context, store_dword(driver.ggtt_map(secret.ram.base), 1, ggtt=True))
    engine = bench.host.engines["bcs0"]
    engine.submit(context.descriptor)
    wait_for(engine.hung, "a page fault")
    assert secret.ram.read_u32(secret.ram.base) == 0x5EC2E7


def test_a_busy_gpu_stays_in_its_space(bench: HostBench) -> None:
    other = bench.new_world()
    context, _ = spinner(bench.world, "vcs0")
    engine = bench.host.engines["vcs0"]
    engine.submit(context.descriptor)
    wait_until_batch(engine)
    with pytest.raises(RuntimeError, match="vcs0"):
        enter(bench, other)
    events = bench.events("vcs0")
    engine.submit_idle()
    events.wait(COMPLETED, IDLE_CONTEXT_ID)
    enter(bench, other)


def test_a_gpu_can_leave_its_space_right_after_a_reset(bench: HostBench) -> None:
    other = bench.new_world()
    for _ in range(10):
        for here, there in ((bench.world, other), (other, bench.world)):
            context, _ = spinner(here, "rcs0", preemptible=False)
            engine = bench.host.engines["rcs0"]
            engine.submit(context.descriptor)
            assert engine.reset()
            enter(bench, there)


def test_preempted_work_goes_on_in_its_own_world(bench: HostBench) -> None:
    """Slices of two worlds with the same addresses, each ended by preemption."""
    worlds = (bench.world, bench.new_world())
    engine, spinners = bench.host.engines["rcs0"], []
    for world in worlds:
        context, batch = spinner(world, "rcs0")
        loop = [MI_ARB_CHECK, *store_dword(TARGET, 7), *batch_start(BATCH)]
        world.ram.write_u32(batch, *loop)
        spinners.append((context, context.tables.place(TARGET, [0])))
    for _ in range(5):
        for world, (context, target) in zip(worlds, spinners, strict=True):
            enter(bench, world)
            world.ram.write_u32(target, 0)
            events = bench.events("rcs0")
            engine.submit(context.descriptor)
            wait_for(lambda: world.ram.read_u32(target) == 7, "the loop")  # noqa: B023
            engine.submit_idle()
            events.wait(COMPLETED, IDLE_CONTEXT_ID)
            assert (0x2, context.reported) in events.seen


def test_pages_that_the_gpu_writes_are_recorded(bench: HostBench) -> None:
    world = bench.world
    context = world.driver.create_context("bcs0")
    target = context.tables.place(TARGET, [0])
    world.driver.emit(context, store_dword(TARGET, 1))
    assert world.space.take_dirty() == []
    world.space.start_recording()
    run(bench, context)
    dirty = world.space.take_dirty()
    assert target >> 12 in dirty
    assert context.image >> 12 in dirty
    assert context.ring >> 12 not in dirty
    assert world.space.take_dirty() == []
    world.space.stop_recording()


def test_ggtt_entries_are_written_many_at_once(bench: HostBench) -> None:
    world = bench.world
    pages = world.ram.allocate(512)
    entries = b"".join((pages + 4096 * n | 1).to_bytes(8, "little") for n in range(512))
    forms: list[bytes | bytearray | memoryview] = [entries, bytearray(entries)]
    forms.append(memoryview(entries).cast("Q"))
    for number, data in enumerate(forms):
        bench.gpu.write_ggtt(0x20000, bytes(8 * 512))
        bench.gpu.write_ggtt(0x20000, data)
        context = world.driver.create_context("bcs0")
        last = (0x20000 + 511) << 12
        world.driver.emit(context, store_dword(last, 0xC0 + number, ggtt=True))
        run(bench, context)
        assert world.ram.read_u32(pages + 511 * 4096) == 0xC0 + number


def test_many_entries_written_replace_cached_translations(bench: HostBench) -> None:
    world = bench.world
    first, second = world.ram.allocate(64), world.ram.allocate(64)
    for number, pages in enumerate((first, second)):
        entries = (pages + 4096 * n | 1 for n in range(64))
        bench.gpu.write_ggtt(0x20000, b"".join(e.to_bytes(8, "little") for e in entries))
        context = world.driver.create_context("bcs0")
        world.driver.emit(context, store_dword(0x20000 << 12, 0xD0 + number, ggtt=True))
        run(bench, context)
    assert world.ram.read_u32(first) == 0xD0
    assert world.ram.read_u32(second) == 0xD1


def test_reset_forgets_the_interrupt_and_the_entries(bench: HostBench) -> None:
    context = bench.world.driver.create_context("vcs0")
    bench.world.driver.emit(context, [MI_NOOP, MI_NOOP])
    bench.host.engines["vcs0"].submit(context.descriptor)
    assert readable(bench.gpu.interrupt_fd, 20)
    bench.gpu.reset()
    assert not readable(bench.gpu.interrupt_fd, 0)
    assert bench.gpu.read32(0x2080) == 0


def test_unmapping_nothing_is_no_error_and_cutting_a_range_is(bench: HostBench) -> None:
    space = bench.gpu.create_space()
    space.unmap(0, 1 << 39)
    fd = os.memfd_create("ram")
    os.ftruncate(fd, 8192)
    space.map(0, 8192, fd, 0, readable=True, writable=False)
    os.close(fd)
    with pytest.raises(OSError, match="cuts") as caught:
        space.unmap(0, 4096)
    assert caught.value.errno == EINVAL
    space.unmap(0, 1 << 39)
    space.close()


def test_a_space_of_another_kind_is_refused(bench: HostBench) -> None:
    class Stranger:
        """Not a space of this GPU."""

    stranger: DmaSpace = Stranger()  # type: ignore[assignment]
    with pytest.raises(TypeError, match="Stranger"):
        bench.gpu.attach_space(stranger)
