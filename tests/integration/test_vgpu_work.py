"""One guest's work, natively and on a vGPU in every mode: results, images, interrupts."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    MI_USER_INTERRUPT,
    PAGE,
    Context,
    GpuDriver,
    PageTables,
    Ram,
)
from tests.gpu_driver.commands import (
    LESS,
    atomic_add,
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    load_register,
    load_register_memory,
    pipe_control,
    semaphore_wait,
    store_dword,
    store_index,
    store_qword,
    store_register,
    update_ggtt,
)
from tests.gpu_driver.memory import PAGE_64K
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import ALL, PATIENCE_S, Guest, Mode, rig
from tests.readiness import readable

ENGINES = list(ENGINE_BASES)
BATCH, TARGET, SOURCE = 0x10_0000, 0x4000_0000, 0x7F12_3450_0000
FAR = (1 << 48) - (1 << 21)
"""The last 2 MiB of a context's address space."""
GPR, TIMESTAMP = 0x600, 0x358


@pytest.fixture(params=cases(ALL), ids=str)
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guest]:
    mode: Mode = request.param
    with rig(tmp_path, mode) as made, made.guest() as connected:
        yield connected


@pytest.fixture
def driver(guest: Guest) -> GpuDriver:
    return guest.driver


def gpr(engine: str, number: int = 0) -> int:
    return ENGINE_BASES[engine] + GPR + 8 * number


def test_every_engine_many_requests(driver: GpuDriver) -> None:
    contexts = [driver.create_context(engine) for engine in ENGINES for _ in range(2)]
    for _ in range(20):
        driver.wait(*(driver.run(context) for context in contexts))
    driver.wait_idle()
    assert [driver.ram.read_u32(c.timeline) for c in contexts] == [20] * len(contexts)


@pytest.mark.parametrize("engine", ENGINES)
def test_user_batch(driver: GpuDriver, engine: str) -> None:
    context = driver.create_context(engine)
    target = driver.ram.allocate(2)
    context.tables.map(TARGET, target, 2)
    stores = [d for i in range(900) for d in store_dword(TARGET + 8 * i, 0xA5000000 | i)]
    context.tables.place(
        BATCH, [*stores, *store_qword(TARGET + 4, 5 << 32 | 6), MI_BATCH_BUFFER_END]
    )
    driver.wait(driver.run(context, batch_start(BATCH)))
    values = struct.unpack("<1800I", driver.ram.read(target, 7200))
    assert values[::2] == (0xA5000000, 5, *(0xA5000000 | i for i in range(2, 900)))
    assert values[1] == 6


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_chained_and_called(driver: GpuDriver, engine: str) -> None:
    """The first calls a second level, which returns, and chains to a third at the far end."""
    context = driver.create_context(engine)
    target = driver.ram.allocate()
    context.tables.map(TARGET, target)
    first = [*batch_start(SOURCE, second=True), *store_dword(TARGET + 4, 2), *batch_start(FAR)]
    context.tables.place(BATCH, first)
    context.tables.place(SOURCE, [*store_dword(TARGET, 1), MI_BATCH_BUFFER_END])
    context.tables.place(FAR, [*store_dword(TARGET + 8, 3), MI_BATCH_BUFFER_END])
    answer = driver.ram.allocate()
    at = driver.ggtt_map(answer)
    driver.wait(driver.run(context, [*batch_start(BATCH), *store_dword(at, 4, ggtt=True)]))
    assert struct.unpack("<3I", driver.ram.read(target, 12)) == (1, 2, 3)
    assert driver.ram.read_u32(answer) == 4


