"""`make demo`: boot a stock Debian guest on a software GPU, run GPU work in it, say what it saw."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.guests import igt_plan, packages, store
from tests.guests.boot import Guest, GuestFailure
from tests.guests.igt import chosen, list_subtests, run_subtest, selection
from tests.guests.igt_results import Outcome, SubtestResult, summary, table
from tests.guests.images import Images, images
from tests.guests.kernel_log import complaints, console_complaints
from tests.guests.served import ServedGpu
from tests.guests.setup_error import SetupError

ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")
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
    """What the guest saw; `rows` are the lines of the table the user gets."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The table as text."""
        width = max(len(name) for name, _ in self.rows)
        return "\n".join(f"  {name.ljust(width)}  {value}" for name, value in self.rows)


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


def run_demo(ready: Images, tests: Sequence[str], serve_options: tuple[str, ...] = ()) -> Report:
    """Boot, work, check, power off; the report says what went wrong, if anything did."""
    report = Report()
    results: list[SubtestResult] = []
    with ServedGpu(serve_options) as gpu:
        with Guest(ready, [gpu.socket]) as guest:
            store.say(f"guest kernel {ready.kernel.release} is up after {guest.boot_seconds:.1f} s")
            probe = guest.load_i915()
            store.say(f"i915 is loaded after {probe:.1f} s")
            seen = engines(guest)
            for test in tests:
                program = selection(test)
                for subtest in chosen(program, list_subtests(guest, program.name)):
                    result = run_subtest(guest, program.name, subtest, program.seconds)
                    store.say(table([result]).splitlines()[0])
                    results.append(result)
            name = device_name(guest)
            log = guest.dmesg()
            guest.power_off()
            troubles = [*complaints(log), *console_complaints(guest.console())]
        counters = gpu.counters()
    passed = sum(1 for result in results if result.outcome is Outcome.PASS)
    traps = counters.get("reads", 0) + counters.get("writes", 0)
    report.rows = [
        ("device", name),
        ("kernel", ready.kernel.release),
        ("engines", " ".join(seen) or "none"),
        ("tests", f"{passed} of {len(results)} passed ({summary(results)})"),
        ("boot", f"{guest.boot_seconds:.1f} s ({ready.accelerator}), i915 probe {probe:.1f} s"),
        ("traps", f"{traps:,}" if counters else "not reported"),
        ("kernel complaints", str(len(troubles))),
    ]
    report.problems += [f"engine {name} is missing" for name in ENGINES if name not in seen]
    report.problems += [
        f"{result.program}@{result.subtest}: {result.outcome.value}: {result.reason}"
        for result in results
        if result.outcome not in (Outcome.PASS, Outcome.SKIP)
    ]
    report.problems += [f"guest kernel: {line}" for line in dict.fromkeys(troubles)]
    working = {result.program for result in results if result.outcome is Outcome.PASS}
    report.problems += [
        f"no subtest of {name} passed"
        for name in dict.fromkeys(selection(test).name for test in tests)
        if name not in working
    ]
    return report


def main(arguments: list[str]) -> int:
    """Run the demo and print its table; 0 if every check held."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--kernel", default=packages.DEFAULT_KERNEL, choices=packages.KERNELS)
    parser.add_argument("--device-id", choices=("5912", "1912"), default="5912")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        ready = images(options.kernel)
        store.say(f"set-up: {time.monotonic() - started:.1f} s")
        report = run_demo(ready, igt_plan.QUICK, ("--device-id", options.device_id))
    except (SetupError, GuestFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report.rows.append(("seconds", f"{time.monotonic() - started:.1f} in all"))
    print("\nWhat the guest saw (a software GPU, no mediation):")
    print(report.table())
    for problem in report.problems:
        print(f"  problem: {problem}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
