"""A draw whose context leaves its engine, between threads and before it, and comes back."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import Context
from tests.unit.mediator.eu.fake_kernels import FakeKernels
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.soft_gpu_fixture import Clock, make_bench

MODES = pytest.mark.parametrize(
    "strictness", [KIND, Strictness(image_as_commands=True)], ids=["known", "commands"]
)
RCS = "rcs0"
FIRST, SECOND = 0x10_0000, 0x10_1000
BATCH_START = 0x31 << 23 | 1 << 8 | 1
BATCH_END = 0x05 << 24
EDGE = 400
BLOCKS = EDGE // 4


class World:
    """A GPU with fake programs, and contexts with a draw's memory."""

    def __init__(self, strictness: Strictness) -> None:
        self.kernels = FakeKernels()
        self.units = ExecutionUnits(self.kernels, now=Clock(tick=10_000))
        self.bench = make_bench(strictness, self.units)
        self.driver = self.bench.driver
        self.engine = self.bench.gpu.engines[RCS]
        self.vertices = self.states = 0

    def context(self) -> Context:
        context = self.driver.create_context(RCS)
        pages = {
            dc.VERTICES: dc.corners(0, 0, EDGE, EDGE).ljust(0x100, b"\0") + bytes(range(48)),
            dc.DYNAMIC: bytes(0x100),
            dc.SURFACE: bytes(dc.TABLE) + struct.pack("<I", 0x100),
            dc.KERNELS: b"",
        }
        for address, data in pages.items():
            place = self.driver.ram.allocate()
            self.driver.ram.write(place, data)
            context.tables.map(address, place)
            if address == dc.VERTICES:
                self.vertices = place
            if address == dc.SURFACE:
                self.states = place + 0x100
                self.driver.ram.write(self.states, dc.surface(width=EDGE, height=EDGE))
        return context

    def emit(self, context: Context, at: int, words: list[int]) -> None:
        """Put a batch behind what the ring has."""
        context.tables.place(at, [*words, BATCH_END])
        end = self.driver.breadcrumb(RCS, context.identity)
        self.driver.emit(context, [BATCH_START, at, 0, 0, *end])

    def run(self, context: Context) -> None:
        self.driver.submit(context)
        self.bench.run(RCS, 5000)

    def start(self, context: Context) -> None:
        """Submit, and run the first slice."""
        self.driver.submit(context)
        assert self.engine.step() == 0
        assert self.engine.step() is not None

    def another(self) -> None:
        """A context with a state of its own takes the engine from who has it."""
        context = self.driver.create_context(RCS)
        self.driver.emit(context, [0x7820_0001, 1, 2, 0x784B_0000, 4, 0])
        self.driver.emit(context, self.driver.breadcrumb(RCS, context.identity))
        self.run(context)
        assert self.driver.seqno(RCS) == context.identity


@MODES
def test_between_threads(strictness: Strictness) -> None:
    world = World(strictness)
    context = world.context()
    world.emit(context, FIRST, dc.flat(dc.packets()) + dc.primitive())
    world.start(context)
    done = len(world.kernels.begun)
    assert 0 < done < BLOCKS**2
    world.another()
    assert len(world.units.suspended) == 0
    world.run(context)
    assert world.driver.seqno(RCS) == context.identity
    every = [(x, y, 0) for y in range(BLOCKS) for x in range(BLOCKS)]
    assert world.kernels.begun == world.kernels.ended == every
    assert world.engine.counters.executed["3DPRIMITIVE"] == 1, "however many slices it takes"
    jobs = [job for job in world.kernels.jobs if job.pixels]
    assert len(jobs) == 2
    assert jobs[0] == jobs[1]


@MODES
def test_packets_belong_to_their_context(strictness: Strictness) -> None:
    world = World(strictness)
    context = world.context()
    world.emit(context, FIRST, dc.flat(dc.packets()))
    world.run(context)
    world.another()
    world.emit(context, SECOND, dc.primitive())
    world.run(context)
    assert world.driver.seqno(RCS) == context.identity
    assert len(world.kernels.ended) == BLOCKS**2
    [job] = world.kernels.jobs
    assert job.pixels is not None
    assert (job.pixels.area.right, job.pixels.writes) == (EDGE, 15)


@MODES
def test_a_thread_that_has_begun_goes_on(strictness: Strictness) -> None:
    world = World(strictness)
    world.kernels.rounds = lambda group: 300 if group == (1, 0, 0) else 0
    context = world.context()
    world.emit(context, FIRST, dc.flat(dc.packets()) + dc.primitive())
    world.start(context)
    world.another()
    assert len(world.units.suspended) == 1
    world.run(context)
    assert len(world.units.suspended) == 0
    assert len(world.kernels.ended) == len(set(world.kernels.ended)) == BLOCKS**2
    assert world.driver.seqno(RCS) == context.identity


