"""Kernels of Intel's compiler, from a batch in a ring to answers in memory, on the software GPU."""

from __future__ import annotations

import pytest

from mediator.softgpu.eu.dispatch.host_units import make_units
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from tests.eu_corpus import corpus
from tests.eu_corpus.cases import CASES
from tests.integration.compiled_kernels import the_compiler
from tests.unit.mediator.eu.launch_bench import place
from tests.unit.mediator.soft_gpu_fixture import make_bench

pytestmark = pytest.mark.modes

NAMES = list(CASES)
RAM = 64 << 20


def interpreting() -> ExecutionUnits:
    """Units that compile nothing."""
    return ExecutionUnits(ProgramCache(lambda: None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["compiled", "interpreted"])
def test_a_kernel_gives_its_answer(name: str, how: str) -> None:
    if how == "compiled":
        the_compiler()
    units = make_units() if how == "compiled" else interpreting()
    bench = make_bench(units=units, ram=RAM)
    placed = place(bench, corpus.kernel(name).launch())
    placed.submit()
    bench.run("rcs0", 100_000)
    engine = bench.gpu.engines["rcs0"]
    assert engine.hung is None
    assert bench.driver.seqno("rcs0") == 1
    assert placed.complaints() == []
    counters = bench.gpu.units.counters
    x, y, z = placed.launch.groups
    assert (counters.kernels, counters.groups) == (1, x * y * z)
    assert counters.threads == x * y * z * placed.launch.threads
    if how == "interpreted":
        assert counters.interpreted_groups == counters.groups
    bench.gpu.units.close()
