"""`vgpuctl gpus`."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import GpuInfo, ResourceInfo
from vgpu_ctl.cli import candidates
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import output_options
from vgpu_ctl.cli.output import emit, emit_one
from vgpu_ctl.cli.table import Column, table
from vgpu_ctl.cli.units import size

_INTEL = 0x8086
_COLOURS = {"ready": "green", "failed": "red", "absent": "yellow"}


def _backend(gpu: GpuInfo) -> str:
    return f"{gpu.backend} (simulated)" if gpu.simulated else gpu.backend


def _amount(resource: ResourceInfo, count: int) -> str:
    return size(count) if resource.unit == "bytes" else str(count)


def _holders(resource: ResourceInfo) -> str:
    """`web 64 MiB, db 32 MiB`."""
    return ", ".join(f"{name} {_amount(resource, n)}" for name, n in resource.holders.items())


_COLUMNS: tuple[Column[GpuInfo], ...] = (
    Column("NAME", lambda gpu: gpu.name),
    Column("BACKEND", _backend),
    Column("STATE", lambda gpu: gpu.state, colour=lambda gpu: _COLOURS.get(gpu.state)),
    Column("DEVICE", lambda gpu: f"{_INTEL:04x}:{gpu.device_id:04x}" if gpu.device_id else ""),
    Column("PCI", lambda gpu: gpu.pci, wide=True),
    Column("SPACE", lambda gpu: gpu.address_space, wide=True),
    Column("GGTT", lambda gpu: gpu.ggtt, wide=True),
    Column("POLICY", lambda gpu: gpu.policy, wide=True),
    Column("VGPUS", lambda gpu: " ".join(gpu.vgpus)),
    Column("DESCRIPTION", lambda gpu: gpu.description),
    Column("DETAIL", lambda gpu: gpu.detail, wide=True),
)

_RESOURCES: tuple[Column[ResourceInfo], ...] = (
    Column("RESOURCE", lambda resource: resource.name),
    Column("LEFT", lambda resource: _amount(resource, resource.left), right=True),
    Column("OF", lambda resource: _amount(resource, resource.total), right=True),
    Column("HELD BY", _holders),
)


@click.command("gpus")
@click.argument("name", metavar="[NAME]", default="", shell_complete=candidates.gpus)
@output_options
def command(name: str, output: str, no_headers: bool) -> None:
    """List the GPUs of this host.

    With NAME all about one, and what of it is left and who has the rest.
    """
    with connect() as vgpud:
        found = vgpud.gpus()
    if not name:
        emit(GpuInfo, found, _COLUMNS, output, headers=not no_headers)
        return
    gpu = _named(found, name)
    emit_one(gpu, _COLUMNS, output, headers=not no_headers)
    if gpu.resources and output in ("table", "wide"):
        click.echo("\n" + table(_RESOURCES, gpu.resources, headers=not no_headers))


def _named(found: list[GpuInfo], name: str) -> GpuInfo:
    """The GPU called so, or at that PCI address. Raises Failure."""
    gpu = next((gpu for gpu in found if name in (gpu.name, gpu.pci)), None)
    if gpu is None:
        there = ", ".join(gpu.name for gpu in found) or "none"
        raise Failure(ExitCode.NOT_FOUND, f"there is no GPU {name!r}", hint=f"there are: {there}")
    return gpu
