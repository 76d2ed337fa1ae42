"""Run compute suites in guests: `python3 -m tests.guests.compute [CASE ...]`.

Each driver's user space boots with the software GPU, natively or on a vGPU, and runs a suite: the
cases of `tests/eu_corpus` (for Vulkan, its shaders), pyopencl's own tests, piglit's OpenCL tests,
or clpeak. A case that takes a guest with it is told and the rest goes on in a new one. With --host
the same runs on this machine without a guest, over `tests/drm_shim`.
"""

import argparse
import base64
import contextlib
import datetime
import io
import json
import shlex
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.guests import packages, store
from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.compute_suites import DRIVERS, SUITES, Driver, Suite
from tests.guests.compute_suites import words as suite_words
from tests.guests.images import compute_images
from tests.guests.kernel_log import complaints
from tests.guests.served import REPOSITORY, Served, ServedGpu, ServedVgpus
from tests.guests.setup_error import SetupError

_SUITE = ("__init__.py", "eu_corpus")
_PLACE = "/tmp/suite"
_CHUNK = 48 << 10
_UPLOAD_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case in a guest: pass, fail, skip or lost; times in seconds."""

    driver: str
    name: str
    result: str
    detail: str = ""
    accuracy: str = ""
    build_seconds: float = 0.0
    seconds: float = 0.0


def suite_archive(kit: Path | None) -> bytes:
    """The suite's files as a compressed archive; the kit becomes a directory of that name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in _SUITE:
            archive.add(
                REPOSITORY / "tests" / name,
                f"tests/{name}",
                filter=lambda entry: None if "__pycache__" in entry.name else entry,
            )
        if kit is not None:
            archive.add(kit, "kit")
    return out.getvalue()


def upload(guest: Guest, content: bytes) -> None:
    """Unpack the archive in the guest."""
    encoded = base64.b64encode(content).decode()
    for at in range(0, len(encoded), _CHUNK):
        piece = encoded[at : at + _CHUNK]
        guest.check(f"printf %s {piece} >>/tmp/suite.b64", _UPLOAD_SECONDS)
    guest.check(
        f"mkdir -p {_PLACE}; busybox base64 -d /tmp/suite.b64 | busybox tar -xz -C {_PLACE}; "
        "rm /tmp/suite.b64",
        _UPLOAD_SECONDS,
    )


def parse_reports(output: str) -> list[dict[str, Any]]:
    """The JSON lines among what a run printed."""
    found = []
    for line in output.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def run_command(
    driver: Driver, suite: Suite, size: str, cases: Sequence[str], place: str = _PLACE
) -> str:
    """The shell command that runs cases in the guest."""
    words = suite_words(driver, suite, f"{place}/kit", size, tuple(cases))
    variables = (f"PYTHONPATH={place}", "XDG_CACHE_HOME=/tmp", *driver.variables)
    return f"cd {place}; {shlex.join(['env', *variables, *words])}"


def known_cases(suite: str) -> list[str]:
    """The cases of a suite of ours; none where others' programs know them."""
    # Not at the top: the suites need NumPy, and `--help` works without.
    if suite == "kernels":
        from tests.eu_corpus.cases import CASES

        return list(CASES)
    if suite == "vulkan":
        from tests.eu_corpus.vulkan_cases import VULKAN_CASES

        return list(VULKAN_CASES)
    return []


@dataclass
class Run:
    """A run of cases through drivers; a guest for each driver, replaced when it is lost."""

    kernel: str
    vgpu: bool = False
    serve_options: tuple[str, ...] = ()
    size: str = "small"
    seconds: float = 3600.0
    """For all cases of a guest together."""
    machine: Machine = field(default_factory=Machine)
    host: bool = False
    """No guest: the drivers run on this machine."""
    results: list[CaseResult] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    devices: dict[str, str] = field(default_factory=dict)

    def driver(self, name: str, suite: str, cases: Sequence[str]) -> Iterator[CaseResult]:
        """Run the cases of a suite through a driver; all if none is named."""
        known = known_cases(suite)
        left = list(cases) or known
        while True:
            lost = False
            for result in self._results(name, suite, left):
                if result.name in left and known:
                    left.remove(result.name)
                lost = lost or result.result == "lost"
                self.results.append(result)
                yield result
            # Where cases are not known, what the lost guest had not told is not told.
            if not (left and known and lost):
                return

    def _results(self, name: str, suite: str, cases: Sequence[str]) -> Iterator[CaseResult]:
        """One guest's work: at least one case gets a result."""
        run = self._on_host if self.host else self._in_guest
        output, ended = run(name, SUITES[suite], cases)
        reports = parse_reports(output)
        for report in reports:
            if "device" in report:
                self.devices[name] = f"{report['device']} ({report['driver']})"
            if "name" in report:
                yield case_result(name, report)
        told = [report["name"] for report in reports if "name" in report]
        reason = " ".join(output.split())[-300:]
        missing = [case for case in cases if case not in told] if known_cases(suite) else []
        if missing:
            yield CaseResult(name, missing[0], "lost", reason)
        elif not told or not ended:
            yield CaseResult(name, suite, "lost", reason)

    def _in_guest(self, name: str, suite: Suite, cases: Sequence[str]) -> tuple[str, bool]:
        """What the suite said in a guest, and whether it came to its end."""
        driver = DRIVERS[name]
        ready = compute_images(driver.userland, self.kernel)
        archive = suite_archive(suite.kit(driver.userland) if suite.kit else None)
        served: Served = ServedVgpus(self.serve_options, count=1) if self.vgpu else ServedGpu()
        with served as gpu, Guest(ready, gpu.sockets[:1], self.machine) as guest:
            seconds = guest.load_i915()
            store.say(f"{name}: guest up in {guest.boot_seconds:.1f} s, i915 in {seconds:.1f} s")
            upload(guest, archive)
            try:
                done = guest.run(run_command(driver, suite, self.size, cases), self.seconds)
                self.complaints += [f"{name}: {line}" for line in complaints(guest.dmesg())]
            except GuestFailure as failure:
                return str(failure), False
        return done.output, done.status in (0, 1)

    def _on_host(self, name: str, suite: Suite, cases: Sequence[str]) -> tuple[str, bool]:
        """The same on this machine."""
        from tests.drm_shim.host_run import run_suite

        return run_suite(DRIVERS[name], suite, self.size, cases, self.seconds)


