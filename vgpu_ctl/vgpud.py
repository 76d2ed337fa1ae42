"""vgpud: the daemon's command line and composition root."""

from __future__ import annotations

import json
import logging
import signal
import sys
from pathlib import Path

import click

from mediator import hotpath
from mediator.gen9.identity import IDENTITIES
from mediator.softgpu.function import SoftGpuFunction
from mmio_trap.vfio_user.server import Server

SWITCH_INTERVAL_S = 100e-6
"""How long an engine may keep the interpreter while a guest waits at the trap."""


@click.group()
@click.version_option(package_name="vgpu-mediator")
@click.option("-v", "--verbose", is_flag=True, help="Log at DEBUG level.")
def main(verbose: bool) -> None:
    """User-space vGPU mediator for stock QEMU."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@main.command()
@click.option(
    "--socket",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="Unix socket to serve on; created, and removed at the end.",
)
@click.option(
    "--device-id",
    type=click.Choice(sorted(f"{device_id:04x}" for device_id in IDENTITIES)),
    default="5912",
    show_default=True,
    help="PCI device id: 5912 Kaby Lake GT2, 1912 Skylake GT2.",
)
def serve(path: Path, device_id: str) -> None:
    """Serve one software GPU, without mediation, in the foreground.

    Prints "ready PATH" once a client may connect and serves the next client after one leaves.
    When a client leaves, prints "served" and what it did, as JSON.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not hotpath.NATIVE:
        logging.getLogger(__name__).warning(
            "the compiled hot path is missing: using the slower Python twin"
        )
    function = SoftGpuFunction(IDENTITIES[int(device_id, 16)], on_detach=_print_summary)
    server = Server(function, str(path))
    try:
        server.listen()
    except OSError as error:
        raise click.ClickException(f"cannot listen on {path}: {error.strerror}") from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    click.echo(f"ready {path}")
    server.serve_forever()


def _print_summary(summary: dict[str, float]) -> None:
    click.echo(f"served {json.dumps(summary)}")
