"""`vgpuctl detach`."""

from __future__ import annotations

import click

from qemu_hooks.cli.domain_options import (
    definition_last,
    domain_argument,
    explained,
    say,
    uri_option,
    vgpu_argument,
    where_options,
)
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import Number
from vgpu_ctl.cli.progress import Progress
from vgpu_ctl.client import ApiError, DaemonUnreachable


@click.command("detach")
@domain_argument
@vgpu_argument
@where_options
@click.option(
    "--timeout",
    type=Number(0, endless=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --live: how long the guest may take to let go.",
)
@uri_option
def command(domain: str, name: str, live: bool, config: bool, timeout: float, uri: str) -> None:
    """Take a vGPU from a libvirt domain.

    From its definition, or with --live from the domain as it runs, which waits until the guest has
    let go; with --config too its definition follows then. Memory stays shared. Needs no vgpud.
    """
    name, socket = _known(name)
    with explained():
        from qemu_hooks import attach, hotplug
        from qemu_hooks.libvirt_connection import connected

        with connected(uri) as libvirt:
            found = libvirt.domain(domain)
            if config or not live:
                attach.detach(libvirt, found, name, socket, write=False)
            if live:
                uuid = found.UUIDString()
                with Progress(f"waiting for the guest to let go of {name}", timeout) as progress:
                    done = hotplug.unplug(
                        libvirt,
                        found,
                        name,
                        lambda: _release(name, uuid),
                        progress.show,
                        timeout,
                        socket=socket,
                    )
                say(domain, done)
            if config or not live:
                with definition_last(live=live):
                    edited = attach.detach(libvirt, found, name, socket, write=True)
                without = [f"its definition does not have {name}"]
                say(domain, edited.changes or without, edited.warnings)


def _known(key: str) -> tuple[str, str]:
    """Name and socket of a vGPU that may be given by UUID; the key alone where nobody knows."""
    try:
        with connect() as vgpud:
            vgpu = vgpud.show(key)
    except (ApiError, DaemonUnreachable):
        return key, ""
    return vgpu.name, vgpu.place


def _release(name: str, uuid: str) -> None:
    """Its connection has ended, which is enough; a claim that is left would lapse."""
    try:
        with connect() as vgpud:
            vgpud.release(name, uuid)
    except (ApiError, DaemonUnreachable) as error:
        click.echo(f"{name}: {error}", err=True)
