"""User batches on a blitter that refuses them no register: a guest's reach no further than others.

The GPU underneath lets user batches of bcs0 write any register, as Gen9 does. Natively the tests
of what must not happen would fail; a guest's kernel may have scanned its batches, or not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.mediation import Mediation
from mediator.physical.soft import SoftPhysicalGpu
from mediator.softgpu.strictness import Strictness
from mediator.vgpu.vgpu_type import type_for
from scheduler.policies.timeslice import Timeslice
from tests.gpu_driver import (
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    PAGE,
    Context,
    GpuDriver,
    Request,
)
from tests.gpu_driver.commands import (
    batch_start,
    color_blit,
    load_register,
    load_register_memory,
    semaphore_wait,
    store_dword,
    store_register,
    update_ggtt,
)
from tests.integration.vgpu_rig import (
    DIRECT,
    PATIENCE_S,
    SHADOW,
    SLICE_NS,
    WATCHDOG_NS,
    Guest,
    Mode,
    connect,
    serving,
)

BATCH, OTHER, TARGET, NOWHERE = 0x10_0000, 0x7F12_3450_0000, 0x4000_0000, 0x1234_5678_9000
GPR, MARK = 0x22600, 0xBAD0_BAD0
FORBIDDEN = {
    "BCS_HWS_PGA": 0x22080,
    "BCS_RING_MODE": 0x2229C,
    "RCS_HWS_PGA": 0x2080,
    "RCS_PDP0": 0x2270,
    "RCS_GPR0": 0x2600,
    "VCS_NONPRIV0": 0x124D0,
    "GFX_FLSH": 0x4024,
}
"""BAR0 offsets of what no user batch may write: addresses, modes, other engines."""
END_IF = 0x36 << 23 | 1 << 21 | 2


@dataclass
class Blitter:
    """A guest on an unprotected blitter, and the hardware below it."""

    guest: Guest
    mediation: Mediation
    driver: GpuDriver
    context: Context
    page: int
    """A page of RAM, at TARGET in the context."""

    def hardware(self, offset: int) -> int:
        return self.mediation.dispatcher.host.gpu.read32(offset)

    @property
    def dropped(self) -> int:
        """Register accesses left out so far."""
        return self.mediation.vgpus[0].counters.rejections.get("register", 0)

    def place(self, commands: list[int], at: int = BATCH) -> None:
        """A batch at ``at`` of the context."""
        self.context.tables.place(at, [*commands, MI_BATCH_BUFFER_END])

    def run(self, commands: list[int]) -> None:
        self.place(commands)
        self.driver.wait(self.driver.run(self.context, batch_start(BATCH)))

    def found(self, index: int = 0) -> int:
        """A dword of the page at TARGET."""
        return self.driver.ram.read_u32(self.page + 4 * index)


@contextmanager
def blitter(directory: Path, mode: Mode) -> Iterator[Blitter]:
    assert mode.address_space is not None
    assert mode.ggtt is not None
    gpu = SoftPhysicalGpu(KABY_LAKE_GT2, Strictness(bcs_unprotected=True))
    mediation = Mediation(gpu, Timeslice(SLICE_NS), mode.address_space, mode.ggtt, WATCHDOG_NS)
    mediation.add("vgpu0", type_for(1))
    mediation.start()
    try:
        path = str(directory / "blitter")
        with serving(mediation.vgpus[0], path) as server:
            guest = connect(path)
            try:
                driver = guest.driver
                context = driver.create_context("bcs0")
                page = driver.ram.allocate()
                context.tables.map(TARGET, page)
                yield Blitter(guest, mediation, driver, context, page)
            finally:
                guest.close()
                assert server.wait_idle(PATIENCE_S)
    finally:
        mediation.stop()


@pytest.fixture(params=[SHADOW, DIRECT], ids=str)
def bcs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blitter]:
    with blitter(tmp_path, request.param) as made:
        yield made


WRITES = {
    "LRI": lambda register: load_register((GPR, MARK), (register, MARK)),
    "LRM": lambda register: load_register_memory(register, TARGET + 0x100),
    "LRR": lambda register: [*load_register((GPR, MARK)), 0x2A << 23 | 1, GPR, register],
}


@pytest.mark.parametrize("register", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_no_user_batch_writes_a_register_of_others(
    bcs: Blitter, register: int, write: object
) -> None:
    bcs.driver.ram.write_u32(bcs.page + 0x100, MARK)
    bcs.run([*store_dword(TARGET, 1), MI_NOOP])
    before = bcs.hardware(register)
    bcs.run([*write(register), *store_dword(TARGET, 2)])  # type: ignore[operator]
    assert bcs.found() == 2
    assert bcs.hardware(register) == before
    assert bcs.dropped == 1


@pytest.mark.parametrize("way", ["chained", "called", "behind a condition", "from a GGTT batch"])
def test_no_way_leads_round_the_audit(bcs: Blitter, way: str) -> None:
    attack = [*load_register((0x2600, MARK)), *store_dword(TARGET, 7)]
    start = batch_start(BATCH)
    if way == "chained":
        bcs.place(batch_start(OTHER))
        bcs.place(attack, OTHER)
    elif way == "called":
        bcs.place(batch_start(OTHER, second=True))
        bcs.place(attack, OTHER)
    elif way == "behind a condition":
        bcs.driver.ram.write_u32(bcs.page + 0x40, 1)
        bcs.place([END_IF, 0, TARGET + 0x40, 0, *attack])
    else:
        privileged = bcs.driver.ram.allocate()
        at = bcs.driver.ggtt_map(privileged)
        bcs.driver.ram.write_u32(privileged, *batch_start(BATCH))
        bcs.place(attack)
        start = batch_start(at, ggtt=True)
    before = bcs.hardware(0x2600)
    bcs.driver.wait(bcs.driver.run(bcs.context, start))
    assert bcs.found() == 7
    assert bcs.hardware(0x2600) == before != MARK
    assert bcs.dropped == 1


def test_what_a_user_may_write_and_read(bcs: Blitter) -> None:
    """General purpose registers and times; blits and stores go to the context's own memory."""
    bcs.run(
        [
            *load_register((GPR + 8, 0x1234)),
            *store_register(GPR + 8, TARGET),
            *store_register(0x22358, TARGET + 4),
            *color_blit(TARGET + 0x200, 64, 8, 1, 0x0BAD_CAFE),
        ]
    )
    assert bcs.found() == 0x1234
    assert bcs.found(1) > 0
    assert bcs.found(0x80) == 0x0BAD_CAFE
    assert bcs.dropped == 0