def case_result(driver: str, report: dict[str, Any]) -> CaseResult:
    """A line of a suite's output."""
    return CaseResult(
        driver,
        report["name"],
        report["result"],
        report["detail"],
        report.get("accuracy", ""),
        report.get("build_seconds", 0.0),
        report.get("first_seconds", 0.0),
    )


def table(results: Sequence[CaseResult]) -> str:
    """Results as text, a line each."""
    return "".join(
        f"{result.driver:14} {result.name:40} {result.result:5} {result.accuracy:24} "
        f"build {result.build_seconds:7.2f} s  run {result.seconds:7.3f} s  "
        f"{result.detail[:160]}".rstrip()
        + "\n"
        for result in results
    )


def summary(results: Sequence[CaseResult]) -> str:
    """How many came out how."""
    counts = dict.fromkeys(("pass", "fail", "skip", "lost"), 0)
    for result in results:
        counts[result.result] += 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def save(run: Run, base: Path) -> None:
    """Write the table and everything known as JSON."""
    rows = [
        {name: getattr(result, name) for name in CaseResult.__slots__} for result in run.results
    ]
    about = {"devices": run.devices, "complaints": run.complaints, "results": rows}
    store.write_atomically(base.with_name(f"{base.name}.json"), json.dumps(about, indent=1) + "\n")
    store.write_atomically(base.with_name(f"{base.name}.txt"), table(run.results))


def main(arguments: list[str]) -> int:
    """Run the cases, print and save the table; 0 if none failed and no kernel complained."""
    parser = argparse.ArgumentParser(prog="compute", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all by default")
    parser.add_argument("--kernel", default=packages.DEFAULT_KERNEL, choices=packages.KERNELS)
    parser.add_argument("--suite", choices=SUITES, help="the drivers' own kernels by default")
    parser.add_argument("--host", action="store_true", help="no guest: on this machine")
    parser.add_argument("--driver", action="append", choices=DRIVERS, help="all by default")
    parser.add_argument("--vgpu", action="store_true", help="the guest has a vGPU")
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--seconds", type=float, default=3600.0, help="for a driver's cases")
    parser.add_argument("--memory", type=int, default=Machine().memory, metavar="MIB")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results")
    options = parser.parse_args(arguments)
    drivers = [
        name
        for name in options.driver or DRIVERS
        if options.suite is None or options.suite in DRIVERS[name].suites
    ]
    if not drivers:
        parser.error(f"{' and '.join(options.driver)} cannot run the suite {options.suite}")
    suites = {name: options.suite or DRIVERS[name].suites[0] for name in drivers}
    for suite in sorted(set(suites.values())):
        known = known_cases(suite)
        unknown = sorted(set(options.cases) - set(known)) if known else []
        if unknown:
            parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(known)}")
    started = time.monotonic()
    now = datetime.datetime.now(datetime.UTC)
    machine = Machine(memory=options.memory)
    run = Run(
        options.kernel, options.vgpu, (), options.size, options.seconds, machine, options.host
    )
    place = "host" if options.host else options.kernel
    base = options.results / f"compute-{place}-{now:%Y%m%d-%H%M%S}"
    try:
        for name in drivers:
            for result in run.driver(name, suites[name], options.cases):
                store.say(table([result]).rstrip())
            save(run, base)
    except (SetupError, GuestFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    for name, device in run.devices.items():
        store.say(f"{name}: {device}")
    for line in run.complaints:
        store.say(f"guest kernel: {line}")
    store.say(f"{summary(run.results)}; {seconds:.0f} s; saved as {base.name}.json and .txt")
    good = all(result.result in ("pass", "skip") for result in run.results)
    return 0 if run.results and good and not run.complaints else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
