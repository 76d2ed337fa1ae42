"""A guest that breaks the rules, beside one that works: each ends in that guest's error alone.

Every test has a neighbour whose results are right before, meanwhile and after, and of whom the
mediator has nothing bad to say; the offender, once it has reset its engines, works again.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.physical.partition import MIB
from mmio_trap.vfio_user.protocol import RequestError
from tests.gpu_driver import (
    ENGINE_BASES,
    GSM,
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    PAGE,
    Context,
    GpuDriver,
)
from tests.gpu_driver.commands import batch_start, semaphore_wait, store_dword
from tests.integration.mode_cases import cases
from tests.integration.test_softgpu_hostile import ENDLESS, TRICKS
from tests.integration.vgpu_rig import (
    PAIR,
    RAM_SIZE,
    SHADOW,
    SHORT_WATCHDOG_NS,
    Guest,
    Mode,
    Rig,
    rig,
)
from tests.integration.vgpu_worker import Neighbour, neighbour

ENGINES = list(ENGINE_BASES)
BATCH = 0x10_0000
FUZZ_S = 2.0
GDRST, ELSP = 0x941C, 0x230


@pytest.fixture(params=cases(PAIR, quick=[SHADOW]), ids=str)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    mode: Mode = request.param
    with rig(tmp_path, mode, 2, watchdog_ns=SHORT_WATCHDOG_NS) as made:
        yield made


@pytest.fixture
def beside(shared: Rig) -> Iterator[Neighbour]:
    with neighbour(shared) as made:
        yield made


@pytest.fixture
def guest(shared: Rig, beside: Neighbour) -> Iterator[Guest]:
    with shared.guest(0, msi=False) as made:
        yield made


def works_again(guest: Guest) -> None:
    """After its reset, as after a reboot of its driver."""
    driver = guest.new_driver(msi=False)
    driver.initialise()
    driver.wait(*(driver.run(driver.create_context(engine)) for engine in ENGINES))
    driver.wait_idle()


def wait_for_error(driver: GpuDriver, engine: str) -> None:
    driver.wait_until(lambda: driver.error(engine), f"{engine} to report an error")


def spinner(driver: GpuDriver, engine: str, *, preemptible: bool = True) -> Context:
    context = driver.create_context(engine)
    first = [MI_ARB_CHECK] if preemptible else [MI_NOOP]
    context.tables.place(BATCH, [*first, *batch_start(BATCH)])
    driver.run(context, batch_start(BATCH))
    return context


# -- memory that is not there ---------------------------------------------------------------------


@pytest.mark.parametrize("name", TRICKS)
def test_a_bad_context(guest: Guest, beside: Neighbour, name: str) -> None:
    driver = guest.driver
    context = driver.create_context("rcs0")
    TRICKS[name](driver, context)
    driver.submit(context)
    if name not in ENDLESS:
        wait_for_error(driver, "rcs0")
    beside.goes_on()
    works_again(guest)


@pytest.mark.parametrize("what", ["context", "ring", "status page"])
@pytest.mark.parametrize("physical", [RAM_SIZE, 1 << 38, (1 << 39) - PAGE])
def test_a_ggtt_entry_beyond_its_ram(
    guest: Guest, beside: Neighbour, what: str, physical: int
) -> None:
    driver = guest.driver
    context = driver.create_context("rcs0")
    driver.add_request(context)
    status_page = driver.engine_read("rcs0", 0x80)
    at = {"context": context.lrca + PAGE, "ring": context.ring_ggtt, "status page": status_page}
    driver.ggtt_write(at[what], physical | 1)
    driver.submit(context)
    if what != "status page":
        wait_for_error(driver, "rcs0")
    beside.goes_on()
    assert driver.ggtt_entry(at[what]) in (0, physical | 1)
    works_again(guest)


def test_it_balloons_outside_its_slice(shared: Rig, guest: Guest, beside: Neighbour) -> None:
    """Entries in the neighbour's slice, and a context that lies there."""
    if shared.mode.ggtt == "private":
        pytest.skip("the whole GGTT is the guest's own")
    driver = guest.driver
    theirs = beside.worker.driver.ggtt
    context = driver.create_context("rcs0")
    driver.add_request(context)
    for part in (theirs.low, theirs.high):
        for page in range(24):
            driver.ggtt_write(part.start + page * PAGE, context.image - PAGE + page * PAGE | 1)
        assert driver.ggtt_entry(part.start) == 0
    context.lrca = theirs.high.start
    driver.submit(context)
    wait_for_error(driver, "rcs0")
    beside.goes_on()
    works_again(guest)
    assert sum(shared.vgpu(0).counters.rejections.values()) > 0


