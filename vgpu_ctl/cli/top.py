"""`vgpuctl top`."""

from __future__ import annotations

import sys

import click

from vgpu_ctl.cli.connection import socket_path
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import Number
from vgpu_ctl.client import Client

_TIMEOUT_S = 5.0


@click.command("top")
@click.option(
    "--interval",
    type=Number(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two readings.",
)
def command(interval: float) -> None:
    """Watch all vGPUs live.

    SHARE is a vGPU's part of the GPU time of all, ENTITLED what its weight gives it against those
    that compete; RCS to VECS how busy each of its engines is; QUEUE requests that wait or run; WAIT
    from a request's submission to the hardware; KERN/S kernels that ended on the execution units,
    EU the part of the time in which threads ran there. FAULTS and HANGS count since its start.
    Another view has more of kernels: THREADS/S that began, HITS/S kernels whose program was known;
    and, since its start, programs that came into use COMPILED, those of them that were on DISK,
    those UNCOMPILED that the compiler gave up, and INTERPRETED thread groups. Keys: q quits, s
    sorts by something else, v shows the other view.
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise Failure(
            ExitCode.USAGE,
            "top needs a terminal for standard input, output and error",
            hint="`vgpuctl stats` prints the same for programs: `vgpuctl stats --count 0 -o json`",
        )
    from vgpu_ctl.cli.top_app import TopApp

    path = socket_path()
    TopApp(lambda: Client.connect(path, _TIMEOUT_S), interval).run()
