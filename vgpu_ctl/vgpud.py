"""vgpud: the daemon's command line and composition root."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
from pathlib import Path

import click

from mediator import hotpath
from mediator.gen9.identity import IDENTITIES
from mediator.softgpu.function import SoftGpuFunction
from mmio_trap.vfio_user.server import Server
from vgpu_ctl.log_limit import LogLimit

_LOG = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 100e-6
"""How long an engine may keep the interpreter while a guest waits at the trap."""


_LONGEST_PATH = 107
"""Bytes in the path of a UNIX socket (sun_path, with its final zero, has 108)."""
_ADVICE = {
    errno.ENOENT: "its directory does not exist: create it first",
    errno.ENOTDIR: "a part of its directory is a file",
    errno.EACCES: "no permission: choose a directory you may write to",
    errno.EPERM: "no permission: choose a directory you may write to",
    errno.EROFS: "its file system is read-only: choose another directory",
    errno.EADDRINUSE: "another server listens there: stop it, or choose another path",
    errno.EEXIST: "something that is no socket is there: remove it, or choose another path",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
}


@click.group()
@click.version_option(package_name="vgpu-mediator")
@click.option("-v", "--verbose", is_flag=True, help="Log at DEBUG level.")
def main(verbose: bool) -> None:
    """User-space vGPU mediator for stock QEMU."""
    handler = logging.StreamHandler(sys.stderr)
    if not verbose:
        handler.addFilter(LogLimit())
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
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
@click.option(
    "--allow-unsealed",
    is_flag=True,
    help="Accept guest memory in files that cannot be sealed against shrinking (hugetlbfs, "
    "/dev/shm). Who truncates such a file kills vgpud.",
)
def serve(path: Path, device_id: str, allow_unsealed: bool) -> None:
    """Serve one software GPU, without mediation, in the foreground.

    Prints "ready PATH" once a client may connect and serves the next client after one leaves.
    When a client leaves, prints "served" and what it did, as JSON.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not hotpath.NATIVE:
        _LOG.warning(
            "the C hot path is not built: the slower Python twin is used, and MI_ATOMIC is not "
            "atomic against the guest's processors"
        )
    function = SoftGpuFunction(IDENTITIES[int(device_id, 16)], on_detach=_print_summary)
    server = Server(function, str(path), require_seal=not allow_unsealed)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    try:
        _listen(server, path)
        click.echo(f"ready {path}")
        server.serve_forever()
    except BrokenPipeError as error:
        raise click.ClickException("standard output is closed: nobody reads it") from error
    finally:
        server.close()


def _listen(server: Server, path: Path) -> None:
    """Create the socket. Raises ClickException that names the path and says what to do."""
    length = len(os.fsencode(path))
    if length > _LONGEST_PATH:
        reason = f"the path has {length} bytes, {_LONGEST_PATH} are allowed: choose a shorter one"
        raise click.ClickException(f"cannot listen on {path}: {reason}")
    try:
        server.listen()
    except OSError as error:
        reason = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise click.ClickException(f"cannot listen on {path}: {reason}") from error


def _print_summary(summary: dict[str, float]) -> None:
    try:
        click.echo(f"served {json.dumps(summary)}")
    except OSError as error:
        _LOG.warning("standard output: %s", error)
