"""A run of a job: in which form its program runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from mediator.hotpath.interface import never
from mediator.softgpu.address_space import PageFault
from mediator.softgpu.eu.dispatch.run import Done, Run, Slice
from mediator.softgpu.eu.dispatch.suspended import Suspended
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from tests.unit.mediator.command_bench import make_bench
from tests.unit.mediator.eu.fake_kernels import FakeKernels
from tests.unit.mediator.eu.job_bench import make_job

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.eu.dispatch.running import Compiled, Kernel, Pair, Pool


class Asked(FakeKernels):
    """It counts who wants it compiled."""

    times = 0

    def compiled(self, _owner: Hashable) -> Compiled | None:
        self.times += 1
        return None


@pytest.mark.parametrize("alternate", [False, True])
def test_the_alternate_float_mode_is_the_interpreters(alternate: bool) -> None:
    job = make_job()
    job = replace(job, descriptor=replace(job.descriptor, alternate_float=alternate))
    kernels = Asked()
    pool = cast("Pool", object())  # never reached: nothing is compiled
    space = make_bench().host.ppgtt
    run = Run(job, cast("Kernel", kernels), space, job.grid.first, pool)
    assert run.advance(Slice(lambda: False, 1 << 62, begin=True))
    assert kernels.ended
    assert (kernels.times > 0) is not alternate


def test_guests_of_different_gpus_are_different_owners() -> None:
    """The translator is that of all GPUs, and who floods it has only its own requests dropped."""
    kernels, space, job = FakeKernels(), make_bench().host.ppgtt, make_job()
    first, second = ExecutionUnits(kernels), ExecutionUnits(kernels)
    for units, image in ((first, 0x9000_0000), (first, 0x9000_1000), (first, 0x9400_0000)):
        units.begin(job, space, None, image, leaving=False, abandoned=never)
    second.begin(job, space, None, 0x9000_0000, leaving=False, abandoned=never)
    owners = kernels.owners
    assert owners[0] == owners[1]
    assert len(set(owners)) == 3


def test_a_run_that_is_kept_counts_with_its_program() -> None:
    """So who suspends runs of very long programs has fewer of them."""
    job = make_job()
    kernels = FakeKernels(rounds=lambda _group: 5, size=1000)
    run = Run(job, cast("Kernel", kernels), make_bench().host.ppgtt, job.grid.first)
    assert not run.advance(Slice(lambda: True, 0, begin=False))
    assert (run.held_bytes, run.kept_bytes) == (0, 400_000)
    kept = Suspended()
    for _ in range(50):
        kept.put(run, 0)
    kernels.size = 60_000
    kept.put(run, 0)
    assert len(kept) == 1


class Paired(FakeKernels):
    """It is there in compiled form, and for pairs once it was asked for twice."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    def compiled(self, _owner: Hashable) -> Compiled | None:
        return cast("Compiled", object())

    def pair(self, _owner: Hashable, threads: int) -> Pair | None:
        self.told.append(threads)
        return cast("Pair", self) if len(self.told) == 2 else None


@dataclass
class FakeGroups:
    """`Groups` and the `Pool` that starts them: one group a slice."""

    begun: int = 0
    pairs: list[object] = field(default_factory=list)

    def start(self, *_arguments: object) -> FakeGroups:
        return self

    @property
    def ended(self) -> int:
        return self.begun

    def pair(self, pair: Pair) -> None:
        self.pairs.append((self.begun, pair))

    def allow(self) -> None:
        pass

    def advance(self, *_arguments: object, **_more: object) -> bool:
        self.begun += 1
        return self.begun == 5


@pytest.mark.parametrize(("threads", "barrier_threads"), [(3, 3), (1, 1), (3, 2)])
def test_a_run_takes_up_pairs_while_it_is_under_way(threads: int, barrier_threads: int) -> None:
    """Not where a group has one thread, or a barrier other threads than all."""
    job = make_job(end=(5, 1, 1), size=(threads, 1, 1), barrier_threads=barrier_threads)
    kernels, groups, space = Paired(), FakeGroups(), make_bench().host.ppgtt
    run = Run(job, cast("Kernel", kernels), space, job.grid.first, cast("Pool", groups))
    while not run.advance(Slice(lambda: False, 1 << 62, begin=True)):
        pass
    if threads == barrier_threads > 1:
        assert (kernels.told, groups.pairs) == ([15, 0], [(1, kernels)])
    else:
        assert (kernels.told, groups.pairs) == ([], [])


