"""A hostile guest on a served GPU: every trick ends in a hang, a fault or nothing, and a reset."""

from __future__ import annotations

import logging
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.pci import BAR0_SIZE
from mediator.softgpu.gpu import GSM_OFFSET, REGISTERS_SIZE
from mmio_trap.vfio_user.client import ClientRam
from mmio_trap.vfio_user.protocol import SetIrqsFlag
from tests.gpu_driver import (
    ENGINE_BASES,
    GSM,
    MI_BATCH_BUFFER_START_PPGTT,
    MI_NOOP,
    PAGE,
    Context,
    GpuDriver,
)
from tests.integration.served_gpu import (
    BATCH,
    ENGINES,
    GDRST,
    MASTER,
    PATIENCE_S,
    RAM_SIZE,
    Guest,
    Served,
    make_driver,
    serving,
    wait_until,
)

START = [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, MI_NOOP]
SECOND_LEVEL = 1 << 22
MI_BATCH_BUFFER_START = 0x31 << 23 | 1
MI_MATH = 0x1A << 23
LOAD_0 = 0x081 << 20 | 0x20 << 10
INTX = 0
VALID_LEGACY_64B = 1 | 3 << 3 | 1 << 8
FUZZ_S = 3.0
SOON_S = 15.0
"""Who waits for an endless batch waits for ever."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "gpu") as made:
        yield made


@pytest.fixture
def guest(served: Served) -> Iterator[Guest]:
    with served.guest() as made:
        yield made


@pytest.fixture(autouse=True)
def no_error_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def self_referring(driver: GpuDriver, context: Context) -> None:
    root = context.tables.root
    for entry in range(512):
        driver.ram.write_u64(root + 8 * entry, root | 3)
    driver.emit(context, START)


def batch_of(*dwords: int) -> Callable[[GpuDriver, Context], None]:
    def trick(driver: GpuDriver, context: Context) -> None:
        page = driver.ram.allocate()
        driver.ram.write_u32(page, *dwords)
        context.tables.map(BATCH, page)
        driver.emit(context, START)

    return trick


def ends_with_the_address_space(driver: GpuDriver, context: Context) -> None:
    last = (1 << 48) - PAGE
    context.tables.map(last, driver.ram.allocate())
    driver.emit(context, [MI_BATCH_BUFFER_START_PPGTT, last & 0xFFFFFFFF, last >> 32, MI_NOOP])


def ring_of(*dwords: int) -> Callable[[GpuDriver, Context], None]:
    return lambda driver, context: driver.emit(context, dwords)


def image_with(values: dict[int, int]) -> Callable[[GpuDriver, Context], None]:
    """Work in the ring, and these dwords in the context's image."""

    def trick(driver: GpuDriver, context: Context) -> None:
        driver.emit(context, START)
        for index, value in values.items():
            driver.ram.write_u32(context.image + 4 * index, value)

    return trick


HEAD, TAIL, RING, CONTROL, ROOT_HIGH, ROOT_LOW = 0x05, 0x07, 0x09, 0x0B, 0x31, 0x33
TRICKS: dict[str, Callable[[GpuDriver, Context], None]] = {
    "batch nowhere": ring_of(*START),
    "tables are their own": self_referring,
    "batch jumps to nothing": batch_of(MI_BATCH_BUFFER_START_PPGTT, 0x7000, 0x1234),
    "chains to itself a level down": batch_of(MI_BATCH_BUFFER_START_PPGTT | SECOND_LEVEL, BATCH, 0),
    "runs off its page": batch_of(MI_NOOP),
    "end of the address space": ends_with_the_address_space,
    "illegal command": ring_of(0x7F << 23, 0xFFFFFFFF),
    "ring off": image_with({CONTROL: 0}),
    "ring nowhere": image_with({RING: 0xFFFFF000}),
    "huge ring over the end": image_with({RING: 0xFFFFF000, CONTROL: 0x1FF001, TAIL: 0x1FF000}),
    "tail outside": image_with({TAIL: 0x1FFFF8}),
    "head outside": image_with({HEAD: 0xFFFFFFFC}),
    "tables beyond the bus": image_with({ROOT_HIGH: 0xFFFF}),
    "tables in no memory": image_with({ROOT_LOW: RAM_SIZE}),
}
ENDLESS = ["tables are their own", "chains to itself a level down"]
"""Busy until reset. Tables that are their own read as no-operations all over the space."""


@pytest.mark.parametrize("engine", ["rcs0", "bcs0"])
@pytest.mark.parametrize("name", TRICKS)
def test_a_bad_context_hangs_its_engine_until_reset(
    served: Served, guest: Guest, name: str, engine: str
) -> None:
    driver = guest.driver
    context = driver.create_context(engine)
    TRICKS[name](driver, context)
    driver.submit(context)
    victim = served.gpu.engines[engine]
    if name in ENDLESS:
        wait_until(lambda: victim.context is not None, "a busy engine")
    else:
        wait_until(lambda: victim.hung is not None, "the hang")
    guest.request("vcs0", 5)
    guest.wait_seqno("vcs0", 5)
    driver.write32(GDRST, victim.facts.reset_bit)
    driver.initialise()
    guest.request(engine, 6)
    guest.wait_seqno(engine, 6)


