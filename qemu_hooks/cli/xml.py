"""`vgpuctl xml`."""

from __future__ import annotations

import json
from xml.sax.saxutils import quoteattr

import click

from qemu_hooks.cli.domain_options import as_device, served, vgpu_argument
from qemu_hooks.domain_facts import (
    OWN_NAMESPACE,
    QEMU_NAMESPACE,
    device_id,
    guard_argument,
    port_id,
)
from qemu_hooks.pci_places import I440FX, Q35, port_arguments
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.qemu_command import device_arguments

_SLOT = 0x1E


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
def command(name: str, machine: str, form: str) -> None:
    """Print what a domain's XML needs for a vGPU.

    For those who edit by hand, and for Terraform and the like. `vgpuctl attach` does the same, and
    looks for a slot that is free: here it is always 0x1e.
    """
    with connect() as vgpud:
        vgpu = served(vgpud, name)
    board = Q35 if machine == Q35.name else I440FX
    identity = device_id(vgpu.name)
    words: list[str] = []
    if board.has_ports:
        port = port_id(vgpu.name)
        words += ["-device", _json(port_arguments(port, board, _SLOT))]
        words += device_arguments(vgpu.socket, identity=identity, bus=port, addr="0x0")
    else:
        words += device_arguments(
            vgpu.socket, identity=identity, bus=board.root_bus, addr=f"{_SLOT:#x}"
        )
    words += ["-blockdev", _json(guard_argument(vgpu.guard))]
    device = as_device(vgpu)
    if form == "xml":
        click.echo(_elements(device.name, device.uuid, words))
    else:
        click.echo(_options(words))


def _elements(name: str, uuid: str, words: list[str]) -> str:
    arguments = "\n".join(f"  <qemu:arg value={quoteattr(word)}/>" for word in words)
    return (
        f"<!-- in <domain xmlns:qemu='{QEMU_NAMESPACE}'> -->\n"
        "<metadata>\n"
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