@dataclass
class Ahead(FakeGroups):
    """Two groups begin before one ends; the last slice is a fault's."""

    fails: bool = False

    @property
    def ended(self) -> int:
        return self.begun // 2

    def advance(self, *_arguments: object, **_more: object) -> bool:
        self.begun += 2
        if self.begun == 6 and self.fails:
            raise PageFault(0x1000, write=True, reason="gone")
        return self.begun == 6


@pytest.mark.parametrize("fails", [False, True])
def test_what_compiled_groups_have_done_is_counted_by_the_slice(fails: bool) -> None:
    """Also in the slice in which one faults. They are nothing of the interpreter's."""
    job = make_job(end=(9, 1, 1), size=(3, 1, 1), simd=8, right=0x1)
    groups, space = Ahead(fails=fails), make_bench().host.ppgtt
    run = Run(job, cast("Kernel", Paired()), space, job.grid.first, cast("Pool", groups))
    piece = Slice(lambda: False, 1 << 62, begin=True)
    for done in (1, 2):
        assert not run.advance(piece)
        assert run.done == Done(done, 0, 2 * done * 3, 2 * done * (8 + 8 + 1))
    if fails:
        with pytest.raises(PageFault):
            run.advance(piece)
    else:
        assert run.advance(piece)
    assert run.done == Done(3, 0, 6 * 3, 6 * 17)


def test_compiled_groups_do_nothing_in_a_slice_that_is_over() -> None:
    """Whoever asked between the last slice and `allow` would not be heard."""
    job, groups = make_job(end=(5, 1, 1)), FakeGroups()
    space = make_bench().host.ppgtt
    run = Run(job, cast("Kernel", Paired()), space, job.grid.first, cast("Pool", groups))
    assert not run.advance(Slice(lambda: False, 1 << 62, begin=True))
    assert not run.advance(Slice(lambda: True, 1 << 62, begin=True))
    assert (groups.begun, run.done.groups) == (1, 1)


@dataclass
class Awaited(FakeKernels):
    """Its compiled form is there after so many waits, or never."""

    comes_after: int = 1 << 30
    hopeless_after: int = 1 << 30
    small: bool = False
    waited: list[float] = field(default_factory=list)

    def compiled(self, _owner: Hashable) -> Compiled | None:
        there = len(self.waited) >= self.comes_after
        return cast("Compiled", self) if there else None

    def wait(self, seconds: float, _owner: Hashable) -> bool:
        self.waited.append(seconds)
        return len(self.waited) < self.hopeless_after

    def is_small(self, _groups: int) -> bool:
        return self.small


def _await(kernels: Awaited, pool: object) -> None:
    job = make_job(end=(5, 1, 1))
    space = make_bench().host.ppgtt
    run = Run(job, cast("Kernel", kernels), space, job.grid.first, cast("Pool", pool))
    while not run.advance(Slice(lambda: False, 1 << 62, begin=True)):
        pass


@pytest.mark.parametrize(
    ("comes", "hopeless", "waits", "interpreted"),
    [
        (0, 9, 0, False),
        (3, 9, 3, False),
        (9, 3, 3, True),
        (9, 1, 1, True),
        (1 << 30, 1 << 30, 20_000, True),
    ],
)
def test_a_job_that_is_not_small_waits_for_the_compiler(
    comes: int, hopeless: int, waits: int, interpreted: bool
) -> None:
    """A millisecond at a time, while there is hope, and 20 s at most; then it is interpreted."""
    kernels, groups = Awaited(comes_after=comes, hopeless_after=hopeless), FakeGroups()
    _await(kernels, groups)
    assert set(kernels.waited) <= {1e-3}
    assert abs(len(kernels.waited) - waits) <= (waits > 9), "a sum of floats"
    assert bool(kernels.ended) is interpreted
    assert groups.begun == (0 if interpreted else 5)


@pytest.mark.parametrize("small", [False, True])
def test_nobody_waits_where_it_is_no_use(small: bool) -> None:
    """A small job is interpreted at once, and so is any where nothing runs compiled code."""
    kernels = Awaited(small=small)
    _await(kernels, FakeGroups() if small else None)
    assert kernels.waited == []
    assert len(kernels.ended) == 5
