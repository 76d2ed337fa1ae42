"""vgpud: the daemon's command line. `run` is the service, `serve` one GPU in the foreground."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from mediator.gen9.identity import IDENTITIES
from mediator.physical.partition import MAX_VGPUS
from mediator.vgpu.vgpu_type import HEAVIEST, TYPES, Kind
from scheduler.policies import POLICIES
from vgpu_ctl import logs, standard_output
from vgpu_ctl.paths import usual_paths
from vgpu_ctl.serve_options import GivenOptions

_LOG = logging.getLogger(__name__)


class _WrongConfig(click.ClickException):
    """Ends as a wrong option does."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vgpu-mediator")
@click.option("-v", "--verbose", is_flag=True, help="Log at DEBUG level.")
@click.pass_context
def main(context: click.Context, verbose: bool) -> None:
    """User-space vGPU mediator for stock QEMU."""
    context.obj = verbose
    logs.configure("debug" if verbose else "info", limit=not verbose)


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; /etc/vgpud/vgpud.toml, or a user's own, without.",
)
@click.option(
    "--runtime-dir",
    type=click.Path(path_type=Path),
    help="Where sockets are; /run/vgpud, or a user's own, without.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where definitions are kept; /var/lib/vgpud, or a user's own, without.",
)
@click.pass_obj
def run(
    verbose: bool, config: Path | None, runtime_dir: Path | None, state_dir: Path | None
) -> None:
    """Run the service that `vgpuctl` controls. Needs no configuration.

    Prints "ready SOCKET" once it can be used. SIGTERM ends it, SIGHUP reads the configuration anew.
    """
    from vgpu_ctl import daemon  # the whole mediator
    from vgpu_ctl.api.messages import ApiError
    from vgpu_ctl.config_file import ConfigError
    from vgpu_ctl.directories import DirectoryError

    usual = usual_paths()
    if config is not None and not config.is_file():
        raise click.UsageError(f"--config: there is no file {config}")
    paths = usual._replace(
        config=usual.config if config is None else config.absolute(),
        runtime=usual.runtime if runtime_dir is None else runtime_dir.absolute(),
        state=usual.state if state_dir is None else state_dir.absolute(),
    )
    try:
        daemon.run(paths, verbose=verbose, ready=lambda info: _say_ready(info.socket))
    except ConfigError as error:
        raise _WrongConfig(str(error)) from error
    except (DirectoryError, daemon.StartError, ApiError) as error:
        raise click.ClickException(str(error)) from error


def _say_ready(socket: str) -> None:
    """Who cannot be told does without: systemd and the socket say it, too."""
    try:
        click.echo(f"ready {socket}")
    except OSError as error:
        _LOG.warning("standard output: %s: nobody reads there that it is ready", error.strerror)
        standard_output.give_up()


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
    type=click.Choice([name for name, kind in TYPES.items() if kind.kind is not Kind.PASSTHROUGH]),
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
    "--strict",
    type=click.IntRange(0),
    metavar="SEED",
    help="Under the vGPUs, a software GPU that behaves as badly as hardware may: for tests.",
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
    help="Accept guest memory in files that their owner can cut off or empty (/dev/shm, huge "
    "pages). Who does that kills vgpud.",
)
def serve(device_id: str, allow_unsealed: bool, **given: Any) -> None:
    """Serve a software GPU in the foreground, to one client or, with --vgpus, shared.

    Prints "ready PATH" once a client may connect and serves the next client after one leaves.
    When a client leaves, prints "served" and what it did, as JSON.
    """
    from vgpu_ctl.serve import serve_gpu  # the whole mediator

    options = GivenOptions(**{**given, "weight": given["weight"] or None})
    serve_gpu(options, int(device_id, 16), require_seal=not allow_unsealed)
