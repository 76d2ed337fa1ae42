"""Run IGT programs in a guest on a served software GPU: `python3 -m tests.guests.igt [TEST ...]`.

With `--vgpu` the guest has a vGPU of it; with `--busy` a second guest works beside it.
A TEST is a program (its sample of subtests, see `igt_plan.py`) or `program@pattern`. Each subtest
is a run of its own with a time-out; a guest that is lost or stuck is replaced, the rest goes on.
"""

import argparse
import contextlib
import datetime
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.guests import igt_plan, packages, store
from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.igt_plan import Program
from tests.guests.igt_results import GOOD, Outcome, SubtestResult, summary, table, to_json
from tests.guests.igt_subtest import chosen, excused, list_subtests, run_subtest, selection
from tests.guests.images import Images, images
from tests.guests.served import REPOSITORY, Served, ServedGpu, ServedVgpus
from tests.guests.setup_error import SetupError
from tests.guests.workers import GuestReport, Neighbour

_KEEP_GUEST = frozenset({Outcome.PASS, Outcome.SKIP, Outcome.FAIL})


@dataclass
class Run:
    """A run over programs: a guest and its GPU, started when needed and replaced when lost."""

    images: Images
    i915_options: str = ""
    serve_options: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)
    vgpu: bool = False
    """The guest has a vGPU, and not the whole GPU."""
    busy: bool = False
    """A second guest works on another vGPU."""
    results: list[SubtestResult] = field(default_factory=list)
    neighbours: list[GuestReport] = field(default_factory=list)
    """What the second guests did."""
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """What vgpud told of the vGPUs of the guests."""

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._guest: Guest | None = None

    def guest(self) -> Guest:
        """The running guest with i915 loaded, started if there is none."""
        if self._guest is None:
            gpu = self._stack.enter_context(self._served())
            if self.busy:
                busy = Neighbour(self.images, gpu.sockets[1], igt_plan.BUSY, self.machine)
                self.neighbours.append(self._stack.enter_context(busy).report)
            guest = self._stack.enter_context(Guest(self.images, gpu.sockets[:1], self.machine))
            seconds = guest.load_i915(self.i915_options)
            store.say(f"guest booted in {guest.boot_seconds:.1f} s, i915 loaded in {seconds:.1f} s")
            self._guest = guest
        return self._guest

    def _served(self) -> Served:
        if not self.vgpu:
            return ServedGpu(self.serve_options)
        served = ServedVgpus(self.serve_options, count=2 if self.busy else 1)
        self._stack.callback(self._note, served)
        return served

    def _note(self, served: ServedVgpus) -> None:
        """Keep what vgpud told when the guests had left."""
        for number in range(served.count):
            told = served.summary(number)
            if told is not None:
                store.say(f"{told.name}: {json.dumps(asdict(told))}")
                self.summaries.append(asdict(told))

    def drop_guest(self) -> None:
        """End the guest and its GPU at once."""
        self._guest = None
        self._stack.close()

    def program(self, program: Program) -> Iterator[SubtestResult]:
        """Run a program's chosen subtests, one result after the other."""
        for subtest in chosen(program, list_subtests(self.guest(), program.name)):
            started = time.monotonic()
            try:
                result = run_subtest(self.guest(), program.name, subtest, program.seconds)
            except GuestFailure as failure:
                reason = str(failure).replace("\n", " ")[-600:]
                taken = round(time.monotonic() - started, 2)
                result = SubtestResult(
                    program.name, subtest, Outcome.INCOMPLETE, taken, reason=reason
                )
            if result.outcome not in _KEEP_GUEST:
                self.drop_guest()
            result = excused(result)
            self.results.append(result)
            yield result


def neighbour_troubles(report: GuestReport) -> list[str]:
    """What went wrong in a second guest."""
    return [
        *([report.failure] if report.failure else []),
        *(
            f"{result.program}@{result.subtest}: {result.outcome.value}: {result.reason}"
            for result in map(excused, report.results)
            if result.outcome not in GOOD
        ),
        *(f"guest kernel: {line}" for line in report.complaints),
    ]


def save(results: Sequence[SubtestResult], about: dict[str, str], base: Path) -> None:
    """Write what there is so far: an interrupted run keeps the results of finished programs."""
    store.write_atomically(base.with_name(f"{base.name}.json"), to_json(results, about))
    store.write_atomically(base.with_name(f"{base.name}.txt"), table(results))


def serve_options(options: argparse.Namespace) -> tuple[str, ...]:
    """The options of `vgpud serve` that were asked for."""
    asked = [
        ("--device-id", options.device_id),
        ("--address-space", options.address_space),
        ("--ggtt", options.ggtt),
    ]
    return tuple(word for option, value in asked if value for word in (option, value))


def main(arguments: list[str]) -> int:
    """Run the tests named (the plan by default), print and save the table.

    0 if none failed and the kernel complained in none.
    """
    parser = argparse.ArgumentParser(prog="igt", description=__doc__)
    parser.add_argument("tests", nargs="*", metavar="TEST")
    parser.add_argument("--kernel", default=packages.DEFAULT_KERNEL, choices=packages.KERNELS)
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results")
    parser.add_argument("--i915-options", default="")
    parser.add_argument("--device-id", default=None)
    parser.add_argument(
        "--memory", type=int, default=Machine().memory, metavar="MIB", help="the guest's memory"
    )
    parser.add_argument("--vgpu", action="store_true", help="the guest has a vGPU")
    parser.add_argument("--busy", action="store_true", help="another guest works on a second vGPU")
    parser.add_argument("--address-space", choices=("shadow", "direct"))
    parser.add_argument("--ggtt", choices=("ballooned", "private"))
    options = parser.parse_args(arguments)
    if not options.vgpu and (options.busy or options.address_space or options.ggtt):
        parser.error("--busy, --address-space and --ggtt need --vgpu")
    serve = serve_options(options)
    names = options.tests or [program.name for program in igt_plan.PROGRAMS]
    started = time.monotonic()
    now = datetime.datetime.now(datetime.UTC)
    base = options.results / f"igt-{options.kernel}-{now:%Y%m%d-%H%M%S}"
    try:
        ready = images(options.kernel)
        machine = Machine(memory=options.memory)
        run = Run(ready, options.i915_options, serve, machine, options.vgpu, options.busy)
        about = {
            "kernel": ready.kernel.release,
            "qemu": ready.qemu.version,
            "accelerator": ready.accelerator,
            "memory": f"{machine.memory} MiB",
            "date": now.isoformat(timespec="seconds"),
            "gpu": " ".join(["vGPU" if options.vgpu else "native", *serve]),
            "busy neighbour": "yes" if options.busy else "no",
            "tests": " ".join(names),
        }
        try:
            for name in names:
                for result in run.program(selection(name)):
                    store.say(table([result]).splitlines()[0])
                save(run.results, about, base)
        finally:
            run.drop_guest()
    except (SetupError, GuestFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    seconds = time.monotonic() - started
    store.say(f"{summary(run.results)}; {seconds:.0f} s; saved as {base.name}.json and .txt")
    good = all(r.outcome in GOOD and not r.complaints for r in run.results)
    for neighbour in run.neighbours:
        troubles = neighbour_troubles(neighbour)
        store.say(f"busy guest: {neighbour.passed} subtests passed, {len(troubles)} troubles")
        for trouble in troubles:
            print(f"busy guest: {trouble}", file=sys.stderr)
        good = good and bool(neighbour.passed) and not troubles
    return 0 if run.results and good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
