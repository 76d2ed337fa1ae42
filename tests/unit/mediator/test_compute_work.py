"""What execution units have done: sums, what a trace says of them, where each number comes from."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.physical.compute_work import ComputeWork
from mediator.physical.soft import SoftPhysicalGpu, work_of

NAMES = [each.name for each in fields(ComputeWork)]


def test_it_adds_and_subtracts_number_by_number() -> None:
    first = ComputeWork(*range(1, 13))
    second = ComputeWork(*range(100, 1300, 100))
    assert first + second == ComputeWork(*range(101, 1300, 101))
    assert second - first == ComputeWork(*range(99, 1200, 99))


@pytest.mark.parametrize(("kernels", "threads", "says"), [(1, 0, 1), (0, 1, 1), (0, 0, 0)])
def test_it_says_something_where_something_ran(kernels: int, threads: int, says: int) -> None:
    assert bool(str(ComputeWork(kernels=kernels, threads=threads, programs=3))) is bool(says)


def test_what_a_trace_says() -> None:
    work = ComputeWork(2, 9, 5, 3, 2_500_000, 4, 6, 7, 8, 9, 10, 11)
    assert str(work) == (
        "2 kernels, 9 threads, 2.5 ms of EUs; groups: 2 compiled, 3 interpreted; "
        "programs: 4 new, 6 known, 7 compiled, 8 of them earlier, 9 given up"
    )


def test_every_number_is_its_own_counter_and_outlives_a_reset() -> None:
    gpu = SoftPhysicalGpu(KABY_LAKE_GT2)
    try:
        units, programs = gpu._gpu.units.counters, gpu._gpu.units.programs
        for place, name in enumerate(NAMES):
            source = {"programs": "decoded", "program_hits": "hits"}.get(name, name)
            setattr(programs if hasattr(programs, source) else units, source, 10 + place)
        expected = ComputeWork(**{name: 10 + place for place, name in enumerate(NAMES)})
        assert work_of(gpu._gpu) == gpu.compute_work == expected
        gpu.reset()
        assert work_of(gpu._gpu) == ComputeWork()
        assert gpu.compute_work == expected
        gpu._gpu.units.counters.kernels = 5
        assert gpu.compute_work.kernels == 15
        gpu.reset()
        assert gpu.compute_work.kernels == 15
    finally:
        gpu.close()