def test_an_endless_work_around_batch(served: Served, guest: Guest) -> None:
    """It runs with the lock held: the door must open again soon, and the engine hangs."""
    driver = guest.driver
    page = driver.ram.allocate()
    address = driver.ggtt_map(page)
    arithmetic = [MI_MATH | 253, *[LOAD_0] * 254]
    driver.ram.write_u32(page, *arithmetic * 4, MI_BATCH_BUFFER_START, address, 0)
    context = driver.create_context("rcs0")
    driver.ram.write_u32(context.image + 4 * ImageIndex.BB_PER_CTX_PTR, address | 1)
    guest.emit_and_submit(context, [MI_NOOP, MI_NOOP])
    begin = time.monotonic()
    driver.read32(0x2358)
    assert time.monotonic() - begin < SOON_S
    wait_until(lambda: served.gpu.engines["rcs0"].hung is not None, "the hang")


@pytest.mark.parametrize("lrca", [0, 0x1000, 0xFFFFF000, 0x7000_0000, 0xC0000 | 0x5000])
@pytest.mark.parametrize("bits", [VALID_LEGACY_64B, 1, 0x1F, 0xFFF])
def test_a_garbage_descriptor(served: Served, guest: Guest, lrca: int, bits: int) -> None:
    driver = guest.driver
    port = ENGINE_BASES["rcs0"] + 0x230
    for value in (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, lrca | bits):
        driver.write32(port, value)
    wait_until(lambda: served.gpu.engines["rcs0"].hung is not None, "the hang")
    driver.write32(GDRST, 1 << 1)
    driver.initialise()
    guest.request("rcs0", 6)
    guest.wait_seqno("rcs0", 6)


@pytest.mark.parametrize("page", [0, 0x6000_0000, 0xFFFFF000])
def test_a_status_page_nowhere(served: Served, guest: Guest, page: int) -> None:
    guest.driver.write32(ENGINE_BASES["rcs0"] + 0x80, page)
    context = guest.driver.create_context("rcs0")
    guest.emit_and_submit(context, [MI_NOOP, MI_NOOP])
    wait_until(lambda: served.gpu.engines["rcs0"].hung is not None, "the hang")


def test_global_entries_that_point_nowhere(served: Served, guest: Guest) -> None:
    context = guest.driver.create_context("rcs0")
    for entry in range(0x100, 0x200):
        bad = random.Random(entry).getrandbits(64) | 1 << 38 | 1
        guest.driver.write(GSM + 8 * entry, struct.pack("<Q", bad))
    guest.emit_and_submit(context, [MI_NOOP, MI_NOOP])
    wait_until(lambda: served.gpu.engines["rcs0"].hung is not None, "the hang")
    for entry in range(0x100, 0x200):
        assert guest.client.region_read(2, entry << 12, 4) == b"\xff" * 4
        guest.client.region_write(2, entry << 12, b"\xff" * 4)


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_taken_away_from_a_running_engine(served: Served, guest: Guest, engine: str) -> None:
    """Ring, image, tables and status page go: the next access faults, and all is well again."""
    guest.load(engine)
    wait_until(lambda: served.gpu.engines[engine].context is not None, "a busy engine")
    guest.client.dma_unmap(0, RAM_SIZE)
    wait_until(lambda: served.gpu.engines[engine].hung is not None, "the hang")
    assert guest.driver.read32(GDRST) == 0
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)
    guest.client.reset()
    guest.driver = make_driver(guest.client, guest.ram)
    guest.driver.initialise()
    guest.request(engine, 1)
    guest.wait_seqno(engine, 1)


def test_memory_comes_and_goes_under_all_engines(served: Served, guest: Guest) -> None:
    chance = random.Random(3)
    for engine in ENGINES:
        guest.load(engine)
    ends, times = time.monotonic() + PATIENCE_S, 0
    while times < 150 or (not served.gpu.summary()["hangs"] and time.monotonic() < ends):
        times += 1
        guest.client.dma_unmap(0, RAM_SIZE)
        time.sleep(chance.random() / 2000)
        guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)
        if any(engine.hung for engine in served.gpu.engines.values()):
            guest.driver = make_driver(guest.client, guest.ram)
            guest.driver.write32(GDRST, 1)
            guest.driver.initialise()
            for engine in ENGINES:
                guest.load(engine)
    assert served.gpu.summary()["hangs"] > 0


