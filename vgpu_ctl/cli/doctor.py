"""`vgpuctl doctor`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import click
import msgspec

from vgpu_ctl.cli.connection import socket_path
from vgpu_ctl.cli.daemon_checks import (
    control_socket_is_safe,
    daemon_answers,
    gpus_are_ready,
    kernels_are_compiled,
    metrics_answer,
    routines_are_native,
)
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.finding import Finding, Outcome, Status
from vgpu_ctl.cli.host_checks import enough_files_may_be_open, memory_can_be_shared
from vgpu_ctl.cli.options import format_option, libvirt_option
from vgpu_ctl.cli.output import csv_text, emit_data
from vgpu_ctl.cli.qemu_checks import (
    kvm_is_usable,
    libvirt_is_known,
    qemu_has_the_device,
    qemu_is_found,
    qemu_is_new_enough,
)
from vgpu_ctl.cli.subject import Subject
from vgpu_ctl.paths import found_socket
from vgpu_ctl.printable import escaped

CHECKS: Mapping[str, Callable[[Subject], Outcome]] = {
    "qemu": qemu_is_found,
    "qemu-version": qemu_is_new_enough,
    "vfio-user-pci": qemu_has_the_device,
    "kvm": kvm_is_usable,
    "shared-memory": memory_can_be_shared,
    "control-socket": control_socket_is_safe,
    "vgpud": daemon_answers,
    "routines": routines_are_native,
    "kernels": kernels_are_compiled,
    "gpus": gpus_are_ready,
    "metrics": metrics_answer,
    "open-files": enough_files_may_be_open,
    "libvirt": libvirt_is_known,
}
"""In the order of the output."""

_DOMAIN_CHECKS = "qemu_hooks.domain_findings"
"""By name, as verbs of that package are: nothing here imports it."""

_COLOURS = {
    Status.OK: "green",
    Status.WARN: "yellow",
    Status.FAIL: "red",
    Status.SKIP: "bright_black",
}


def examine(subject: Subject) -> list[Finding]:
    """All checks."""
    return [
        Finding(name=name, **msgspec.structs.asdict(check(subject)))
        for name, check in CHECKS.items()
    ]


@click.command("doctor")
@click.option(
    "--qemu",
    default="qemu-system-x86_64",
    show_default=True,
    metavar="PATH",
    help="The QEMU that is going to run the guests.",
)
@click.option("--domain", metavar="DOMAIN", help="Check this libvirt domain instead.")
@libvirt_option("The libvirt of --domain.")
@format_option("table", "json", "yaml", "csv")
def command(qemu: str, domain: str | None, uri: str, output: str) -> None:
    """Check what a vGPU needs, and say what to do.

    With --domain: whether a libvirt domain is fit for its vGPUs, and what it must not be asked for.
    Ends with status 1 when a check failed; warnings alone are no failure.
    """
    named = socket_path()
    subject = Subject(socket=named or found_socket(), named=named is not None, qemu=qemu)
    if domain is None:
        found = examine(subject)
    else:
        found = importlib.import_module(_DOMAIN_CHECKS).examine(domain, uri, subject)
    match output:
        case "table":
            _print_each(found)
        case "csv":
            click.echo(csv_text(Finding, found))
        case _:
            emit_data(found, output)
    if any(finding.status is Status.FAIL for finding in found):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _print_each(found: list[Finding]) -> None:
    """For people."""
    width = max(len(finding.name) for finding in found)
    for finding in found:
        mark = click.style(finding.status.value.ljust(4), fg=_COLOURS[finding.status], bold=True)
        click.echo(f"{mark}  {finding.name.ljust(width)}  {escaped(finding.detail)}")
        if finding.advice:
            arrow = click.style("→", fg="cyan")
            click.echo(f"{' ' * (width + 8)}{arrow} {escaped(finding.advice)}")
