"""A run of a job: in which form its program runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from mediator.softgpu.eu.dispatch.run import Run, Slice
from tests.unit.mediator.command_bench import make_bench
from tests.unit.mediator.eu.fake_kernels import FakeKernels
from tests.unit.mediator.eu.job_bench import make_job

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.eu.dispatch.running import Compiled, Kernel, Pool


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