@pytest.mark.parametrize("root", [RAM_SIZE, (1 << 39) - PAGE, 1 << 40, 0xFFFF << 32])
def test_page_tables_nowhere(guest: Guest, beside: Neighbour, root: int) -> None:
    driver = guest.driver
    context = driver.create_context("bcs0")
    driver.add_request(context, batch_start(BATCH))
    driver.ram.write_u32(context.value(ImageIndex.PDP0_UDW), root >> 32)
    driver.ram.write_u32(context.value(ImageIndex.PDP0_LDW), root & 0xFFFF_FFFF)
    driver.submit(context)
    wait_for_error(driver, "bcs0")
    beside.goes_on()
    works_again(guest)


# -- submissions that make no sense ---------------------------------------------------------------


def test_the_same_context_twice_in_one_list(guest: Guest, beside: Neighbour) -> None:
    driver = guest.driver
    context = driver.create_context("rcs0")
    driver.add_request(context)
    driver.submit(context, context)
    beside.goes_on()
    works_again(guest)


def test_lists_without_end(shared: Rig, guest: Guest, beside: Neighbour) -> None:
    """More lists than a port takes, garbage descriptors, and one that never is complete."""
    driver = guest.driver
    context = spinner(driver, "rcs0", preemptible=False)
    for _ in range(50):
        driver.submit(context)
    chance = random.Random(5)
    for engine in ENGINES:
        for _ in range(41):
            driver.engine_write(engine, ELSP, chance.getrandbits(32))
    beside.goes_on()
    works_again(guest)


def test_a_ring_changed_after_it_was_submitted(guest: Guest) -> None:
    """The copy runs, that was checked."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    page, batch = driver.ram.allocate(), driver.ram.allocate()
    at, batch_at = driver.ggtt_map(page), driver.ggtt_map(batch)
    driver.ram.write_u32(batch, *store_dword(at + 12, 1, ggtt=True), MI_BATCH_BUFFER_END)
    wait = [*store_dword(at, 1, ggtt=True), *semaphore_wait(at + 4, 1, ggtt=True)]
    work = [*wait, *store_dword(at + 8, 1, ggtt=True), *batch_start(batch_at, ggtt=True)]
    request = driver.run(context, work)
    driver.wait_until(lambda: driver.ram.read_u32(page) == 1, "the ring")
    ring = driver.ram.read(context.ring, PAGE)
    evil = struct.pack("<4I", *store_dword(0x8000_0000, 0xBAD, ggtt=True))
    for original in (store_dword(at + 8, 1, ggtt=True),):
        where = ring.index(struct.pack("<4I", *original))
        driver.ram.write(context.ring + where, evil)
    driver.ram.write(batch, evil)
    driver.ram.write_u32(page + 4, 1)
    driver.wait(request)
    assert struct.unpack("<4I", driver.ram.read(page, 16)) == (1, 1, 1, 1)


# -- in mid-flight --------------------------------------------------------------------------------


@pytest.mark.modes
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("preemptible", [True, False])
def test_engine_reset_in_mid_flight(
    guest: Guest, beside: Neighbour, engine: str, preemptible: bool
) -> None:
    """The other engines' work, the guest's own and the neighbour's, is not touched by it."""
    driver = guest.driver
    others = []
    flag = driver.ram.allocate()
    at = driver.ggtt_map(flag)
    for name in (name for name in ENGINES if name != engine):
        wait = semaphore_wait(at, 1, ggtt=True)
        others.append(driver.run(driver.create_context(name), wait))
    for _ in range(3):
        guilty = spinner(driver, engine, preemptible=preemptible)
        driver.wait_until(lambda: bool(driver.ports[engine].active), "a busy engine")
        beside.goes_on(1)
        driver.recover(engine, guilty)
        driver.wait(driver.run(driver.create_context(engine)))
    driver.ram.write_u32(flag, 1)
    driver.wait(*others)
    driver.wait_idle()


@pytest.mark.modes
@pytest.mark.parametrize("kind", ["full", "bare", "function"])
def test_reset_of_everything_in_mid_flight(guest: Guest, beside: Neighbour, kind: str) -> None:
    for _ in range(4):
        for engine in ENGINES:
            spinner(guest.driver, engine, preemptible=engine != "vcs0")
        guest.driver.wait_until(lambda: bool(guest.driver.ports["rcs0"].active), "a busy engine")
        if kind == "full":
            guest.driver.reset(*ENGINES)
        elif kind == "bare":
            guest.driver.write32(GDRST, 1)
        else:
            guest.client.reset()
        works_again(guest)
    beside.goes_on()


def test_reset_while_the_neighbour_has_the_gpu(guest: Guest, beside: Neighbour) -> None:
    """At any moment: the guest's own world may be on the hardware or not."""
    driver, chance = guest.driver, random.Random(8)
    for _ in range(12):
        context = driver.create_context("rcs0")
        flag = driver.ram.allocate()
        driver.run(context, semaphore_wait(driver.ggtt_map(flag), 1, ggtt=True))
        time.sleep(chance.random() / 100)
        driver.recover("rcs0", context)
    driver.wait(driver.run(driver.create_context("rcs0")))
    beside.goes_on()