@pytest.mark.parametrize("corners", [(0, 0, 0, 0), (float("nan"), 0, 1, 1)])
def test_a_draw_that_has_become_another_hangs(corners: tuple[float, ...]) -> None:
    """Its context alone can have done that."""
    world = World(KIND)
    context = world.context()
    world.emit(context, FIRST, dc.flat(dc.packets()) + dc.primitive())
    world.start(context)
    world.another()
    left, top, right, bottom = corners
    world.driver.ram.write(world.vertices, dc.corners(left, top, right, bottom))
    world.run(context)
    assert world.driver.seqno(RCS) != context.identity
    assert "a draw that was interrupted" in (world.engine.hung or "")
    assert world.units.counters.refused == 1


def test_before_the_first_thread() -> None:
    """A long program is still being read when another context comes."""
    world = World(KIND)
    world.kernels.unready = 4
    context = world.context()
    world.emit(context, FIRST, dc.flat(dc.packets()) + dc.primitive())
    world.start(context)
    world.another()
    assert world.kernels.begun == []
    world.run(context)
    assert len(world.kernels.ended) == BLOCKS**2


CLEAR_WIDTH, CLEAR_HEIGHT = 128, 256
CLEAR_PITCH = 4 * CLEAR_WIDTH
COLOUR = 0x1234_5678


def fast_clear(world: World, context: Context) -> list[int]:
    """Packets and a draw that clears a whole target; the pages of the target."""
    state = bytearray(
        dc.surface(
            dc.R32_UINT,
            width=CLEAR_WIDTH,
            height=CLEAR_HEIGHT,
            tiling=dc.TILE_Y,
            pitch=CLEAR_PITCH,
        )
    )
    struct.pack_into("<I", state, 24, 5)
    struct.pack_into("<I", state, 48, COLOUR)
    pages = []
    for number in range(CLEAR_PITCH * CLEAR_HEIGHT >> 12):
        pages.append(world.driver.ram.allocate())
        context.tables.map(dc.TARGET + (number << 12), pages[-1])
    world.driver.ram.write(world.states, bytes(state))
    world.driver.ram.write(world.vertices, dc.corners(0, 0, 2, 8))
    words = dc.flat(dc.changed("PS", 6, 63 << 23 | 1 << 8 | 3))
    world.emit(context, FIRST, words + dc.primitive())
    return pages


def cleared(world: World, pages: list[int]) -> int:
    """Pixels with the clear colour; the others are as they were."""
    found = b"".join(world.driver.ram.read(page, 4096) for page in pages)
    dwords = struct.unpack(f"<{len(found) // 4}I", found)
    assert set(dwords) <= {0, COLOUR}
    return dwords.count(COLOUR)


@MODES
def test_a_fast_clear_goes_on_where_it_was(strictness: Strictness) -> None:
    world = World(strictness)
    context = world.context()
    pages = fast_clear(world, context)
    world.start(context)
    before = cleared(world, pages)
    assert 0 < before < CLEAR_WIDTH * CLEAR_HEIGHT
    world.another()
    assert cleared(world, pages) == before
    world.run(context)
    assert cleared(world, pages) == CLEAR_WIDTH * CLEAR_HEIGHT
    assert world.units.counters.groups == CLEAR_WIDTH * CLEAR_HEIGHT // 16
    assert world.driver.seqno(RCS) == context.identity


def test_a_reset_abandons_a_draw() -> None:
    """What was drawn stays; the others' draws, and a new one, are whole."""
    world = World(KIND)
    victim = world.context()
    pages = fast_clear(world, victim)
    world.start(victim)
    before = cleared(world, pages)
    world.driver.recover(RCS, victim)
    world.another()
    assert cleared(world, pages) == before < CLEAR_WIDTH * CLEAR_HEIGHT
    assert world.driver.seqno(RCS) != victim.identity
    whole = world.context()
    again = fast_clear(world, whole)
    world.run(whole)
    assert cleared(world, again) == CLEAR_WIDTH * CLEAR_HEIGHT


def test_empty_draws_leave_when_they_are_asked() -> None:
    """A batch of draws without pixels, and without any place where it would leave by itself."""
    world = World(KIND)
    context = world.context()
    world.driver.ram.write(world.vertices, dc.corners(0, 0, 0, 0))
    world.emit(context, FIRST, dc.flat(dc.packets()) + dc.primitive() * 60)
    world.start(context)
    executed = world.engine.counters.executed
    assert 0 < executed["3DPRIMITIVE"] < 30
    world.another()
    assert executed["3DPRIMITIVE"] < 30
    world.run(context)
    assert executed["3DPRIMITIVE"] == 60
    assert world.driver.seqno(RCS) == context.identity
