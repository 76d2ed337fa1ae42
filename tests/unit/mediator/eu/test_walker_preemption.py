"""A walker whose context leaves its engine, between groups and within one, and comes back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from mediator.softgpu.eu.dispatch import interrupted
from mediator.softgpu.eu.dispatch.job import GroupId
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import Context
from tests.unit.mediator.eu import media_commands as mc
from tests.unit.mediator.eu.fake_kernels import FakeKernels
from tests.unit.mediator.soft_gpu_fixture import Bench, Clock, make_bench

MODES = pytest.mark.parametrize(
    "strictness", [KIND, Strictness(image_as_commands=True)], ids=["known", "commands"]
)
BATCH, DYNAMIC, KERNELS = 0x10_0000, 0x20_0000, 0x30_0000
PAGE = 4096
BATCH_START = 0x31 << 23 | 1 << 8 | 1
WALKER_PAGE = 20
CS_CHICKEN1 = 0x2580
RCS = "rcs0"


class World:
    """A GPU with fake programs, and contexts with a walker in a batch of their own."""

    def __init__(self, strictness: Strictness) -> None:
        self.kernels = FakeKernels()
        self.units = ExecutionUnits(self.kernels, now=Clock(tick=10_000))
        self.bench: Bench = make_bench(strictness, self.units)
        self.driver = self.bench.driver
        self.engine = self.bench.gpu.engines[RCS]

    def context(self, walk: list[int], constants: bytes = b"", ring: Sequence[int] = ()) -> Context:
        """One whose ring has ``ring``, and a batch with state and ``walk``: not submitted yet."""
        context = self.driver.create_context(RCS)
        state = self.driver.ram.allocate()
        self.driver.ram.write(state, mc.descriptor(own=len(constants) // 32))
        self.driver.ram.write(state + 0x400, constants)
        context.tables.map(DYNAMIC, state)
        words = [
            *mc.base_address(dynamic=DYNAMIC, instruction=KERNELS),
            *mc.front_end(),
            *mc.descriptor_load(0),
            *mc.curbe_load(0x400, len(constants)),
            *walk,
            0x05 << 24,
        ]
        context.tables.place(BATCH, words)
        end = self.driver.breadcrumb(RCS, context.identity)
        self.driver.emit(context, [*ring, BATCH_START, BATCH, 0, 0, *end])
        return context

    def start(self, context: Context) -> None:
        """Submit, and run the first slice."""
        self.driver.submit(context)
        assert self.engine.step() == 0
        assert self.engine.step() is not None

    def another(self) -> Context:
        """A context with nothing but a breadcrumb, which takes the engine from who has it."""
        context = self.driver.create_context(RCS)
        self.driver.emit(context, self.driver.breadcrumb(RCS, context.identity))
        self.driver.submit(context)
        self.bench.run(RCS)
        assert self.driver.seqno(RCS) == context.identity
        return context

    def come_back(self, context: Context, limit: int = 1000) -> None:
        """Submit it again and let it run to its end."""
        self.driver.submit(context)
        self.bench.run(RCS, limit)

    def walker_page(self, context: Context) -> bytes:
        return self.driver.ram.read(context.image + (WALKER_PAGE - 1) * PAGE, PAGE)


@MODES
def test_between_groups(strictness: Strictness) -> None:
    """The grid goes on behind the last group that ran; nothing is kept in the process."""
    world = World(strictness)
    count = 3000  # more than a slice has room for
    context = world.context(mc.walker((count, 1, 1)))
    world.start(context)
    done = len(world.kernels.begun)
    assert 0 < done < count
    world.another()
    assert len(world.units.suspended) == 0
    found = interrupted.parse(world.walker_page(context))
    assert found is not None
    assert found.following == (len(world.kernels.ended), 0, 0)
    assert found.token == interrupted.NO_TOKEN
    world.driver.submit(context)
    for _ in range(3):
        world.engine.step()
    assert world.kernels.begun == [(n, 0, 0) for n in range(len(world.kernels.begun))]
    assert len(world.kernels.begun) > done


@MODES
def test_before_the_first_group(strictness: Strictness) -> None:
    """A long program is still being read when another context comes."""
    world = World(strictness)
    world.kernels.unready = 4
    context = world.context(mc.walker((3, 1, 1)))
    world.start(context)
    world.another()
    assert world.kernels.begun == []
    found = interrupted.parse(world.walker_page(context))
    assert found is not None
    assert (found.following, found.token) == (None, interrupted.NO_TOKEN)
    world.come_back(context)
    assert world.kernels.ended == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert world.driver.seqno(RCS) == context.identity
    assert world.bench.gpu.idle


@MODES
def test_within_a_group(strictness: Strictness) -> None:
    """The group that had begun goes on, and only it had begun."""
    world = World(strictness)
    world.kernels.rounds = lambda group: 5 if group == (1, 0, 0) else 0
    context = world.context(mc.walker((3, 1, 1)), b"\x5a" * 32)
    world.start(context)
    assert world.kernels.begun == [(0, 0, 0), (1, 0, 0)]
    world.another()
    assert (len(world.units.suspended), world.units.counters.suspended) == (1, 1)
    assert interrupted.parse(world.walker_page(context)) is not None
    world.come_back(context)
    assert world.kernels.ended == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert len(world.kernels.begun) == 3
    assert world.driver.seqno(RCS) == context.identity
    assert len(world.units.suspended) == 0
    assert world.units.counters.kernels == 1
    assert world.bench.gpu.idle
    assert world.walker_page(context) == bytes(PAGE)


@MODES
def test_state_is_its_contexts_own(strictness: Strictness) -> None:
    """Constants, descriptors and bases of each, however often they take turns."""
    world = World(strictness)
    world.kernels.rounds = lambda _group: 12
    first = world.context(mc.walker((2, 1, 1)), b"\x11" * 32)
    second = world.context(mc.walker((2, 1, 1)), b"\x22" * 64)
    contexts = [first, second]
    for turn in range(100):
        if all(world.driver.ram.read_u32(c.image + 4 * 5) == c.tail for c in contexts):
            break
        world.driver.submit(contexts[turn % 2])
        for _ in range(3):
            world.engine.step()
    world.bench.run(RCS)
    found = {job.constants.data for job in world.kernels.jobs}
    assert found == {b"\x11" * 32, b"\x22" * 64}
    assert len(world.kernels.ended) == 4
    assert world.engine.hung is None


@MODES
def test_a_run_that_was_suspended_twice_under_one_image(strictness: Strictness) -> None:
    """An image that was kept aside names what is no longer there: its context hangs."""
    world = World(strictness)
    world.kernels.rounds = lambda _group: 9
    context = world.context(mc.walker((1, 1, 1)))
    world.start(context)
    world.another()
    old = world.driver.ram.read(context.image, 21 * PAGE)
    world.come_back(context)
    assert world.kernels.ended == [(0, 0, 0)]
    world.driver.ram.write(context.image, old)
    world.come_back(context)
    assert "groups that had begun are gone" in str(world.engine.hung)
    assert world.units.counters.lost == 1
    assert world.kernels.ended == [(0, 0, 0)]


@MODES
def test_a_forged_token_is_worth_nothing(strictness: Strictness) -> None:
    world = World(strictness)
    world.kernels.rounds = lambda _group: 9
    context = world.context(mc.walker((1, 1, 1)))
    world.start(context)
    world.another()
    at = context.image + (WALKER_PAGE - 1) * PAGE
    token = world.driver.ram.read(at + 40, 16)
    assert interrupted.parse(world.walker_page(context)) is not None
    world.driver.ram.write(at + 40, bytes([token[0] ^ 1]) + token[1:])
    world.come_back(context)
    assert "are gone" in str(world.engine.hung)


@MODES
def test_a_walker_elsewhere_is_not_gone_on_with(strictness: Strictness) -> None:
    """A driver takes the ring back after a reset: the batch runs anew, from its first group."""
    world = World(strictness)
    world.kernels.rounds = lambda _group: 9
    context = world.context(mc.walker((1, 1, 1)))
    world.start(context)
    world.another()
    assert len(world.units.suspended) == 1
    world.driver.ram.write_u32(context.value(0x05), 0)  # RING_HEAD
    world.driver.ram.write_u32(context.value(0x0F), 0)  # no batch is active
    world.kernels.rounds = lambda _group: 0
    world.come_back(context)
    assert world.kernels.begun == [(0, 0, 0), (0, 0, 0)]
    assert world.kernels.ended == [(0, 0, 0)]
    assert len(world.units.suspended) == 0
    assert world.driver.seqno(RCS) == context.identity


def test_a_reset_drops_what_runs_and_keeps_the_others() -> None:
    world = World(KIND)
    world.kernels.rounds = lambda _group: 1_000_000
    victim = world.context(mc.walker((1, 1, 1)))
    bystander = world.context(mc.walker((1, 1, 1)))
    world.start(bystander)
    world.driver.submit(victim)
    for _ in range(4):
        world.engine.step()
    assert len(world.units.suspended) == 1
    world.driver.recover(RCS, victim)
    assert len(world.units.suspended) == 1
    world.kernels.rounds = lambda _group: 0
    world.another()
    assert world.driver.seqno(RCS) != victim.identity


def test_an_endless_group_is_reset_at_once() -> None:
    """With the engine on a thread of its own, and groups that never come back by themselves."""
    world = World(KIND)
    began = threading.Event()

    def act(_group: object) -> None:
        began.set()

    world.kernels.act = act
    world.kernels.rounds = lambda _group: 1 << 60
    context = world.context(mc.walker((mc.ALL, mc.ALL, mc.ALL)))
    world.bench.gpu.start()
    try:
        world.driver.submit(context)
        assert began.wait(30)
        world.driver.recover(RCS, context)
        request = world.driver.run(world.driver.create_context(RCS))
        world.driver.wait(request)
    finally:
        world.bench.gpu.stop()
    assert world.engine.totals.resets >= 1
    assert world.engine.totals.failures == 0


def test_a_memory_map_changes_while_a_walker_runs() -> None:
    """An unmap waits for a slice, not for the walker."""
    world = World(KIND)
    began = threading.Event()
    world.kernels.rounds = lambda _group: 1 << 60

    def act(_group: object) -> None:
        began.set()

    world.kernels.act = act
    context = world.context(mc.walker((mc.ALL, 1, 1)))
    world.bench.gpu.start()
    try:
        world.driver.submit(context)
        assert began.wait(30)
        with pytest.raises(OSError, match="nothing is mapped"):
            world.bench.memory.unmap(1 << 40, PAGE)
    finally:
        world.bench.gpu.stop()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_strict_gpu_interrupts_where_its_context_says(level: int, late: bool) -> None:
    """CS_CHICKEN1: anywhere, between groups, or not before the walker has ended.

    Also where lists are taken between any two commands: a walker is one.
    """
    delay = (lambda _engine: 0) if late else None
    world = World(Strictness(preemption_levels=True, list_delay=delay))
    world.kernels.rounds = lambda _group: 3
    ring = [0x22 << 23 | 1, CS_CHICKEN1, 0x6 << 16 | level << 1, 0]
    context = world.context(mc.walker((2, 1, 1)), ring=ring)
    world.start(context)
    assert world.kernels.begun == [(0, 0, 0)]
    other = world.driver.create_context(RCS)
    world.driver.emit(other, world.driver.breadcrumb(RCS, other.identity))
    world.driver.submit(other)
    world.bench.run(RCS)
    ended: list[GroupId] = world.kernels.ended
    assert len(ended) == level
    world.come_back(context)
    assert ended == [(0, 0, 0), (1, 0, 0)]