@pytest.mark.modes
@pytest.mark.parametrize("engine", ENGINES)
def test_ram_unmapped_under_a_running_request(guest: Guest, beside: Neighbour, engine: str) -> None:
    spinner(guest.driver, engine)
    guest.driver.wait_until(lambda: bool(guest.driver.ports[engine].active), "a busy engine")
    guest.client.dma_unmap(0, RAM_SIZE)
    beside.goes_on()
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)
    guest.client.reset()
    works_again(guest)


@pytest.mark.modes
def test_ram_comes_and_goes(guest: Guest, beside: Neighbour) -> None:
    chance = random.Random(3)
    for _ in range(40):
        for engine in ENGINES:
            spinner(guest.driver, engine)
        guest.client.dma_unmap(0, RAM_SIZE)
        time.sleep(chance.random() / 500)
        guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)
        driver = guest.new_driver(msi=False)
        driver.initialise()
    beside.goes_on()
    works_again(guest)


MOMENTS = [
    "connected",
    "initialised",
    "half a submission",
    "busy",
    "not preemptible",
    "waiting",
    "hung",
    "stopped",
    "reset asked for",
    "no memory",
    "off the hardware",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_disconnect_at_any_point(shared: Rig, beside: Neighbour, moment: str) -> None:
    with shared.guest(0, msi=False, initialise=moment != "connected") as guest:
        driver = guest.driver
        if moment == "half a submission":
            driver.engine_write("rcs0", ELSP, 0)
            driver.engine_write("rcs0", ELSP, 0x1234_5678)
        elif moment in ("busy", "not preemptible", "stopped", "reset asked for", "no memory"):
            for engine in ENGINES:
                spinner(driver, engine, preemptible=moment != "not preemptible")
        elif moment == "waiting":
            at = driver.ggtt_map(driver.ram.allocate())
            driver.run(driver.create_context("rcs0"), semaphore_wait(at, 1, ggtt=True))
        elif moment == "hung":
            context = driver.create_context("rcs0")
            context.tables.place(BATCH, [0x7F << 23])
            driver.run(context, batch_start(BATCH))
            wait_for_error(driver, "rcs0")
        elif moment == "off the hardware":
            spinner(driver, "rcs0")
            beside.goes_on(1)
        if moment == "stopped":
            driver.engine_write("rcs0", 0x9C, 1 << 24 | 1 << 8)
        elif moment == "reset asked for":
            driver.engine_write("rcs0", 0xD0, 1 << 16 | 1)
        elif moment == "no memory":
            guest.client.dma_unmap_all()
    beside.goes_on()
    with shared.guest(0, msi=False) as guest:
        works_again(guest)


# -- anything at all ------------------------------------------------------------------------------


@pytest.mark.modes
def test_random_writes_everywhere(shared: Rig, guest: Guest, beside: Neighbour) -> None:
    """Registers, entries, aperture, submissions and its own RAM, from a fixed seed."""
    chance = random.Random(20_26)
    known = sorted(shared.vgpu(0).registers.map.by_offset)
    contexts: list[Context] = []
    ends = time.monotonic() + FUZZ_S
    while time.monotonic() < ends:
        if not contexts or guest.driver.ram._next > RAM_SIZE // 2:
            guest.client.reset()
            guest.new_driver(msi=False).initialise()
            contexts = [spinner(guest.driver, engine) for engine in ENGINES]
        driver = guest.driver
        for _ in range(100):
            kind = chance.random()
            if kind < 0.4:
                value = chance.choice([chance.getrandbits(32), 1 << chance.randrange(32), 0])
                driver.write32(chance.choice(known), value)
            elif kind < 0.5:
                guest.client.region_write(0, chance.randrange(16 * MIB - 8), chance.randbytes(8))
            elif kind < 0.6:
                entry = chance.randrange(0x400) * 8
                address = chance.randrange(2 * RAM_SIZE) & ~0xFFF | chance.getrandbits(2)
                driver.write(GSM + entry, struct.pack("<Q", address))
            elif kind < 0.8:
                guest.ram.write(chance.randrange(RAM_SIZE // 4) & ~3, chance.randbytes(4))
            elif kind < 0.9:
                driver.read(chance.choice(known), 4)
            else:
                driver.submit(chance.choice(contexts), chance.choice([None, *contexts]))
        with suppress(RequestError):
            guest.client.region_read(2, chance.randrange(256 * MIB - 8), 8)
    beside.goes_on()
    guest.client.reset()
    works_again(guest)
