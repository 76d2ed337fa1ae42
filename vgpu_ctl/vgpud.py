"""vgpud: the daemon's command line and composition root."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from mediator import hotpath
from mediator.gen9.identity import IDENTITIES, Identity
from mediator.mediation import Mediation
from mediator.physical.partition import MAX_VGPUS
from mediator.physical.soft import SoftPhysicalGpu
from mediator.softgpu.function import SoftGpuFunction
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import TYPES
from mmio_trap.device import PciDevice
from mmio_trap.vfio_user.server import Server
from scheduler.policies import POLICIES
from vgpu_ctl.log_limit import LogLimit
from vgpu_ctl.serve_options import HEAVIEST, GivenOptions, SharedOptions, shared_options

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
    type=click.Path(path_type=Path),
    help="Serve one GPU without mediation on this Unix socket; created, and removed at the end.",
)
@click.option(
    "--vgpus",
    type=click.IntRange(1, MAX_VGPUS),
    help="Share the GPU among this many vGPUs.",
)
@click.option(
    "--socket-dir",
    type=click.Path(path_type=Path),
    help="Where the Unix sockets of the vGPUs go: vgpu0, vgpu1, and so on.",
)
@click.option(
    "--type",
    type=click.Choice(sorted(TYPES, key=lambda name: TYPES[name].most)),
    help="Size and weight of the vGPUs; the largest of which enough fit, without.",
)
@click.option(
    "--policy",
    type=click.Choice(sorted(POLICIES)),
    help="Who runs next; timeslice, without.",
)
@click.option(
    "--slice-ms",
    type=click.FloatRange(0.5, 1000.0),
    help="Length of a time slice; 16, without.",
)
@click.option(
    "--weight",
    type=click.IntRange(1, HEAVIEST),
    multiple=True,
    help="Share of GPU time against the others, once for each vGPU; the type's, without.",
)
@click.option(
    "--address-space",
    type=click.Choice(["shadow", "direct"]),
    help="Guest page tables are shadowed, or used as they are; shadow, without.",
)
@click.option(
    "--ggtt",
    type=click.Choice(["ballooned", "private"]),
    help="Each vGPU has a part of the global GTT, or all of it in its turn; ballooned, without.",
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
def serve(device_id: str, allow_unsealed: bool, **given: Any) -> None:
    """Serve a software GPU in the foreground, to one client or, with --vgpus, shared.

    Prints "ready PATH" once a client may connect and serves the next client after one leaves.
    When a client leaves, prints "served" and what it did, as JSON.
    """
    options = GivenOptions(**{**given, "weight": given["weight"] or None})
    native = options.native_socket()
    shared = None if native else shared_options(options)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not hotpath.NATIVE:
        _LOG.warning(
            "the C hot path is not built: the slower Python twin is used, and MI_ATOMIC is not "
            "atomic against the guest's processors"
        )
    identity = IDENTITIES[int(device_id, 16)]
    if shared is not None:
        _serve_shared(shared, identity, require_seal=not allow_unsealed)
    elif native is not None:
        function = SoftGpuFunction(identity, on_detach=_print_summary)
        _serve_all({native: function}, require_seal=not allow_unsealed)


def _serve_shared(options: SharedOptions, identity: Identity, *, require_seal: bool) -> None:
    """Serve the vGPUs of one software GPU until a signal."""

    def print_summary(left: Vgpu) -> None:
        _print_summary(vgpu_summary(left, mediation.vgpus))

    mediation = Mediation(
        SoftPhysicalGpu(identity),
        options.count,
        options.type.name,
        options.policy,
        options.address_space,
        options.ggtt,
        on_detach=print_summary,
        weights=options.weights,
    )
    mediation.start()
    try:
        devices: dict[Path, PciDevice] = dict(zip(options.paths, mediation.vgpus, strict=True))
        _serve_all(devices, require_seal=require_seal)
    finally:
        mediation.stop()


def vgpu_summary(vgpu: Vgpu, all_vgpus: Sequence[Vgpu]) -> dict[str, Any]:
    """What a vGPU did for its client, and its share of the GPU time of all present clients'."""
    total_ns = sum(other.counters.gpu_ns for other in all_vgpus)
    share = vgpu.counters.gpu_ns / total_ns if total_ns else 0.0
    return {
        "name": vgpu.name,
        "type": vgpu.type.name,
        "weight": vgpu.weight,
        "share": round(share, 4),
        **vgpu.counters.to_summary(),
    }


def _serve_all(devices: Mapping[Path, PciDevice], *, require_seal: bool) -> None:
    """Serve each device on its socket until a signal; a thread each."""
    with ExitStack() as stack:
        servers = {}
        for path, device in devices.items():
            servers[path] = Server(device, str(path), require_seal=require_seal)
            stack.callback(servers[path].close)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: _stop_all(servers.values()))
        for path, server in servers.items():
            _listen(server, path)
        threads = [
            threading.Thread(target=server.serve_forever, name=f"accept {path}")
            for path, server in servers.items()
        ]
        for thread in threads:
            thread.start()
        try:
            for path in servers:
                click.echo(f"ready {path}")
            _join_all(threads)
        except BrokenPipeError as error:
            raise click.ClickException("standard output is closed: nobody reads it") from error
        finally:
            _stop_all(servers.values())
            _join_all(threads)


def _stop_all(servers: Iterable[Server]) -> None:
    for server in servers:
        server.stop()


def _join_all(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


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


def _print_summary(summary: Mapping[str, Any]) -> None:
    try:
        click.echo(f"served {json.dumps(summary)}")
    except OSError as error:
        _LOG.warning("standard output: %s", error)