def test_64k_pages(driver: GpuDriver) -> None:
    context = driver.create_context("bcs0")
    pages = driver.ram.allocate(32, PAGE_64K)
    context.tables.map_64k(TARGET, pages, 2)
    driver.wait(
        driver.run(context, user_batch(context, color_blit(TARGET, 1024, 256, 128, 0x0BADCAFE)))
    )
    assert driver.ram.read(pages, 2 * PAGE_64K) == struct.pack("<I", 0x0BADCAFE) * (PAGE_64K // 2)


def user_batch(context: Context, commands: list[int]) -> list[int]:
    """A batch of ``commands`` at BATCH in the context, and what starts it."""
    context.tables.place(BATCH, [*commands, MI_BATCH_BUFFER_END])
    return batch_start(BATCH)


def test_a_page_table_that_changes_between_requests(driver: GpuDriver) -> None:
    """No word of it to the GPU but the invalidation in each request, as i915."""
    context = driver.create_context("vcs0")
    context.tables.place(BATCH, [*store_dword(TARGET, 0x77), MI_BATCH_BUFFER_END])
    for round_ in range(6):
        page = driver.ram.allocate()
        if round_ == 3:  # a new page table, not only a new entry
            table = driver.ram.allocate()
            directory = context.tables.slot(TARGET, 2)
            driver.ram.write_u64(directory, table | 3)
        context.tables.map(TARGET, page)
        driver.wait(driver.run(context, batch_start(BATCH)))
        assert driver.ram.read_u32(page) == 0x77


def test_entries_to_the_scratch_page_and_tables_shared(driver: GpuDriver) -> None:
    """As i915 fills them: all that is unused names one scratch page through shared tables."""
    ram, context = driver.ram, driver.create_context("rcs0")
    scratch = [ram.allocate() for _ in range(4)]
    for page, below in zip(scratch[1:], scratch, strict=False):
        ram.write(page, struct.pack("<Q", below | 3) * 512)
    ram.write(context.tables.root, struct.pack("<Q", scratch[3] | 3) * 512)
    table = [ram.allocate() for _ in range(3)]
    ram.write_u64(context.tables.root, table[0] | 3)
    for upper, lower in pairwise(table):
        ram.write(upper, struct.pack("<Q", scratch[1] | 3) * 512)
        ram.write_u64(upper, lower | 3)
    ram.write(table[2], struct.pack("<Q", scratch[1] | 3) * 512)
    context.tables.place(BATCH, [*store_dword(0x5555_0000_0000, 0x99), MI_BATCH_BUFFER_END])
    driver.wait(driver.run(context, batch_start(BATCH)))
    assert ram.read_u32(scratch[0]) == 0x99


@pytest.mark.parametrize("engine", ENGINES)
def test_privileged_batch(driver: GpuDriver, engine: str) -> None:
    """From the GGTT, chained and a level deeper; its register writes count."""
    page, result = driver.ram.allocate(2), driver.ram.allocate()
    address, answer = driver.ggtt_map(page, 2, high=True), driver.ggtt_map(result)
    inner = [*load_register((gpr(engine), 0x1234)), MI_BATCH_BUFFER_END]
    chained = [*store_register(gpr(engine), answer, ggtt=True), MI_BATCH_BUFFER_END]
    outer = [
        *batch_start(address + 0x400, ggtt=True, second=True),
        *store_dword(answer + 4, 1, ggtt=True),
        *batch_start(address + PAGE, ggtt=True),
    ]
    driver.ram.write_u32(page, *outer)
    driver.ram.write_u32(page + 0x400, *inner)
    driver.ram.write_u32(page + PAGE, *chained)
    context = driver.create_context(engine)
    driver.wait(driver.run(context, batch_start(address, ggtt=True)))
    assert struct.unpack("<2I", driver.ram.read(result, 8)) == (0x1234, 1)


def test_blits(driver: GpuDriver) -> None:
    ram, context = driver.ram, driver.create_context("bcs0")
    source, target, third = (ram.allocate(8) for _ in range(3))
    for address, physical in ((SOURCE, source), (TARGET, target), (FAR, third)):
        context.tables.map(address, physical, 8)
    content = os.urandom(8 * PAGE)
    ram.write(source, content)
    work = [
        *copy_blit(TARGET, SOURCE, 512, 128, 64),
        *copy_blit(FAR, TARGET, 512, 128, 64, fast=True),
        *color_blit(TARGET, 512, 64, 2, 0x1234_5678),
    ]
    driver.wait(driver.run(context, user_batch(context, work)))
    assert ram.read(third, 8 * PAGE) == content
    row = struct.pack("<I", 0x1234_5678) * 64
    assert ram.read(target, 1024) == row + content[256:512] + row + content[768:1024]


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_commands_in_the_ring(driver: GpuDriver, engine: str) -> None:
    """Those that some mediators refuse and real drivers use, through GGTT and page tables."""
    ram, context = driver.ram, driver.create_context(engine)
    page = ram.allocate()
    at = driver.ggtt_map(page)
    context.tables.map(TARGET, page)
    ram.write_u32(page, 40, 1000, 0xFEED)
    work = [
        *atomic_add(at, 2, ggtt=True),
        *atomic_add(TARGET + 4, 24),
        *copy_dword(at + 12, at + 8, target_ggtt=True, source_ggtt=True),
        *copy_dword(TARGET + 16, at + 8, source_ggtt=True),
        *load_register_memory(gpr(engine), at, ggtt=True),
        *store_register(gpr(engine), TARGET + 20),
        *semaphore_wait(at, 100, compare=LESS, ggtt=True),
    ]
    driver.wait(driver.run(context, work))
    assert struct.unpack("<6I", ram.read(page, 24)) == (42, 1024, 0xFEED, 0xFEED, 0xFEED, 42)


def test_store_index_and_post_sync_by_index(driver: GpuDriver) -> None:
    ram, context = driver.ram, driver.create_context("rcs0")
    qword_by_index = 1 << 21 | 1 << 20 | 1 << 14
    work = [
        *store_index(0x380, 0x51),
        *store_index(0x384, 0x52, per_process=True),
        *pipe_control(qword_by_index | 1 << 24, 0x388, 0x53),
        *pipe_control(qword_by_index, 0x388, 0x54),
    ]
    driver.wait(driver.run(context, work))
    assert ram.read_u32(driver.status_pages["rcs0"] + 0x380) == 0x51
    assert ram.read_u32(context.status_page + 0x384) == 0x52
    assert ram.read_u32(driver.status_pages["rcs0"] + 0x388) == 0x53
    assert ram.read_u32(context.status_page + 0x388) == 0x54


def test_update_ggtt_from_the_ring(driver: GpuDriver) -> None:
    ram, context = driver.ram, driver.create_context("rcs0")
    old, new = ram.allocate(), ram.allocate()
    at = driver.ggtt_map(old)
    flush = pipe_control(1 << 20 | 1 << 18)
    work = [*update_ggtt(at, new | 1), *flush]
    driver.wait(driver.run(context, work))
    assert driver.ggtt_entry(at) == new | 1
    driver.wait(driver.run(context, store_dword(at, 0xABC, ggtt=True)))
    assert (ram.read_u32(old), ram.read_u32(new)) == (0, 0xABC)


@pytest.mark.parametrize("engine", ENGINES)
def test_timestamps_advance(driver: GpuDriver, engine: str) -> None:
    ram, context = driver.ram, driver.create_context(engine)
    clock = ENGINE_BASES[engine] + TIMESTAMP
    page = ram.allocate()
    at = driver.ggtt_map(page)
    before = driver.read32(clock)
    driver.wait(driver.run(context, store_register(clock, at, ggtt=True)))
    driver.wait(driver.run(context, store_register(clock, at + 4, ggtt=True)))
    driver.wait_idle()
    times = [before, *struct.unpack("<2I", ram.read(page, 8)), driver.read32(clock)]
    passed = [(later - earlier) & 0xFFFF_FFFF for earlier, later in pairwise(times)]
    assert all(0 < ticks < 1 << 31 for ticks in passed)  # the low dword begins anew now and then
    assert ram.read_u32(context.value(ImageIndex.CTX_TIMESTAMP)) > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_image_after_a_run(driver: GpuDriver, engine: str) -> None:
    """What the guest's driver reads there: head, no more restore inhibit, the ring's state."""
    ram, context = driver.ram, driver.create_context(engine)
    driver.wait(driver.run(context, load_register((gpr(engine, 3), 0xBEEF))))
    driver.wait_idle()
    image = struct.unpack("<1024I", ram.read(context.image, PAGE))
    assert image[ImageIndex.RING_HEAD] == context.tail
    assert image[ImageIndex.RING_TAIL] == context.tail
    assert image[ImageIndex.CONTEXT_CONTROL] & 1 == 0
    assert image[ImageIndex.RING_START] == context.ring_ggtt
    assert image[ImageIndex.PDP0_UDW] << 32 | image[ImageIndex.PDP0_LDW] == context.tables.root
    assert image[ImageIndex.CS_GPR0 + 12] == 0xBEEF
    assert image[ImageIndex.CS_GPR0 + 11] == gpr(engine, 3)


def test_a_ring_that_wraps(driver: GpuDriver) -> None:
    context = driver.create_context("vecs0")
    page = driver.ram.allocate()
    at = driver.ggtt_map(page)
    for number in range(40):
        stores = [
            d for i in range(100) for d in store_dword(at + 4 * i, number << 8 | i, ggtt=True)
        ]
        driver.wait(driver.run(context, stores))
    assert struct.unpack("<100I", driver.ram.read(page, 400)) == tuple(
        39 << 8 | i for i in range(100)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_context_cloned_from_a_recorded_one(driver: GpuDriver, engine: str) -> None:
    """As i915 makes all but the first: the image that the hardware saved, restored in full."""
    ram, first = driver.ram, driver.create_context(engine)
    driver.wait(driver.run(first, load_register((gpr(engine, 1), 0x4321))))
    driver.wait_idle()
    second = driver.create_context(engine)
    recorded = bytearray(ram.read(first.image, PAGE))
    kept = ram.read(second.image, PAGE)
    owned = (ImageIndex.RING_HEAD, ImageIndex.RING_TAIL, ImageIndex.RING_START, ImageIndex.PDP0_LDW)
    for index in owned:
        recorded[4 * index : 4 * index + 4] = kept[4 * index : 4 * index + 4]
    ram.write(second.image, bytes(recorded))
    answer = ram.allocate()
    at = driver.ggtt_map(answer)
    driver.wait(driver.run(second, store_register(gpr(engine, 1), at, ggtt=True)))
    assert ram.read_u32(answer) == 0x4321


def test_work_around_batches(driver: GpuDriver) -> None:
    """Indirect and per-context batch run before the ring, at each restore of the context."""
    ram, context = driver.ram, driver.create_context("rcs0")
    batches, answer = ram.allocate(2), ram.allocate()
    address, at = driver.ggtt_map(batches, 2), driver.ggtt_map(answer)
    ram.write_u32(batches, *atomic_add(at, 1, ggtt=True))
    ram.write_u32(batches + PAGE, *atomic_add(at + 4, 1, ggtt=True), MI_BATCH_BUFFER_END)
    ram.write_u32(context.value(ImageIndex.INDIRECT_CTX), address | 1)
    ram.write_u32(context.value(ImageIndex.INDIRECT_CTX_OFFSET), 0x26 << 6)
    ram.write_u32(context.value(ImageIndex.BB_PER_CTX_PTR), address + PAGE | 1)
    for count in (1, 2, 3):
        driver.wait(driver.run(context, copy_dword(at + 8, at, target_ggtt=True, source_ggtt=True)))
        driver.wait_idle()
        assert struct.unpack("<3I", ram.read(answer, 12)) == (count, count, count)


def test_semaphore_between_engines(driver: GpuDriver) -> None:
    """A ring of engines: each waits for the one before, the CPU sets off the first."""
    ram = driver.ram
    page = ram.allocate()
    at = driver.ggtt_map(page)
    requests = []
    for number, engine in enumerate(ENGINES):
        context = driver.create_context(engine)
        wait = semaphore_wait(at + 4 * number, 1, ggtt=True)
        requests.append(
            driver.run(context, [*wait, *store_dword(at + 4 * number + 4, 1, ggtt=True)])
        )
    driver.wait_until(
        lambda: all(driver.ports[engine].active for engine in ENGINES), "four engines that wait"
    )
    assert not any(driver.done(request) for request in requests)
    ram.write_u32(page, 1)
    driver.wait(*requests)


@pytest.mark.parametrize("engine", ENGINES)
def test_general_purpose_registers_survive_preemption(driver: GpuDriver, engine: str) -> None:
    """In the middle of a batch that waits for the CPU to say go on."""
    ram, low = driver.ram, driver.create_context(engine)
    high = driver.create_context(engine, priority=1)
    flag = ram.allocate()
    low.tables.map(TARGET, flag)
    batch = [
        *load_register((gpr(engine, 2), 0x600D)),
        *store_dword(TARGET + 4, 1),
        *semaphore_wait(TARGET, 1),
        *store_register(gpr(engine, 2), TARGET + 8),
        MI_BATCH_BUFFER_END,
    ]
    low.tables.place(BATCH, batch)
    waiting = driver.run(low, batch_start(BATCH))
    driver.wait_until(lambda: ram.read_u32(flag + 4) == 1, "the batch")
    for _ in range(3):
        driver.wait(driver.run(high, load_register((gpr(engine, 2), 0xBAD))))
        assert not driver.done(waiting)
        driver.wait_until(lambda: driver.ports[engine].active == [low], "its return")
    ram.write_u32(flag, 1)
    driver.wait(waiting)
    assert ram.read_u32(flag + 8) == 0x600D


def test_endless_batch_ended_by_the_cpu(driver: GpuDriver) -> None:
    context = driver.create_context("rcs0")
    page = context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    request = driver.run(context, batch_start(BATCH))
    driver.wait_until(lambda: driver.ports["rcs0"].active == [context], "a busy engine")
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    driver.wait(request)


class TestInterrupts:
    def wait_events(self, driver: GpuDriver, bank: int, mask: int) -> None:
        """Handle interrupts until all events of ``mask`` were in ``bank``."""
        assert driver.eventfd is not None
        seen = 0
        while readable(driver.eventfd, PATIENCE_S):
            seen |= driver.handle_interrupt().get(bank, 0)
            if seen & mask == mask:
                return
        raise AssertionError(f"waited in vain for events {mask:#x} of {bank:#x}: {seen:#x}")

    @pytest.mark.parametrize(
        ("engine", "bank", "shift"),
        [("rcs0", 0x44300, 0), ("bcs0", 0x44300, 16), ("vcs0", 0x44310, 0), ("vecs0", 0x44330, 0)],
    )
    def test_each_event_in_its_place(
        self, driver: GpuDriver, engine: str, bank: int, shift: int
    ) -> None:
        context = driver.create_context(engine)
        flag = driver.ram.allocate()
        at = driver.ggtt_map(flag)
        driver.run(context, [MI_USER_INTERRUPT, *semaphore_wait(at, 1, ggtt=True)])
        self.wait_events(driver, bank, (1 | 1 << 8 | 1 << 11) << shift)
        driver.ram.write_u32(flag, 1)
        self.wait_events(driver, bank, 1 << shift)

    def test_masked_events_raise_none(self, guest: Guest, driver: GpuDriver) -> None:
        driver.engine_write("rcs0", 0xA8, 0xFFFF_FFFF)
        context = driver.create_context("rcs0")
        driver.add_request(context)
        driver.submit(context)
        driver.eventfd = None
        driver.wait_idle()
        assert driver.read32(0x44308) == 0
        with pytest.raises(BlockingIOError):
            os.eventfd_read(guest.eventfd)


@pytest.mark.parametrize("mode", cases(ALL), ids=str)
@pytest.mark.parametrize("base", [0, 1 << 32])
def test_memory_in_several_places(tmp_path: Path, mode: Mode, base: int) -> None:
    """RAM from 4 GiB on, as above the hole of a big guest; a hot-plugged piece further up."""
    with rig(tmp_path, mode) as made, made.guest(base=base) as guest:
        from mmio_trap.vfio_user.client import ClientRam

        driver = guest.driver
        more = ClientRam(guest.client, 3 << 32, 1 << 20)
        guest.extra.append(more)
        far = Ram(memoryview(more.bytes), more.address)
        context = driver.create_context("bcs0", PageTables(far))
        page = far.allocate()
        context.tables.map(TARGET, page)
        context.tables.place(BATCH, [*store_dword(TARGET, 0x33), MI_BATCH_BUFFER_END])
        driver.wait(driver.run(context, batch_start(BATCH)))
        assert far.read_u32(page) == 0x33
        far.buffer.release()
