"""What Mesa's and Intel's drivers submit is replayed: compiled and interpreted leave the same.

The drivers run once, through the library that is their device, and check their answers; then each
batch is carried out again twice on the memory that it began with, and all memory is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from mediator.softgpu.eu.dispatch.host_units import make_pool
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.eu.translator.process import ProcessLimits
from mediator.softgpu.eu.translator.service import open_translations
from mediator.softgpu.eu.translator.translations import KernelCode, Translations
from tests.drm_shim.recorder import Capture, Recorder
from tests.drm_shim.replay import Replayer
from tests.drm_shim.runner import Runner
from tests.drm_shim.session import PLATFORMS, Session
from tests.eu_corpus.vulkan_cases import VULKAN_CASES
from tests.guests.compute import parse_reports
from tests.guests.compute_programs import built
from tests.guests.userland import userland
from tests.integration.compiled_kernels import the_compiler

pytestmark = [pytest.mark.modes, pytest.mark.timeout(900)]

LIMITS = ProcessLimits(seconds=200, patience=400)
"""On a busy machine the longest program needs more than what a guest may use."""
NEO = (
    *("atomics", "bitonic", "collatz", "divergent", "doubles", "halves", "histogram", "images"),
    *("image_integers", "long_atomics", "matmul", "private_array", "scan", "shuffle"),
    *("small_integers", "subgroups", "switches", "transpose", "vadd"),
)
RUSTICL = (
    *("bitonic", "histogram", "images", "matmul", "private_array", "reduce", "scan", "switches"),
    "vadd",
)
"""Cases that do not take long to compile. Of the whole corpus two may leave something else:
`conversions` the sign of a NaN, `nbody` the last bits of a root."""
DRIVERS = {
    "neo": ("bookworm", NEO),
    "rusticl": ("trixie", RUSTICL),
    "anv": ("trixie", tuple(VULKAN_CASES)),
}


def words(driver: str, cases: tuple[str, ...]) -> list[str]:
    """The program that runs ``cases`` and reports on each."""
    if driver == "anv":
        return ["python3", "-m", "tests.eu_corpus.vulkan_run", "--programs", "/host/programs"]
    opencl = ["python3", "-m", "tests.eu_corpus.opencl_run", "--platform", PLATFORMS[driver]]
    return [*opencl, *cases]


def record(driver: str) -> list[Capture]:
    """What a driver submits for its cases, whose answers are right."""
    system, cases = DRIVERS[driver]
    gpu = Runner()
    try:
        recorder = Recorder(gpu)
        with Session(userland(system), recorder, {"programs": built()}) as session:
            done = session.run(words(driver, cases), seconds=800)
    finally:
        gpu.close()
    results = {each["name"]: each for each in parse_reports(done.stdout) if "name" in each}
    assert results.keys() == set(cases), done.stdout[-3000:]
    assert [each for each in results.values() if each["result"] != "pass"] == []
    return recorder.captures


@contextmanager
def compiling() -> Iterator[ExecutionUnits]:
    """Units that wait until a program is compiled."""
    the_compiler()  # or there is none here
    translations = open_translations(limits=LIMITS)
    assert translations is not None
    wait = translations.wait

    def get(_: Translations, kernel: KernelCode, owner: object = None) -> object:
        return wait(kernel, LIMITS.patience, owner)

    with patch.object(Translations, "get", get):
        units = ExecutionUnits(ProgramCache(lambda: translations), make_pool())
        try:
            yield units
        finally:
            units.close()
            translations.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_compiled_and_interpreted_leave_the_same(driver: str) -> None:
    captures = record(driver)
    interpreting = ExecutionUnits(ProgramCache(lambda: None))
    with (
        compiling() as units,
        Replayer(units) as compiled,
        Replayer(interpreting) as interpreted,
    ):
        for number, capture in enumerate(captures):
            assert (compiled.run(capture), interpreted.run(capture)) == (0, 0), number
            for extent in capture.submission.extents:
                mine, its = list(compiled.left(extent)), list(interpreted.left(extent))
                assert mine == its, f"batch {number} of {len(captures)}, {extent}"
        counters = units.counters
        assert counters.kernels == interpreting.counters.kernels >= len(DRIVERS[driver][1])
        assert counters.interpreted_groups == 0 < interpreting.counters.interpreted_groups
