"""`vgpuctl prepare`."""

from __future__ import annotations

import click

from qemu_hooks.cli.domain_options import domain_argument, explained, say, uri_option

_MOST = 16


@click.command("prepare")
@domain_argument
@click.option(
    "--ports",
    type=click.IntRange(0, _MOST),
    default=1,
    show_default=True,
    metavar="N",
    help="How many vGPUs shall fit, besides those of its definition; 0: none any more.",
)
@uri_option
def command(domain: str, ports: int, uri: str) -> None:
    """Have vGPUs fit into a libvirt domain while it runs.

    Changes the domain's definition: memory that can be shared, and root ports with room for a GPU
    behind them, which those that libvirt makes have not. From its next start on `vgpuctl attach
    --live` can plug so many vGPUs in.
    """
    with explained():
        from qemu_hooks import attach
        from qemu_hooks.libvirt_connection import connected

        with connected(uri) as libvirt:
            edited = attach.prepare(libvirt, libvirt.domain(domain), ports)
    say(domain, edited.changes or ["it is prepared already"], edited.warnings)
