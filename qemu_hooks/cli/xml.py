"""`vgpuctl xml`."""

from __future__ import annotations

import json
from xml.sax.saxutils import quoteattr

import click

from qemu_hooks.cli.domain_options import as_device, vgpu_argument
from qemu_hooks.domain_facts import (
    OWN_NAMESPACE,
    QEMU_NAMESPACE,
    device_id,
    guard_argument,
    port_id,
)
from qemu_hooks.pci_places import FIRST_CHOICE, I440FX, Q35, SLOTS, port_arguments
from vgpu_ctl.api.objects import VgpuState
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.qemu_command import device_arguments


class Slot(click.ParamType[int]):
    """A slot of a root bus, as 25 or 0x19."""

    name = "SLOT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number."""
        text = str(value)
        try:
            slot = int(text, 0)
        except ValueError:
            slot = 0
        if not 0 < slot < SLOTS:
            self.fail(f"{text!r}: 0x1 to {SLOTS - 1:#x} are allowed", param, ctx)
        return slot


_INACTIVE = (
    "{name} is not active: the hook starts it with the domain; without the hook: `vgpuctl start "
    "{name}`"
)


@click.command("xml")
@vgpu_argument
@click.option(
    "--machine",
    type=click.Choice([Q35.name, I440FX.name]),
    default=Q35.name,
    show_default=True,
    help="The kind of machine.",
)
@click.option(
    "--form",
    type=click.Choice(["xml", "virt-install"]),
    default="xml",
    show_default=True,
    help="Elements of a domain, or options of virt-install.",
)
@click.option(
    "--slot",
    type=Slot(),
    default=f"{FIRST_CHOICE:#x}",
    show_default=True,
    help="Its slot on the root bus, 0x1 to 0x1f.",
)
def command(name: str, machine: str, form: str, slot: int) -> None:
    """Print what a domain's XML needs for a vGPU.

    For those who edit by hand, and for Terraform and the like. `vgpuctl attach` does the same, and
    looks for a slot that is free. For a second vGPU in the same domain take another --slot, put its
    name into the same metadata, and leave the -blockdev out: that is in a domain once.
    """
    board = Q35 if machine == Q35.name else I440FX
    if slot in board.fixed_slots:
        raise click.UsageError(f"--slot {slot:#x} is the board's own.")
    with connect() as vgpud:
        vgpu = vgpud.show(name)
    device, identity = as_device(vgpu), device_id(vgpu.name)
    words: list[str] = []
    if board.has_ports:
        port = port_id(vgpu.name)
        words += ["-device", _json(port_arguments(port, board, slot))]
        words += device_arguments(device.socket, identity=identity, bus=port, addr="0x0")
    else:
        words += device_arguments(
            device.socket, identity=identity, bus=board.root_bus, addr=f"{slot:#x}"
        )
    words += ["-blockdev", _json(guard_argument(vgpu.guard))]
    if vgpu.state is not VgpuState.ACTIVE:
        click.echo(_INACTIVE.format(name=vgpu.name), err=True)
    if form == "xml":
        click.echo(_elements(device.name, device.uuid, words))
    else:
        click.echo(_options(words))


def _elements(name: str, uuid: str, words: list[str]) -> str:
    lines = [f"  <qemu:arg value={quoteattr(word)}/>" for word in words]
    lines.insert(words.index("-blockdev"), "  <!-- once in a domain, for all its vGPUs -->")
    arguments = "\n".join(lines)
    return (
        f"<!-- in <domain xmlns:qemu='{QEMU_NAMESPACE}'> -->\n"
        "<metadata>\n"
        "  <!-- one element for all vGPUs of a domain -->\n"
        f"  <vgpud:vgpus xmlns:vgpud='{OWN_NAMESPACE}'>\n"
        f"    <vgpud:vgpu name={quoteattr(name)} uuid={quoteattr(uuid)}/>\n"
        "  </vgpud:vgpus>\n"
        "</metadata>\n"
        "<memoryBacking>\n"
        "  <source type='memfd'/>\n"
        "  <access mode='shared'/>\n"
        "</memoryBacking>\n"
        "<features>\n"
        "  <acpi/>\n"
        "</features>\n"
        "<!-- at the end -->\n"
        f"<qemu:commandline>\n{arguments}\n</qemu:commandline>"
    )


def _options(words: list[str]) -> str:
    """virt-install(1) splits the value of --qemu-commandline as a shell does."""
    import shlex

    options = [f"--qemu-commandline={shlex.quote(shlex.join(words))}"]
    return " \\\n  ".join(["--memorybacking source.type=memfd,access.mode=shared", *options])


def _json(properties: dict[str, object]) -> str:
    return json.dumps(properties, separators=(",", ":"))
