"""`make guest VGPU=NAME`: a stock Debian guest on a vGPU of a running vgpud, with work for it.

QEMU gets the arguments that `vgpuctl qemu-args` prints, memory included. The guest loads i915, runs
short GPU tests for a while, says how they went, and powers off.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from tests.guests import igt_plan, packages, store
from tests.guests.boot import GPU_ADDRESS, Guest, GuestFailure, Machine
from tests.guests.demo import Report, described
from tests.guests.igt_results import table
from tests.guests.igt_subtest import planned_subtests, run_subtest
from tests.guests.images import Images, images
from tests.guests.kernel_log import complaints, console_complaints
from tests.guests.served import vgpud_program
from tests.guests.setup_error import SetupError
from tests.guests.workers import GuestReport

_GPU_SLOT = GPU_ADDRESS.split(":")[2]
_ARGUMENTS_SECONDS = 30.0


def qemu_arguments(vgpuctl: Path, name: str, memory: str) -> list[str]:
    """What `vgpuctl qemu-args` says for the vGPU. Raises SetupError with its own message."""
    command = [str(vgpuctl), "qemu-args", name, "--memory", memory]
    command += ["--bus", "pcie.0", "--addr", _GPU_SLOT, "-o", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_ARGUMENTS_SECONDS, check=False
    )
    if done.returncode != 0:
        raise SetupError(done.stderr.strip().removeprefix("error: "))
    return [str(word) for word in json.loads(done.stdout)]


def work(ready: Images, name: str, memory: str, seconds: float) -> Report:
    """Boot the guest, have it work for `seconds` at least, power it off; what it saw."""
    arguments = qemu_arguments(vgpud_program().with_name("vgpuctl"), name, memory)
    report = GuestReport(name)
    machine = Machine(memory=0, arguments=tuple(arguments))
    with Guest(ready, machine=machine) as guest:
        report.boot_seconds = guest.boot_seconds
        store.say(f"{name}: the guest is up after {guest.boot_seconds:.1f} s")
        report.probe_seconds = guest.load_i915()
        store.say(f"{name}: i915 is loaded after {report.probe_seconds:.1f} s")
        report.engines = guest.run("ls /sys/class/drm/card*/engine").output.split()
        report.device = guest.run("lspci -s 02.0").output.strip()
        ends = time.monotonic() + seconds
        plan = planned_subtests(guest, igt_plan.QUICK)
        while not report.rounds or time.monotonic() < ends:
            for program, subtest in plan:
                result = run_subtest(guest, program.name, subtest, program.seconds)
                store.say(f"{name}: {table([result]).splitlines()[0]}")
                report.results.append(result)
            report.rounds += 1
        log = guest.dmesg()
        guest.power_off()
        report.complaints = [*complaints(log), *console_complaints(guest.console())]
    return described([report], igt_plan.QUICK)


def main(arguments: list[str]) -> int:
    """Run a guest on the vGPU named and print its table; 0 if every check held."""
    parser = argparse.ArgumentParser(prog="make guest", description=__doc__)
    parser.add_argument("vgpu", help="name of an active vGPU: make guest VGPU=NAME")
    parser.add_argument("--kernel", default=packages.DEFAULT_KERNEL, choices=packages.KERNELS)
    parser.add_argument("--memory", default="5G", help="guest RAM, such as 5G")
    parser.add_argument("--seconds", type=float, default=20.0, help="least time of work")
    options = parser.parse_args(arguments)
    try:
        ready = images(options.kernel)
        report = work(ready, options.vgpu, options.memory, options.seconds)
    except (SetupError, GuestFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\nWhat the guest saw (kernel {ready.kernel.release}, {ready.accelerator}):")
    print(report.table())
    for problem in report.problems:
        print(f"  problem: {problem}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
