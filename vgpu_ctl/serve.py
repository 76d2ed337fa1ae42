"""`vgpud serve`: one software GPU in the foreground, for tests and for a quick look; no control.

To one client natively, or shared by vGPUs that are there from the beginning to the end.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from mediator.gen9.identity import IDENTITIES, Identity
from mediator.mediation import Mediation
from mediator.physical.soft import SoftPhysicalGpu
from mediator.softgpu.function import SoftGpuFunction
from mediator.vgpu.metrics import VgpuCounters
from mediator.vgpu.observer import Unobserved
from mediator.vgpu.vgpu import Vgpu
from mmio_trap.device import PciDevice
from mmio_trap.memory_budget import fair_budget
from mmio_trap.vfio_user.server import Server
from vgpu_ctl import standard_output
from vgpu_ctl.ending import has_ended, must_end
from vgpu_ctl.host.vgpu_socket import LONGEST_PATH
from vgpu_ctl.interpreter import prepare_interpreter
from vgpu_ctl.process_limits import prepare_limits
from vgpu_ctl.serve_options import GivenOptions, SharedOptions, shared_options

_LOG = logging.getLogger(__name__)

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
_SHORTAGES = {
    errno.EMFILE: "file descriptors are short: raise `ulimit -Hn`, or serve fewer vGPUs",
    errno.ENFILE: "the machine has no file descriptor left: raise the sysctl fs.file-max",
}
"""Of what every vGPU takes, at the start."""


def serve_gpu(given: GivenOptions, device_id: int, *, require_seal: bool) -> None:
    """Serve until a signal. Raises UsageError and ClickException that name the option."""
    native = given.native_socket()
    shared = None if native else shared_options(given)
    prepare_interpreter()
    _prepare_limits(1 if shared is None else shared.count)
    identity = IDENTITIES[device_id]
    try:
        if shared is not None:
            _serve_shared(shared, identity, require_seal=require_seal)
        elif native is not None:
            function = SoftGpuFunction(identity, on_detach=_print_summary)
            _serve_all({native: function}, require_seal=require_seal)
    except OSError as error:
        if error.errno not in _SHORTAGES:
            raise
        raise click.ClickException(_SHORTAGES[error.errno]) from error
    finally:
        has_ended()


def _serve_shared(options: SharedOptions, identity: Identity, *, require_seal: bool) -> None:
    """Serve the vGPUs of one software GPU until a signal."""

    class Summaries(Unobserved):
        """Counts each client anew, and prints what its vGPU did when it leaves."""

        def attached(self, vgpu: Vgpu) -> None:
            vgpu.counters = VgpuCounters(attaches=1)

        def detached(self, vgpu: Vgpu) -> None:
            _print_summary(vgpu_summary(vgpu, mediation.vgpus))

    mediation = Mediation.evenly(
        SoftPhysicalGpu(identity, options.strictness),
        options.count,
        options.type.name,
        options.policy,
        options.address_space,
        options.ggtt,
        observer=Summaries(),
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
            servers[path] = Server(
                device, str(path), require_seal=require_seal, budget=fair_budget(len(devices))
            )
            stack.callback(servers[path].close)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: _end_all(servers.values()))
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
        except OSError as error:  # of the standard output: nobody reads it, or its disk is full
            standard_output.give_up()
            text = f"standard output: {error.strerror}: nobody can read that it is ready"
            raise click.ClickException(text) from error
        finally:
            _stop_all(servers.values())
            _join_all(threads)


def _prepare_limits(vgpus: int) -> None:
    try:
        prepare_limits(vgpus)
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from error


def _end_all(servers: Iterable[Server]) -> None:
    """A signal has come."""
    must_end()
    _stop_all(servers)


def _stop_all(servers: Iterable[Server]) -> None:
    for server in servers:
        server.stop()


def _join_all(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _listen(server: Server, path: Path) -> None:
    """Create the socket. Raises ClickException that names the path and says what to do."""
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        reason = f"the path has {length} bytes, {LONGEST_PATH} are allowed: choose a shorter one"
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