EDGES = [0, 0x2000, 0x2230, REGISTERS_SIZE, GSM_OFFSET, BAR0_SIZE, BAR0_SIZE // 4]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 16, 4096])
def test_accesses_of_any_size_and_place(guest: Guest, size: int) -> None:
    for region, end in ((0, BAR0_SIZE), (2, 256 << 20), (4, 64), (7, 256)):
        for edge in [*EDGES, end]:
            for offset in {edge - size, edge - size // 2, edge - 1, edge, edge + 1}:
                if 0 <= offset <= end - size:
                    guest.client.region_write(region, offset, bytes(size), posted=True)
                    assert len(guest.client.region_read(region, offset, size)) == size
    assert guest.driver.read32(0x2358)


@pytest.mark.modes
def test_random_writes_everywhere_while_engines_run(served: Served, guest: Guest) -> None:
    """Registers, global entries, aperture and the guest's own RAM, from a fixed seed."""
    chance = random.Random(20_24)
    driver, ram = guest.driver, guest.ram
    known = sorted(served.gpu.registers.map.by_offset)
    ports = [base + 0x230 for base in ENGINE_BASES.values()]
    ends = time.monotonic() + FUZZ_S
    contexts: list[Context] = []
    while time.monotonic() < ends:
        if driver.ram._next > RAM_SIZE // 2 or not contexts:
            guest.driver = driver = make_driver(guest.client, ram)
            guest.client.reset()
            driver.initialise()
            contexts = [guest.load(engine) for engine in ENGINES]
        for _ in range(200):
            kind = chance.random()
            if kind < 0.5:
                value = chance.choice([chance.getrandbits(32), 1 << chance.randrange(32), 0])
                driver.write32(chance.choice(known), value)
            elif kind < 0.6:
                offset = chance.randrange(BAR0_SIZE - 8)
                guest.client.region_write(0, offset, chance.randbytes(8), posted=True)
            elif kind < 0.7:
                entry = chance.randrange(0x400) * 8
                address = chance.randrange(2 * RAM_SIZE) & ~0xFFF | chance.getrandbits(2)
                driver.write(GSM + entry, struct.pack("<Q", address))
            elif kind < 0.8:
                ram.write(chance.randrange(RAM_SIZE // 4) & ~3, chance.randbytes(4))
            elif kind < 0.9:
                driver.read(chance.choice(known), 4)
            elif kind < 0.95:
                driver.submit(chance.choice(contexts))
            else:
                for value in (0, 0, chance.getrandbits(32), chance.getrandbits(32)):
                    driver.write32(chance.choice(ports), value)
    guest.client.reset()
    guest.driver = make_driver(guest.client, ram)
    guest.driver.initialise()
    for engine in ENGINES:
        guest.request(engine, 77)
        guest.wait_seqno(engine, 77)


def test_overlapping_and_readonly_memory(guest: Guest) -> None:
    """A read-only ring runs; a request that writes there ends in a hang, not in an exception."""
    context = guest.driver.create_context("rcs0")
    guest.driver.emit(context, guest.driver.breadcrumb("rcs0", 1))
    guest.client.dma_unmap(0, RAM_SIZE)
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd, 0, flags=1)
    guest.driver.submit(context)
    guest.driver.read32(0x2358)
    guest.client.dma_unmap_all()


class TestIntx:
    """No MSI: a level that is masked when it is delivered, until the client unmasks it."""

    @pytest.fixture
    def line(self, served: Served) -> Iterator[Guest]:
        with served.guest(msi=False) as made:
            flags = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_TRIGGER
            made.client.set_irqs(INTX, flags, fds=(made.eventfd,))
            yield made

    def unmask(self, guest: Guest) -> None:
        guest.client.set_irqs(INTX, SetIrqsFlag.DATA_NONE | SetIrqsFlag.ACTION_UNMASK)

    def test_level(self, line: Guest) -> None:
        line.request("rcs0", 1)
        line.wait_seqno("rcs0", 1)
        assert line.interrupts(timeout=10) == 1
        line.request("rcs0", 2)
        line.wait_seqno("rcs0", 2)
        assert line.interrupts() == 0
        self.unmask(line)
        assert line.interrupts(timeout=10) == 1  # the line is still up
        line.driver.write32(MASTER, 0)
        line.driver.read32(MASTER)
        self.unmask(line)
        assert line.interrupts() == 0
        line.driver.write32(MASTER, 1 << 31)
        assert line.interrupts(timeout=10) == 1

    def test_unmask_by_eventfd_that_its_owner_reads(self, line: Guest) -> None:
        unmask = os.eventfd(0)
        flags = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_UNMASK
        line.client.set_irqs(INTX, flags, fds=(unmask,))
        line.request("rcs0", 1)
        for _ in range(20):
            assert line.interrupts(timeout=10)
            os.eventfd_write(unmask, 1)
            os.eventfd_read(unmask)
            os.eventfd_write(unmask, 1)
        os.close(unmask)

    def test_reset_and_use_again(self, line: Guest) -> None:
        line.request("rcs0", 1)
        assert line.interrupts(timeout=10) == 1
        line.client.reset()
        self.unmask(line)
        assert line.interrupts() == 0
        line.driver.initialise()
        line.request("rcs0", 2)
        assert line.interrupts(timeout=10) == 1


def test_a_file_cut_off_after_it_was_mapped_keeps_its_size(guest: Guest) -> None:
    extra = ClientRam(guest.client, 1 << 32, 1 << 20)
    with pytest.raises(PermissionError):
        os.ftruncate(extra.fd, 0)
    extra.close(unmap=True)
