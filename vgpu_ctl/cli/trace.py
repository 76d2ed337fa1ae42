"""`vgpuctl trace`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from vgpu_ctl.api.methods import TraceParams
from vgpu_ctl.cli.chrome_trace import ChromeTrace
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import Number, vgpu_argument
from vgpu_ctl.cli.progress import Progress
from vgpu_ctl.cli.replaced_file import replaced_file

_TICK_S = 0.2
_STDOUT = Path("-")


@click.command("trace")
@vgpu_argument
@click.option(
    "--seconds", type=Number(), default=5.0, show_default=True, metavar="S", help="How long."
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True, readable=False),
    required=True,
    metavar="FILE",
    help="Where the trace goes; - is standard output.",
)
def command(name: str, seconds: float, path: Path) -> None:
    """Record what a vGPU does, for Perfetto or Chrome.

    Requests on each engine, slices of GPU time, traps and interrupts, as a JSON trace that
    ui.perfetto.dev and chrome://tracing open. A file is replaced once the trace is complete.
    """
    with connect() as vgpud, _opened(path) as stream:
        chunks = vgpud.stream("trace", TraceParams(vgpu=name, seconds=seconds), tick_s=_TICK_S)
        trace = ChromeTrace(name)
        dropped = 0
        started = time.monotonic()
        stream.write(trace.head())
        with Progress(f"tracing {name}", seconds) as progress:
            for chunk in chunks:
                if chunk is not None:
                    stream.write(trace.body(chunk.records))
                    dropped = chunk.dropped
                progress.show(time.monotonic() - started)
        stream.write(trace.tail(dropped))
        stream.flush()
    lost = f", {dropped} had no room" if dropped else ""
    click.echo(f"{trace.records} records{lost}", err=True)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, or standard output. Raises Failure where it cannot be written."""
    if path == _STDOUT:
        yield sys.stdout.buffer
        return
    try:
        with replaced_file(path) as stream:
            yield stream
    except OSError as error:
        raise Failure(ExitCode.FAILED, f"cannot write {path}: {error.strerror or error}") from error
