"""`make demo`: boot stock Debian guests that share one software GPU, run GPU work in all at once.

Each has a vGPU; the results of each are verified, and a table says what each got of the GPU. With
`--native` one guest has the whole GPU without mediation.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.guests import compute_programs, igt_plan, packages, store
from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.igt_results import Outcome
from tests.guests.igt_subtest import selection
from tests.guests.images import Images, images
from tests.guests.served import ServedGpu, ServedVgpus, VgpuSummary
from tests.guests.setup_error import SetupError
from tests.guests.workers import GuestReport, work_together

ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")
MOST_GUESTS = 16
SHOWN = 30
"""Problems, and lines of vgpud's log, that are printed at most."""
# As an ordinary user: without connectors the primary node offers Vulkan nothing but an error.
VULKAN = (
    "chmod a+rw /dev/dri/renderD128; "
    "setpriv --reuid 1000 --regid 1000 --clear-groups vulkaninfo --summary"
)
_DEVICE_NAME = re.compile(
    r"^\s*(?:deviceName\s*=\s*|Device Name\s+)(?P<name>.*Intel.*\S)\s*$", re.M
)


@dataclass
class Report:
    """What the guests saw: a column for each in the table that the user gets."""

    names: list[str]
    rows: list[tuple[str, list[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    log: str = ""
    """What vgpud logged."""

    def table(self) -> str:
        """The table as text."""
        lines = [("", self.names), *self.rows]
        first = max(len(title) for title, _ in lines)
        widths = [
            max(len(cells[column]) for _, cells in lines) for column in range(len(self.names))
        ]
        return "\n".join(
            "  ".join(
                [f"  {title.ljust(first)}"]
                + [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            ).rstrip()
            for title, cells in lines
        )


def engines(guest: Guest) -> list[str]:
    """The engines that i915 offers in the guest."""
    listing = guest.run("ls /sys/class/drm/card*/engine")
    return [name for name in ENGINES if re.search(rf"\b{name}\b", listing.output)]


def device_name(guest: Guest) -> str:
    """The device as Vulkan names it, else as OpenCL does, else its PCI line."""
    for command in (VULKAN, "clinfo"):
        match = _DEVICE_NAME.search(guest.run(command, 120).output)
        if match is not None:
            return match["name"]
    return guest.run("lspci -s 02.0").output.strip() or "none"


def inspect(guest: Guest, report: GuestReport) -> None:
    """Fill in what the guest's driver says about its GPU."""
    report.engines = engines(guest)
    report.device = device_name(guest)


def compute(guest: Guest, report: GuestReport) -> None:
    """Run an OpenCL and a Vulkan program; each guest begins with other numbers."""
    seed = 1 + int(re.sub(r"\D", "", report.name) or 0)
    report.answers["OpenCL"] = compute_programs.opencl(guest, seed)
    report.answers["Vulkan"] = compute_programs.vulkan(guest, seed)
    for name, answer in report.answers.items():
        right = f"{len(answer.passed)} kernels right"
        store.say(f"{report.name}: {name}: {'; '.join(answer.failures) or right}")


def run_native(
    ready: Images, tests: Sequence[str], machine: Machine, serve_options: Sequence[str] = ()
) -> Report:
    """One guest has the whole GPU."""
    with ServedGpu(tuple(serve_options)) as gpu:
        reports = work_together(ready, gpu.sockets, tests, machine, inspect, compute)
        counters = gpu.counters()
        log = gpu.log()
    report = described(reports, tests)
    report.log = log
    traps = counters.get("reads", 0) + counters.get("writes", 0)
    report.rows.append(("traps", [f"{traps:,}" if counters else "not reported"]))
    return report


def run_shared(
    ready: Images,
    tests: Sequence[str],
    machine: Machine,
    count: int,
    serve_options: Sequence[str] = (),
) -> Report:
    """`count` guests share the GPU."""
    with ServedVgpus(tuple(serve_options), count=count) as gpu:
        reports = work_together(ready, gpu.sockets, tests, machine, inspect, compute)
        summaries = [gpu.summary(number) for number in range(count)]
        log = gpu.log()
    report = described(reports, tests)
    report.log = log
    add_shares(report, summaries)
    return report


def described(reports: Sequence[GuestReport], tests: Sequence[str]) -> Report:
    """What the guests themselves can tell, and what is wrong with it."""
    report = Report([guest.name for guest in reports])
    report.rows = [
        ("device", [guest.device or "none" for guest in reports]),
        ("engines", [" ".join(guest.engines) or "none" for guest in reports]),
        ("boot", [f"{guest.boot_seconds:.1f} s" for guest in reports]),
        ("i915 probe", [f"{guest.probe_seconds:.1f} s" for guest in reports]),
        *_computed(reports),
        ("tests passed", [f"{guest.passed} of {len(guest.results)}" for guest in reports]),
        ("kernel complaints", [str(len(guest.complaints)) for guest in reports]),
    ]
    for guest in reports:
        report.problems += [f"{guest.name}: {problem}" for problem in problems(guest, tests)]
    return report


def _computed(reports: Sequence[GuestReport]) -> list[tuple[str, list[str]]]:
    """A row for each kind of program that computed in some guest."""
    kinds = dict.fromkeys(kind for guest in reports for kind in guest.answers)
    return [
        (f"{kind} kernels right", [_right(guest.answers.get(kind)) for guest in reports])
        for kind in kinds
    ]


def _right(answer: compute_programs.Answer | None) -> str:
    if answer is None:
        return "not run"
    return f"{len(answer.passed)} of {len(answer.passed) + len(answer.failures)}"


def problems(guest: GuestReport, tests: Sequence[str]) -> list[str]:
    """What a guest should not have seen; every one of `tests` has to pass in some subtest."""
    if guest.failure:
        return [guest.failure]
    working = {result.program for result in guest.results if result.outcome is Outcome.PASS}
    return [
        *(f"engine {name} is missing" for name in ENGINES if name not in guest.engines),
        *(
            f"{result.program}@{result.subtest}: {result.outcome.value}: {result.reason}"
            for result in guest.results
            if result.outcome not in (Outcome.PASS, Outcome.SKIP)
        ),
        *(
            f"{kind}: {failure}"
            for kind, answer in guest.answers.items()
            for failure in answer.failures
        ),
        *(f"guest kernel: {line}" for line in dict.fromkeys(guest.complaints)),
        *(
            f"no subtest of {name} passed"
            for name in dict.fromkeys(selection(test).name for test in tests)
            if name not in working
        ),
    ]


def add_shares(report: Report, summaries: Sequence[VgpuSummary | None]) -> None:
    """Add what vgpud tells of each vGPU; unmodified guests should have been refused nothing."""
    told = [summary for summary in summaries if summary is not None]
    gpu_seconds = sum(summary.gpu_seconds for summary in told)
    weights = sum(summary.weight for summary in told)

    def row(title: str, cell: Callable[[VgpuSummary], str]) -> None:
        cells = ["not reported" if s is None else cell(s) for s in summaries]
        report.rows.append((title, cells))

    row("requests", lambda s: f"{s.requests:,}")
    row("GPU time", lambda s: f"{s.gpu_seconds:.2f} s")
    row(
        "share (weight)",
        lambda s: f"{percent(s.gpu_seconds, gpu_seconds)} ({percent(s.weight, weights)})",
    )
    row("queue wait p50/p99", lambda s: f"{s.wait_p50_ms:.2f} / {s.wait_p99_ms:.2f} ms")
    row("world switches", lambda s: f"{s.world_switches:,}")
    row("traps", lambda s: f"{s.traps:,}")
    row("audit rejections", lambda s: rejections(s.rejections))
    for name, summary in zip(report.names, summaries, strict=True):
        if summary is None:
            report.problems.append(f"{name}: vgpud did not report on it")
            continue
        if summary.rejections:
            report.problems.append(f"{name}: refused: {rejections(summary.rejections)}")
        if summary.hangs:
            report.problems.append(f"{name}: {summary.hangs} hangs")


def percent(part: float, whole: float) -> str:
    """`part` of `whole`, in per cent."""
    return f"{100 * part / whole:.0f} %" if whole else "none"


def rejections(counts: dict[str, int]) -> str:
    """Refusals by reason."""
    return ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "none"


def guests_argument(text: str) -> int:
    """The number of guests. Raises ArgumentTypeError, which names what is allowed."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_GUESTS:
        raise argparse.ArgumentTypeError(f"{text!r}: 1 to {MOST_GUESTS} guests are possible")
    return int(text)


def main(arguments: list[str]) -> int:
    """Run the demo and print its table; 0 if every check held."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--kernel", default=packages.DEFAULT_KERNEL, choices=packages.KERNELS)
    parser.add_argument("--device-id", choices=("5912", "1912"), default="5912")
    parser.add_argument("--guests", type=guests_argument, default=2, metavar="N")
    parser.add_argument("--native", action="store_true", help="one guest, without mediation")
    parser.add_argument("--address-space", choices=("shadow", "direct"), default="shadow")
    parser.add_argument("--ggtt", choices=("ballooned", "private"), default="ballooned")
    parser.add_argument("--policy", choices=("fifo", "timeslice"), default="timeslice")
    parser.add_argument("--memory", type=int, default=Machine().memory, metavar="MIB")
    options = parser.parse_args(arguments)
    serve = ["--device-id", options.device_id]
    machine = Machine(memory=options.memory)
    started = time.monotonic()
    try:
        ready = images(options.kernel)
        store.say(f"set-up: {time.monotonic() - started:.1f} s")
        if options.native:
            how = "a software GPU, no mediation"
            report = run_native(ready, igt_plan.DEMO, machine, serve)
        else:
            serve += ["--address-space", options.address_space]
            serve += ["--ggtt", options.ggtt, "--policy", options.policy]
            how = f"one software GPU, {options.address_space}, {options.ggtt}, {options.policy}"
            report = run_shared(ready, igt_plan.DEMO, machine, options.guests, serve)
    except (SetupError, GuestFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\nWhat the guests saw ({how}; kernel {ready.kernel.release}, {ready.accelerator}):")
    print(report.table())
    print(f"  {time.monotonic() - started:.1f} seconds in all")
    for problem in report.problems[:SHOWN]:
        print(f"  problem: {problem}")
    if len(report.problems) > SHOWN:
        print(f"  and {len(report.problems) - SHOWN} problems more")
    if report.problems:
        print("The end of vgpud's log:", *report.log.splitlines()[-SHOWN:], sep="\n  ")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