def test_the_copy_gives_no_privilege(bcs: Blitter) -> None:
    """It runs in the GGTT, where these would work: stores, entries and arbitration."""
    ram = bcs.driver.ram
    own, other = ram.allocate(), ram.allocate()
    at = bcs.driver.ggtt_map(own)
    bcs.run(
        [
            *store_dword(at, MARK, ggtt=True),
            *update_ggtt(at, other | 1),
            0x08 << 23,
            *store_dword(TARGET, 3),
        ]
    )
    assert bcs.found() == 3
    assert ram.read_u32(own) == 0
    assert bcs.driver.ggtt_entry(at) == own | 1


def held(bcs: Blitter) -> tuple[Request, int]:
    """A request whose ring waits before it starts the batch at BATCH; where 1 lets it go."""
    flag = bcs.driver.ram.allocate()
    at = bcs.driver.ggtt_map(flag)
    waits = semaphore_wait(at, 1, ggtt=True)
    request = bcs.driver.run(bcs.context, [*waits, *batch_start(BATCH)])
    ports = bcs.driver.ports["bcs0"]
    bcs.driver.wait_until(lambda: ports.active[:1] == [bcs.context], "its promotion")
    return request, flag


@pytest.mark.parametrize("edit", ["text", "page"])
def test_what_changes_after_the_audit_does_not_run(bcs: Blitter, edit: str) -> None:
    """Neither text written into the batch nor another page mapped in its place."""
    bcs.place([*store_dword(TARGET, 1), *store_dword(TARGET + 4, 1)])
    request, flag = held(bcs)
    attack = [*load_register((0x2600, MARK)), MI_NOOP, *store_dword(TARGET + 4, 9)]
    before = bcs.hardware(0x2600)
    if edit == "text":
        bcs.place(attack)
    else:
        page = bcs.driver.ram.allocate()
        bcs.driver.ram.write_u32(page, *attack, MI_BATCH_BUFFER_END)
        bcs.context.tables.map(BATCH, page)
    bcs.driver.ram.write_u32(flag, 1)
    bcs.driver.wait(request)
    assert (bcs.found(), bcs.found(1)) == (1, 1)
    assert bcs.hardware(0x2600) == before


def test_a_batch_that_writes_itself_runs_as_it_was(bcs: Blitter) -> None:
    """Natively the second store would be seen; here the copy runs that was audited."""
    at = BATCH + 4 * 9
    bcs.run([*store_dword(at + 12, MARK), MI_ARB_CHECK, *[MI_NOOP] * 4, *store_dword(TARGET, 1)])
    assert bcs.found() == 1


@pytest.mark.parametrize("mapped", [False, True])
def test_a_batch_that_is_not_there_faults_and_is_not_run_later(bcs: Blitter, mapped: bool) -> None:
    """The fault has the batch's address. Mapped in time, it is not run: no audit has seen it."""
    bcs.place([*store_dword(TARGET, 1), MI_NOOP, *batch_start(NOWHERE)])
    request, flag = held(bcs)
    before = bcs.hardware(0x2600)
    if mapped:
        bcs.place([*load_register((0x2600, MARK)), *store_dword(TARGET, 9)], NOWHERE)
        bcs.driver.run(bcs.driver.create_context("rcs0", bcs.context.tables))
    bcs.driver.ram.write_u32(flag, 1)
    if mapped:
        bcs.driver.wait_until(
            lambda: bcs.driver.done(request) or bcs.driver.error("bcs0"), "its end or its fault"
        )
    else:
        bcs.driver.wait_until(lambda: bcs.driver.error("bcs0"), "a fault")
        data = bcs.driver.read32(0x4B10) | (bcs.driver.read32(0x4B14) & 0xF) << 32
        assert data << 12 == NOWHERE
        bb_addr = bcs.driver.engine_read("bcs0", 0x140)
        assert bcs.driver.engine_read("bcs0", 0x168) << 32 | bb_addr & ~3 == NOWHERE
    assert bcs.found() == 1
    assert bcs.hardware(0x2600) == before


