"""Is there a QEMU that can use a vGPU?"""

from __future__ import annotations

import fcntl
import os
import re

from vgpu_ctl.cli.finding import Outcome, fail, ok, skip, warn
from vgpu_ctl.cli.subject import Subject, output_of

LEAST_VERSION = (10, 1)
"""The first with vfio-user-pci."""
_VERSION = re.compile(r"version (\d+)\.(\d+)(?:\.(\d+))?")
_KVM_CREATE_VM = 0xAE01
"""linux/kvm.h: gives a file descriptor of a new machine."""
_MISSING = "no QEMU to look at"
_INSTALL = (
    "install qemu-system-x86 10.1 or newer (Debian 13: from trixie-backports), or name it with "
    "--qemu PATH"
)


def qemu_is_found(subject: Subject) -> Outcome:
    """On the search path, or where `--qemu` says."""
    if subject.qemu_program is None:
        return fail(f"{subject.qemu} is not found", _INSTALL)
    return ok(subject.qemu_program)


def qemu_is_new_enough(subject: Subject) -> Outcome:
    """10.1 or newer."""
    if subject.qemu_program is None:
        return skip(_MISSING)
    text = output_of(subject.qemu_program, ["--version"])
    match = _VERSION.search(text)
    if match is None:
        said = text.strip().splitlines()
        return fail(f"it does not say its version: {said[0] if said else 'nothing'}", _INSTALL)
    version = ".".join(part for part in match.groups() if part is not None)
    if (int(match[1]), int(match[2])) < LEAST_VERSION:
        return fail(f"version {version}", _INSTALL)
    return ok(f"version {version}")


def qemu_has_the_device(subject: Subject) -> Outcome:
    """Distributors choose which devices are built."""
    if subject.qemu_program is None:
        return skip(_MISSING)
    if '"vfio-user-pci"' not in output_of(subject.qemu_program, ["-device", "help"]):
        return fail("it has no vfio-user-pci", _INSTALL)
    return ok("it has vfio-user-pci")


def kvm_is_usable(subject: Subject) -> Outcome:
    """Without it QEMU interprets the guest."""
    if not subject.kvm.exists():
        return warn(
            f"there is no {subject.kvm}: guests run slowly",
            "switch virtualisation on in the firmware, or nested virtualisation in the host",
        )
    try:
        with subject.kvm.open("r+b", buffering=0) as kvm:
            os.close(fcntl.ioctl(kvm, _KVM_CREATE_VM, 0))
    except OSError as error:
        return warn(
            f"{subject.kvm}: {error.strerror}: guests run slowly",
            "add the user that runs QEMU to the group kvm",
        )
    return ok(f"{subject.kvm} makes virtual machines")


def libvirt_is_known(subject: Subject) -> Outcome:
    """No libvirt so far has an element for vfio-user devices."""
    program = next(filter(None, map(subject.program, ("virtqemud", "libvirtd"))), None)
    if program is None:
        return ok("not installed, and not needed for QEMU alone")
    said = output_of(program, ["--version"]).split()
    version = said[-1] if said else "of unknown version"
    return ok(
        f"libvirt {version}: it has no element for vfio-user, so a domain gets its vGPU as "
        "<qemu:commandline>"
    )
