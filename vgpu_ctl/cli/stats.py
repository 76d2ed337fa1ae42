"""`vgpuctl stats`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping

import click

from vgpu_ctl.cli import candidates
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import Number, output_options
from vgpu_ctl.cli.output import emit, json_line
from vgpu_ctl.cli.rates import VgpuUsage, usages
from vgpu_ctl.cli.usage_view import RATES, TOTALS


@click.command("stats")
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=candidates.vgpus)
@click.option(
    "--interval",
    type=Number(0.05, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two readings of the counters.",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="How many times; 0: for ever.",
)
@click.option("--total", is_flag=True, help="Since each vGPU's start, without waiting.")
@output_options
def command(
    names: tuple[str, ...], interval: float, count: int, total: bool, output: str, no_headers: bool
) -> None:
    """Print what vGPUs have of their GPU, and how long they wait.

    SHARE is a vGPU's part of the GPU time of all, ENTITLED what its weight gives it against those
    that compete, BUSY how busy the GPU is. QUEUE counts requests that wait or run, WAIT is from a
    request's submission to the hardware. With `-o wide`: KERNELS that ended on the execution units,
    THREADS that began there, EU the time in which they ran, HITS kernels whose program was known,
    programs that came into use COMPILED, those of them that were on DISK, those UNCOMPILED that the
    compiler gave up, INTERPRETED the thread groups that no compiled code ran. With --count,
    `-o json` prints an array a line.
    """
    with connect() as vgpud:
        wanted = {vgpud.show(name).uuid: name for name in names}
        if total:
            found = _chosen(usages(None, vgpud.stats()), wanted)
            emit(VgpuUsage, found, TOTALS, output, headers=not no_headers)
            return
        before = vgpud.stats()
        _chosen(usages(None, before), wanted)
        for turn in range(count) if count else itertools.count():
            time.sleep(interval)
            after = vgpud.stats()
            found = _chosen(usages(before, after), wanted)
            if output == "json" and count != 1:
                click.echo(json_line(found))
            else:
                headers = not no_headers and _titles(output, turn)
                emit(VgpuUsage, found, RATES, output, headers=headers)
            before = after


def _titles(output: str, turn: int) -> bool:
    """Once for CSV, so that it stays one table."""
    return output != "csv" or turn == 0


def _chosen(found: list[VgpuUsage], wanted: Mapping[str, str]) -> list[VgpuUsage]:
    """Those of ``wanted``, or all without; by UUID. Raises Failure for one that is not active."""
    there = {usage.uuid for usage in found}
    for uuid, name in wanted.items():
        if uuid not in there:
            raise Failure(
                ExitCode.CONFLICT,
                f"{name} is not active",
                hint=f"only an active vGPU is counted: `vgpuctl start {name}`",
            )
    return [usage for usage in found if not wanted or usage.uuid in wanted]