def spinning(bcs: Blitter) -> tuple[Request, int]:
    """A batch that runs in a loop until 1 is written to the page returned."""
    flag = bcs.driver.ram.allocate()
    bcs.context.tables.map(TARGET + PAGE, flag)
    bcs.driver.ram.write_u32(flag, 1)
    loop = [MI_ARB_CHECK, END_IF, 0, TARGET + PAGE, 0, *batch_start(BATCH)]
    bcs.place(loop)
    request = bcs.driver.run(bcs.context, batch_start(BATCH))
    ports = bcs.driver.ports["bcs0"]
    bcs.driver.wait_until(lambda: ports.active[:1] == [bcs.context], "its promotion")
    return request, flag


def test_where_it_runs_is_told_as_the_guest_knows_it(bcs: Blitter) -> None:
    """ACTHD, BB_ADDR and BB_STATE: within the batch, in the context's own space."""
    request, flag = spinning(bcs)
    read = bcs.driver.engine_read
    bcs.driver.wait_until(lambda: bool(read("bcs0", 0x140) & 1), "the batch to begin")
    inside = range(BATCH, BATCH + 64)
    assert read("bcs0", 0x140) & ~3 in inside
    assert read("bcs0", 0x168) == 0
    assert read("bcs0", 0x74) in inside
    assert read("bcs0", 0x110) & 0x20
    bcs.driver.ram.write_u32(flag, 0)
    bcs.driver.wait(request)


def test_an_interrupted_batch_goes_on_where_it_was(bcs: Blitter) -> None:
    """The guest preempts it: its image says where, in its own space; then it runs to its end."""
    request, flag = spinning(bcs)
    read, ram = bcs.driver.engine_read, bcs.driver.ram
    bcs.driver.wait_until(lambda: bool(read("bcs0", 0x140) & 1), "the batch to begin")
    urgent = bcs.driver.create_context("bcs0", priority=1)
    stop = ram.allocate()
    at = bcs.driver.ggtt_map(stop)
    hold = bcs.driver.run(urgent, semaphore_wait(at, 1, ggtt=True))
    ports = bcs.driver.ports["bcs0"]
    bcs.driver.wait_until(lambda: ports.active[:1] == [urgent], "the preemption")
    image = struct.unpack("<1024I", ram.read(bcs.context.image, PAGE))
    assert image[ImageIndex.BB_ADDR] & 1
    assert image[ImageIndex.BB_ADDR] & ~3 in range(BATCH, BATCH + 64)
    assert image[ImageIndex.BB_STATE] & 0x20
    ram.write_u32(stop, 1)
    bcs.driver.wait(hold)
    ram.write_u32(flag, 0)
    bcs.driver.wait(request)


def test_an_interrupted_batch_goes_on_in_another_life(bcs: Blitter) -> None:
    """Saved inside a batch, and loaded: the rest of it is copied from the guest's memory."""
    request, flag = spinning(bcs)
    read, vgpu = bcs.driver.engine_read, bcs.mediation.vgpus[0]
    bcs.driver.wait_until(lambda: bool(read("bcs0", 0x140) & 1), "the batch to begin")
    vgpu.park(PATIENCE_S)
    state = vgpu.save()
    image = struct.unpack("<1024I", bcs.driver.ram.read(bcs.context.image, PAGE))
    assert image[ImageIndex.BB_ADDR] & ~3 in range(BATCH, BATCH + 64)
    assert image[ImageIndex.BB_STATE] & 0x20
    vgpu.load(state)
    vgpu.unpark()
    bcs.driver.wait_until(lambda: bool(read("bcs0", 0x140) & 1), "the batch to go on")
    assert read("bcs0", 0x110) & 0x20
    bcs.driver.ram.write_u32(flag, 0)
    bcs.driver.wait(request)
    assert vgpu.counters.rejections == {}


def test_more_requests_than_there_is_room_for(bcs: Blitter) -> None:
    """Many batches one after the other, of a context that never leaves the engine."""
    fill = [MI_NOOP] * (60 << 10)
    batch = [*fill, *store_dword(TARGET, 0), *fill, MI_BATCH_BUFFER_END]
    physical = bcs.context.tables.place(BATCH, batch)
    for number in range(40):
        bcs.driver.ram.write_u32(physical + 4 * (len(fill) + 3), number)
        bcs.driver.wait(bcs.driver.run(bcs.context, batch_start(BATCH)))
        assert bcs.found() == number
    assert bcs.mediation.vgpus[0].counters.rejections == {}
