"""OpenCL programs through Intel's drivers on the native software GPU, against PoCL on this machine.

The same programs, sizes and work groups, as many cores for both, all in one run; every answer is
checked. NEO and rusticl (iris) run in user spaces of Debian's packages on a `SoftGpu` in this
process (`tests/drm_shim`), PoCL in one of its own. Time is the kernel's alone, the median of
`REPEATS` runs after a first one that is not counted: PoCL's by its events, ours by the GPU's clock
right before and behind the batch that has the kernel, for both drivers. (NEO's events say the same
within some microseconds; rusticl reads the times of its events in another context than the
kernel's, so they say nothing.) Ratio: PoCL's time divided by ours.

Beside it: the first run, which waits for the translator; the same on one core; what the translator
did; programs in the interpreter; kernels from 1 ms up on a vGPU that is alone, against the native
GPU behind the same kind of socket.

Run ``python -m tests.bench compute``, or ``python -m tests.bench.compute vadd fft`` for some cases;
aims: a geometric mean of at least 2.0 for NEO's code and 1.5 for iris', and no kernel below 0.3.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mediator.softgpu.eu.dispatch.host_units import make_pool
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.eu.translator.service import open_translations
from mediator.softgpu.eu.translator.translations import Translations
from tests.drm_shim.runner import Batch, Runner
from tests.drm_shim.seat import RAM_BYTES, GuestSeat, NativeSeat, Seat
from tests.drm_shim.session import PLATFORMS, Session
from tests.guests.served import REPOSITORY
from tests.guests.userland import Userland, userland
from tests.integration.vgpu_rig import DIRECT, NATIVE, SHADOW, Mode, rig

CASES = (
    "vadd",
    "saxpy",
    "stencil",
    "intloop",
    "collatz",
    "mandelbrot",
    "nbody",
    "matmul",
    "reduce",
    "scan",
    "histogram",
    "transpose",
    "bitonic",
    "fft",
    "sparse",
    "sha256",
    "private_array",
    "switches",
)
INTERPRETED = ("vadd", "mandelbrot", "matmul", "scan", "fft", "sha256")
USERLANDS = {"neo": "bookworm", "rusticl": "trixie"}
REPEATS = 9
_SECONDS = 1500.0
_MS = 1e3

Reports = dict[str, dict[str, Any]]


def words(platform: str, cases: Sequence[str], repeats: int, size: str = "large") -> list[str]:
    """The command that runs and times the cases in a user space."""
    return [
        *("python3", "-m", "tests.eu_corpus.opencl_run", "--platform", platform),
        *("--size", size, "--repeats", str(repeats), *cases),
    ]


def reports(output: str) -> Reports:
    """What was printed of each case. Raises AssertionError if an answer was wrong."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    found = {line["name"]: line for line in lines if "name" in line}
    for name, report in found.items():
        assert report["result"] == "pass", f"{name}: {report['detail']}"
    assert found, output[-2000:]
    return found


def run_pocl(cases: Sequence[str], repeats: int = REPEATS) -> Reports:
    """The cases through PoCL, on every core of this process."""
    place: Userland = userland("pocl")
    done = place.run(
        words(PLATFORMS["pocl"], cases, repeats),
        bound={"sys": Path("/sys"), "dev": Path("/dev"), "host/repository": REPOSITORY},
        variables={
            "PYTHONPATH": "/host/repository",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
            "POCL_CACHE_DIR": "/tmp/pocl",
            "POCL_CPU_MAX_CU_COUNT": str(len(os.sched_getaffinity(0))),
        },
        seconds=_SECONDS,
    )
    return reports(done.stdout)


@dataclass(frozen=True, slots=True)
class Ran:
    """Cases that a driver ran, and the batches that the GPU carried out for it."""

    reports: Reports
    batches: list[Batch]

    def kernel_seconds(self, name: str) -> float:
        """The median of a case's timed runs, by the GPU's clock."""
        return median(self._between(*moment) for moment in self.reports[name]["moments"])

    def _between(self, began: float, ended: float) -> float:
        inside = [
            batch.gpu_seconds
            for batch in self.batches
            if began <= batch.began and batch.ended <= ended
        ]
        assert inside, "a kernel ran"
        return max(inside)  # others ask for the time, at most


def run_driver(
    driver: str,
    cases: Sequence[str],
    translations: Translations | None,
    repeats: int = REPEATS,
    size: str = "large",
) -> Ran:
    """The cases through one of Intel's drivers on a native software GPU; without
    ``translations`` all is interpreted."""
    units = ExecutionUnits(ProgramCache(lambda: translations), make_pool())
    try:
        return run_at(NativeSeat(units=units), driver, cases, repeats, size)
    finally:
        units.close()


def run_at(seat: Seat, driver: str, cases: Sequence[str], repeats: int, size: str) -> Ran:
    """The cases through one of Intel's drivers on the GPU at ``seat``, which is left."""
    gpu = Runner(seat)
    try:
        with Session(userland(USERLANDS[driver]), gpu) as session:
            done = session.run(words(PLATFORMS[driver], cases, repeats, size), seconds=_SECONDS)
    finally:
        gpu.close()
    return Ran(reports(done.stdout), gpu.batches)


