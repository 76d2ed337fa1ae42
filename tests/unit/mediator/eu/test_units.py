"""The execution units: how long their slices are, and what they count."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, cast

import pytest

from mediator.hotpath.interface import never
from mediator.softgpu.address_space import PageFault
from mediator.softgpu.eu.dispatch.clear import ClearKernel
from mediator.softgpu.eu.dispatch.interrupted import NO_TOKEN, Interrupted
from mediator.softgpu.eu.dispatch.pixels import Area, Pixels
from mediator.softgpu.eu.dispatch.running import GroupEnd, KernelFault
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from tests.unit.mediator.command_bench import make_bench
from tests.unit.mediator.eu.fake_kernels import FakeGroup, FakeKernels
from tests.unit.mediator.eu.job_bench import make_job
from tests.unit.mediator.soft_gpu_fixture import Clock

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import KernelJob
    from mediator.softgpu.eu.dispatch.run import Run
    from mediator.softgpu.eu.dispatch.running import Pool, Stopping

TICK = 10_000
SLICE, DRAIN = 4_000_000, 1_000_000
LEAVING = pytest.mark.parametrize(("leaving", "length"), [(False, SLICE), (True, DRAIN)])


@dataclass
class Slow(FakeKernels):
    """Finding a program, and running a group, take until somebody says stop."""

    looks: int = 0
    hurried: bool = False
    """Neither takes any time."""

    def find(
        self,
        job: KernelJob,
        space: AddressSpace,
        stopping: Stopping = never,
        owner: Hashable = None,
    ) -> FakeKernels:
        while not self.hurried and not stopping():
            self.looks += 1
        return super().find(job, space, stopping, owner)

    def begin(self, job: KernelJob, group: tuple[int, int, int], space: AddressSpace) -> FakeGroup:
        made = super().begin(job, group, space)
        return SlowGroup(self, made.group, made.rounds)


class SlowGroup(FakeGroup):
    """See `Slow`."""

    def run(self, space: AddressSpace, stopping: Stopping) -> GroupEnd:
        kernels = cast("Slow", self.kernels)
        while not kernels.hurried and not stopping():
            kernels.looks += 1
        return super().run(space, stopping)


@dataclass
class Bench:
    """Units whose clock shows ``TICK`` more at each look."""

    kernels: Slow = field(default_factory=Slow)
    clock: Clock = field(default_factory=lambda: Clock(tick=TICK))

    def __post_init__(self) -> None:
        self.units = ExecutionUnits(self.kernels, now=self.clock)
        self.space = make_bench().host.ppgtt

    def begin(self, job: KernelJob, *, leaving: bool = False, stop: Stopping = never) -> Run:
        return self.units.begin(job, self.space, None, 0, leaving=leaving, abandoned=stop)

    def counted(self) -> dict[str, int]:
        """All counters that are not 0, without the time."""
        counters = self.units.counters
        found = {each.name: getattr(counters, each.name) for each in fields(counters)}
        return {name: value for name, value in found.items() if value and name != "busy_ns"}


@LEAVING
def test_a_program_is_looked_for_no_longer_than_a_slice(leaving: bool, length: int) -> None:
    bench = Bench()
    bench.begin(make_job(), leaving=leaving)
    # The first look begins the slice, the one at its end is the first that stops.
    assert bench.kernels.looks == length // TICK - 1


@LEAVING
def test_a_group_runs_no_longer_than_a_slice(leaving: bool, length: int) -> None:
    bench = Bench()
    bench.kernels.hurried = True
    bench.kernels.rounds = lambda _group: 3
    run = bench.begin(make_job())
    bench.clock.tick = 0
    assert not bench.units.advance(run, leaving=False, abandoned=never)  # it has begun
    bench.clock.tick, bench.kernels.hurried = TICK, False
    before = bench.units.counters.busy_ns
    assert not bench.units.advance(run, leaving=leaving, abandoned=never)
    assert bench.kernels.looks == length // TICK - 1
    assert bench.units.counters.busy_ns - before == length + TICK


def test_who_abandons_ends_a_slice_early() -> None:
    bench = Bench()
    bench.begin(make_job(), stop=lambda: bench.kernels.looks >= 5)
    assert bench.kernels.looks == 5
    bench.kernels.rounds = lambda _group: 1
    bench.kernels.hurried = True
    run = bench.begin(make_job())
    bench.kernels.hurried, bench.kernels.looks = False, 0
    assert not bench.units.advance(run, leaving=False, abandoned=lambda: bench.kernels.looks >= 7)
    assert bench.kernels.looks == 7


@pytest.mark.parametrize("leaving", [False, True])
def test_who_leaves_begins_no_group(leaving: bool) -> None:
    bench = Bench()
    bench.kernels.hurried = True
    run = bench.begin(make_job(end=(2, 1, 1)))
    assert bench.units.advance(run, leaving=leaving, abandoned=never) is not leaving
    assert len(bench.kernels.ended) == (0 if leaving else 2)


def test_a_run_begins_where_it_is_told_to() -> None:
    """And has nothing to do for a group that is none of its grid's."""
    bench = Bench()
    bench.kernels.hurried = True
    job = make_job(start=(1, 1, 1), end=(3, 2, 2))
    for following, first in (
        (None, (1, 1, 1)),
        ((2, 1, 1), (2, 1, 1)),
        ((3, 1, 1), None),
        ((0, 1, 1), None),
    ):
        run = bench.units.begin(job, bench.space, following, 0, leaving=False, abandoned=never)
        assert run.following == first


