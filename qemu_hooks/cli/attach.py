"""`vgpuctl attach`."""

from __future__ import annotations

import click

from qemu_hooks.cli.domain_options import (
    as_device,
    domain_argument,
    explained,
    reach_of,
    say,
    served,
    uri_option,
    vgpu_argument,
    where_options,
)
from vgpu_ctl.cli.connection import connect

_NOT_YET = "the domain runs: it has {name} from its next start on; --live plugs it in now"


@click.command("attach")
@domain_argument
@vgpu_argument
@where_options
@click.option("--dry-run", is_flag=True, help="Print the XML it would have, and change nothing.")
@uri_option
def command(domain: str, name: str, live: bool, config: bool, dry_run: bool, uri: str) -> None:
    """Give a vGPU to a libvirt domain.

    Changes the domain's definition: the device, memory that can be shared, metadata. With --live
    the vGPU is plugged into the domain as it runs, which needs memory that is shared already and a
    free root port. Says what it changed; a vGPU that is not active is started.
    """
    if dry_run and live:
        raise click.UsageError("--dry-run is for the definition.", click.get_current_context())
    with connect() as vgpud, explained():
        from qemu_hooks import attach, hotplug
        from qemu_hooks.libvirt_connection import connected

        with connected(uri) as libvirt:
            found = libvirt.domain(domain)
            attach.refuse_unfit(libvirt, found, live=live)
            vgpu = served(vgpud, name)
            if config or not live:
                edited = attach.attach(
                    libvirt,
                    found,
                    as_device(vgpu),
                    vgpu.guard,
                    reach_of(vgpud, vgpu),
                    write=not dry_run,
                )
                say(domain, edited.changes or [f"it has {vgpu.name} already"], edited.warnings)
                if dry_run:
                    click.echo(edited.xml)
                elif not live and found.isActive():
                    say(domain, [_NOT_YET.format(name=vgpu.name)])
            if live:
                attach.refuse_second(libvirt, found, as_device(vgpu))
                done = hotplug.plug(libvirt, found, vgpud, as_device(vgpu), vgpu.guard)
                say(domain, done or [f"it runs with {vgpu.name} already"])