@contextmanager
def one_core() -> Iterator[None]:
    """This thread, and what it starts, has one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def kernel_directory() -> Iterator[Path]:
    """An empty directory for compiled kernels."""
    with tempfile.TemporaryDirectory(prefix="vgpud-kernels-") as directory:
        yield Path(directory)


@contextmanager
def translating(directory: Path | None = None) -> Iterator[Translations]:
    """A translator that knows what is kept in ``directory`` (the user's), and nothing else."""
    translations = open_translations(directory)
    assert translations is not None, "kernels are compiled on this host"
    try:
        yield translations
    finally:
        translations.close()


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; 0 of none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 0.0


def compare(ours: Ran, single: Ran, pocl: Reports) -> dict[str, dict[str, float]]:
    """Milliseconds of both sides and their ratio, by case. ``single``: the same on one core."""
    table = {}
    for name, report in ours.reports.items():
        mine, theirs = ours.kernel_seconds(name), median(pocl[name]["kernel_seconds"])
        table[name] = {
            "ms": mine * _MS,
            "pocl ms": theirs * _MS,
            "ratio": theirs / mine,
            "1 core ms": single.kernel_seconds(name) * _MS,
            "scaling": single.kernel_seconds(name) / mine,
            "first ms": report["first_seconds"] * _MS,
            "asked to done ms": median(report["elapsed_seconds"]) * _MS,
        }
    return table


def summary(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The row below a driver's."""
    ratios = [row["ratio"] for row in table.values()]
    return {
        "ratio": geometric_mean(ratios),
        "least ratio": min(ratios),
        "scaling": geometric_mean([row["scaling"] for row in table.values()]),
    }


def translator_row(translations: Translations) -> dict[str, float]:
    """What the translator has done."""
    counters = translations.counters
    return {
        "compiled": counters.compilations,
        "ms each": counters.seconds / max(1, counters.compilations) * _MS,
        "from disk": counters.disk_hits,
        "from memory": counters.memory_hits,
        "refused": counters.refusals,
    }


def against_interpreter(
    cases: Sequence[str], translations: Translations
) -> dict[str, dict[str, float]]:
    """Small cases of NEO's code, compiled and interpreted."""
    compiled = run_driver("neo", cases, translations, repeats=3, size="small")
    slow = run_driver("neo", cases, None, repeats=1, size="small")
    table = {}
    for name in cases:
        mine, theirs = compiled.kernel_seconds(name), slow.kernel_seconds(name)
        table[f"interpreted {name}"] = {
            "small ms": theirs * _MS,
            "compiled ms": mine * _MS,
            "times as long": theirs / mine,
        }
    return table


def run_served(mode: Mode, cases: Sequence[str]) -> Ran:
    """NEO's cases on a served GPU, native or a vGPU that is alone."""
    with (
        tempfile.TemporaryDirectory(prefix="vgpud-compute-") as directory,
        rig(Path(directory), mode) as made,
        made.guest(ram_size=RAM_BYTES) as guest,
    ):
        return run_at(GuestSeat(guest), "neo", cases, REPEATS, "large")


def on_vgpus(cases: Sequence[str]) -> dict[str, dict[str, float]]:
    """Kernels of NEO's code from 1 ms up, on vGPUs against the native GPU, all of them served."""
    native, *mediated = (run_served(mode, cases) for mode in (NATIVE, SHADOW, DIRECT))
    table: dict[str, dict[str, float]] = {}
    for name in cases:
        row = {"native ms": native.kernel_seconds(name) * _MS}
        for mode, ran in zip((SHADOW, DIRECT), mediated, strict=True):
            row[f"{mode.address_space} ratio"] = native.kernel_seconds(name) / ran.kernel_seconds(
                name
            )
        if row["native ms"] >= 1:
            table[f"vgpu {name}"] = row
    means = {
        f"{mode.address_space} ratio": geometric_mean(
            [row[f"{mode.address_space} ratio"] for row in table.values()]
        )
        for mode in (SHADOW, DIRECT)
    }
    return table | {"vgpu geometric mean": means}


def measure(cases: Sequence[str] = CASES) -> dict[str, dict[str, float]]:
    """Both drivers against PoCL; the mean of each is a row of its own."""
    figures: dict[str, dict[str, float]] = {}
    pocl = run_pocl(cases)
    for driver in USERLANDS:
        with kernel_directory() as directory:
            with translating(directory) as translations:
                ours = run_driver(driver, cases, translations)
                figures[f"{driver} translator"] = translator_row(translations)
            with translating(directory) as translations, one_core():
                single = run_driver(driver, cases, translations)
                figures[f"{driver} translator again"] = translator_row(translations)
        table = compare(ours, single, pocl)
        figures |= {f"{driver} {name}": row for name, row in table.items()}
        figures[f"{driver} geometric mean"] = summary(table)
    small = [name for name in INTERPRETED if name in cases]
    if small:
        with translating() as translations:
            figures |= against_interpreter(small, translations)
    return figures | on_vgpus(cases)


def main() -> None:
    """Print the figures, one line each."""
    for name, row in measure(sys.argv[1:] or CASES).items():
        cells = "  ".join(f"{title} {value:9.3f}" for title, value in row.items())
        print(f"{name:24} {cells}")


if __name__ == "__main__":
    main()