def test_what_ended_is_counted() -> None:
    bench = Bench()
    assert (bench.counted(), bench.units.counters.busy_ns) == ({}, 0)
    bench.kernels.hurried = True
    job = make_job(end=(3, 2, 1), size=(2, 1, 1), simd=8, right=0x7)
    assert bench.units.advance(bench.begin(job), leaving=False, abandoned=never)
    expected = {"kernels": 1, "groups": 6, "interpreted_groups": 6, "threads": 12}
    assert bench.counted() == expected
    assert bench.units.take_channels() == 6 * (8 + 3)
    assert bench.units.take_channels() == 0
    assert bench.units.advance(bench.begin(job), leaving=False, abandoned=never)
    assert bench.counted() == {name: 2 * count for name, count in expected.items()}
    assert bench.units.take_channels() == 66


def test_a_slice_counts_what_it_has_done_itself() -> None:
    """A group that goes on in the next one has begun in the first and ends in the last."""
    bench = Bench()
    bench.kernels.hurried = True
    bench.kernels.rounds = lambda group: 2 if group[0] == 1 else 0
    run = bench.begin(make_job(end=(3, 1, 1), size=(2, 1, 1)))
    seen = []
    for _ in range(3):
        bench.units.advance(run, leaving=False, abandoned=never)
        counted = bench.counted()
        seen.append([counted.get(name, 0) for name in ("kernels", "groups", "threads")])
        seen[-1].append(bench.units.take_channels())
    assert seen == [[0, 1, 4, 64], [0, 1, 4, 0], [1, 3, 6, 32]]


def test_a_page_fault_is_counted_with_what_was_done_before() -> None:
    bench = Bench()
    bench.kernels.hurried = True

    def act(group: FakeGroup) -> None:
        if group.group[0] == 2:
            raise PageFault(0x1000, write=False, reason="gone")

    bench.kernels.act = act
    with pytest.raises(PageFault):
        bench.units.advance(bench.begin(make_job(end=(9, 1, 1))), leaving=False, abandoned=never)
    assert bench.counted() == {"faults": 1, "groups": 2, "interpreted_groups": 2, "threads": 3}
    assert bench.units.counters.busy_ns > 0


def test_stop_reaches_what_runs_and_nothing_else() -> None:
    bench = Bench()
    bench.kernels.hurried = True
    bench.units.stop()
    run = bench.begin(make_job())
    stopped: list[str] = []
    run.stop = lambda: stopped.append("stop")  # type: ignore[method-assign]
    bench.units.stop()
    assert stopped == []
    bench.kernels.act = lambda _group: bench.units.stop()
    assert bench.units.advance(run, leaving=False, abandoned=never)
    assert stopped == ["stop"]
    bench.units.stop()
    assert stopped == ["stop"]


def test_what_has_begun_is_kept_for_its_context_alone() -> None:
    bench = Bench()
    bench.kernels.hurried = True
    bench.kernels.rounds = lambda _group: 1
    run = bench.begin(make_job())
    assert bench.units.suspend(run, 0) == NO_TOKEN, "nothing has begun"
    assert bench.counted() == {}
    bench.units.advance(run, leaving=False, abandoned=never)
    token = bench.units.suspend(run, 0)
    assert bench.counted() == {"suspended": 1, "threads": 1}
    elsewhere = make_bench().host.ppgtt
    assert bench.units.claim(token, elsewhere) is run
    assert bench.units.advance(run, leaving=False, abandoned=never)
    assert bench.kernels.spaces == [bench.space, elsewhere]
    with pytest.raises(KernelFault, match="are gone"):
        bench.units.claim(token, elsewhere)
    assert bench.units.counters.lost == 1


def test_what_is_forgotten_is_kept_no_longer() -> None:
    bench = Bench()
    bench.kernels.hurried = True
    bench.kernels.rounds = lambda _group: 1
    run = bench.begin(make_job())
    bench.units.advance(run, leaving=False, abandoned=never)
    token = bench.units.suspend(run, 0)
    bench.units.forget(Interrupted((0, 0, 0), None))
    assert len(bench.units.suspended) == 1
    bench.units.forget(Interrupted((0, 0, 0), None, token))
    assert len(bench.units.suspended) == 0


@pytest.mark.parametrize("clears", [False, True])
def test_a_fast_clear_needs_no_program(clears: bool) -> None:
    bench = Bench()
    bench.kernels.hurried = True
    drawn = Pixels(Area(0, 0, 4, 4), whole_subspans=False, writes=15, clears=clears)
    run = bench.begin(replace(make_job(), pixels=drawn))
    assert isinstance(run.kernel, ClearKernel) is clears
    assert len(bench.kernels.jobs) == (0 if clears else 1)


def test_closing_ends_the_host_threads() -> None:
    closed: list[str] = []

    class Closing:
        """A `Pool` as far as it is closed."""

        def close(self) -> None:
            closed.append("close")

    ExecutionUnits(FakeKernels(), cast("Pool", Closing())).close()
    assert closed == ["close"]
    ExecutionUnits(FakeKernels()).close()
