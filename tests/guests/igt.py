"""Run IGT programs in a guest on a served software GPU: `python3 -m tests.guests.igt [TEST ...]`.

A TEST is a program (its sample of subtests, see `igt_plan.py`) or `program@pattern`. Each subtest
is a run of its own with a time-out; a guest that is lost or stuck is replaced, the rest goes on.
"""

import argparse
import contextlib
import datetime
import fnmatch
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.guests import igt_plan, packages, store
from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.igt_plan import Program
from tests.guests.igt_results import (
    GOOD,
    Outcome,
    SubtestResult,
    parse_subtest,
    summary,
    table,
    to_json,
)
from tests.guests.images import Images, images
from tests.guests.kernel_log import complaints
from tests.guests.served import REPOSITORY, ServedGpu
from tests.guests.setup_error import SetupError

_STATUS, _LOG = "@@vgpud-status", "@@vgpud-log"
# IGT ends in order when asked to; after this many seconds more it is killed.
_GRACE_SECONDS = 10
_KEEP_GUEST = frozenset({Outcome.PASS, Outcome.SKIP, Outcome.FAIL})


def selection(test: str) -> Program:
    """What `program` or `program@pattern` asks for."""
    name, _, pattern = test.partition("@")
    planned = igt_plan.BY_NAME.get(name, Program(name))
    return replace(planned, sample=(pattern,)) if pattern else planned


def chosen(program: Program, subtests: Sequence[str]) -> list[str]:
    """The subtests of a program that its sample asks for, in the program's order."""
    return [
        subtest
        for subtest in subtests
        if any(fnmatch.fnmatchcase(subtest, pattern) for pattern in program.sample)
    ]


def list_subtests(guest: Guest, program: str) -> list[str]:
    """The subtests that a program has; raises SetupError if there is no such program."""
    result = guest.run(f"{program} --list-subtests", 60)
    if result.status == 127:
        raise SetupError(f"IGT has no program {program!r}")
    return result.output.split() if result.status == 0 else []


def run_subtest(guest: Guest, program: str, subtest: str, seconds: float) -> SubtestResult:
    """Run one subtest; raises GuestFailure when the guest is lost."""
    mark = f"vgpud-mark-{time.monotonic_ns()}"
    command = (
        f"cd /tmp; echo {mark} >/dev/kmsg\n"
        f"timeout -s TERM -k {_GRACE_SECONDS} {seconds:.0f} {program} --run-subtest {subtest}\n"
        f"status=$?; echo; echo {_STATUS} $status; echo {_LOG}\n"
        f"dmesg -x | sed -n '/{mark}/,$p'\n"
    )
    result = guest.run(command, seconds + 2 * _GRACE_SECONDS + 30)
    output, _, rest = result.output.partition(f"\n{_STATUS} ")
    status, _, log = rest.partition(f"\n{_LOG}\n")
    parsed = parse_subtest(program, subtest, int(status) if status.isdigit() else 137, output)
    return replace(
        parsed,
        seconds=parsed.seconds or round(result.seconds, 2),
        complaints=tuple(complaints(log)),
    )


def excused(result: SubtestResult) -> SubtestResult:
    """The result, or DEFECT where the subtest is known to fail on any machine."""
    if result.outcome in GOOD:
        return result
    test = f"{result.program}@{result.subtest}"
    for pattern, reason in igt_plan.DEFECTS.items():
        if fnmatch.fnmatchcase(test, pattern):
            return replace(result, outcome=Outcome.DEFECT, reason=f"{reason} ({result.reason})")
    return result


@dataclass
class Run:
    """A run over programs: a guest and its GPU, started when needed and replaced when lost."""

    images: Images
    i915_options: str = ""
    serve_options: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)
    results: list[SubtestResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._guest: Guest | None = None

    def guest(self) -> Guest:
        """The running guest with i915 loaded, started if there is none."""
        if self._guest is None:
            gpu = self._stack.enter_context(ServedGpu(self.serve_options))
            guest = self._stack.enter_context(Guest(self.images, [gpu.socket], self.machine))
            seconds = guest.load_i915(self.i915_options)
            store.say(f"guest booted in {guest.boot_seconds:.1f} s, i915 loaded in {seconds:.1f} s")
            self._guest = guest
        return self._guest

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


def save(results: Sequence[SubtestResult], about: dict[str, str], base: Path) -> None:
    """Write what there is so far: an interrupted run keeps the results of finished programs."""
    store.write_atomically(base.with_name(f"{base.name}.json"), to_json(results, about))
    store.write_atomically(base.with_name(f"{base.name}.txt"), table(results))


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
    options = parser.parse_args(arguments)
    serve = ("--device-id", options.device_id) if options.device_id else ()
    names = options.tests or [program.name for program in igt_plan.PROGRAMS]
    started = time.monotonic()
    now = datetime.datetime.now(datetime.UTC)
    base = options.results / f"igt-{options.kernel}-{now:%Y%m%d-%H%M%S}"
    try:
        ready = images(options.kernel)
        machine = Machine(memory=options.memory)
        run = Run(ready, options.i915_options, serve, machine)
        about = {
            "kernel": ready.kernel.release,
            "qemu": ready.qemu.version,
            "accelerator": ready.accelerator,
            "memory": f"{machine.memory} MiB",
            "date": now.isoformat(timespec="seconds"),
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
    return 0 if run.results and good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
