"""`vgpuctl attach`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from qemu_hooks.cli.domain_options import (
    as_device,
    definition_last,
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

if TYPE_CHECKING:
    from qemu_hooks.domain_xml import Edited

_NOT_YET = "the domain runs: it has {name} from its next start on; --live plugs it in now"
_SAVED = (
    "its next start would restore a managed save, which the hook refuses: `virsh "
    "managedsave-remove {domain}`"
)


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
    free root port; with --config too the definition follows once that is done. Says what it
    changed; a vGPU that is not active is started.
    """
    if dry_run and live:
        raise click.UsageError("--dry-run is for the definition.", click.get_current_context())
    with connect() as vgpud, explained():
        from qemu_hooks import attach, hotplug
        from qemu_hooks.libvirt_connection import connected

        with connected(uri) as libvirt:
            found = libvirt.domain(domain)
            attach.refuse_unfit(libvirt, found, live=live)
            vgpu = vgpud.show(name)
            reach = reach_of(vgpud, vgpu)
            if config or not live:
                device, guard = as_device(vgpu), vgpu.guard
                looked_at = attach.attach(libvirt, found, device, guard, reach, write=False)
                if dry_run:
                    _say_edited(domain, vgpu.name, looked_at)
                    click.echo(looked_at.xml)
                    return
            else:
                attach.refuse_second(libvirt, found, as_device(vgpu))
            if live:
                done = hotplug.plug(libvirt, found, vgpud, as_device(vgpu), vgpu.guard)
                say(domain, done or [f"it runs with {vgpu.name} already"])
            if config or not live:
                serving = nullcontext() if live else served(vgpud, vgpu)
                with definition_last(live=live), serving:
                    edited = attach.attach(libvirt, found, device, guard, reach, write=True)
                _say_edited(domain, vgpu.name, edited)
                if libvirt.has_managed_save(found):
                    say(domain, warnings=[_SAVED.format(domain=domain)])
                if not live and found.isActive():
                    say(domain, [_NOT_YET.format(name=vgpu.name)])


def _say_edited(domain: str, name: str, edited: Edited) -> None:
    say(domain, edited.changes or [f"it has {name} already"], edited.warnings)
