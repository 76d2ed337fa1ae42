"""`vgpuctl events`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import click

from vgpu_ctl.api.methods import EventsParams
from vgpu_ctl.api.objects import Event, EventKind
from vgpu_ctl.cli import candidates
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import Number, format_option
from vgpu_ctl.cli.output import csv_text, json_line, yaml_text
from vgpu_ctl.printable import escaped

_TICK_S = 0.2
_VGPU_WIDTH, _GPU_WIDTH = 12, 6
"""Enough for most names; the rest of the line moves for others."""
_KIND_WIDTH = max(len(kind.value) for kind in EventKind)
_COLOURS = {
    EventKind.ATTACHED: "green",
    EventKind.HANG: "red",
    EventKind.REJECTION: "red",
    EventKind.ERROR: "red",
    EventKind.RESET: "yellow",
    EventKind.GPU_REMOVED: "yellow",
    EventKind.DROPPED: "yellow",
}


@click.command("events")
@click.argument("name", metavar="[NAME]", default="", shell_complete=candidates.vgpus)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in EventKind]),
    metavar="KIND",
    help="Only of this kind; may be said several times. Without: all but slices.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many events.")
@click.option(
    "--timeout",
    type=Number(0, endless=True),
    default=math.inf,
    metavar="SECONDS",
    help="End after so long: with status 124 if --count was not reached.",
)
@format_option("table", "json", "yaml", "csv")
def command(
    name: str, kinds: tuple[str, ...], count: int | None, timeout: float, output: str
) -> None:
    """Print what happens, as it happens.

    A line for each event from now on, of one vGPU or of all; with `-o json` an object a line.

    \b
    Kinds: defined undefined modified created started stopped attached detached claimed released
           hang reset rejection error slices gpu-added gpu-removed reloaded dropped
    """
    params = EventsParams(vgpu=name, kinds=[EventKind(kind) for kind in kinds])
    seen = 0
    with connect() as vgpud:
        stream = vgpud.stream("events", params, tick_s=min(_TICK_S, timeout))
        for event in _until(stream, time.monotonic() + timeout):
            click.echo(_text(event, output, first=seen == 0), nl=output != "yaml")
            seen += 1
            if seen == count:
                return
    if count is not None:
        raise Failure(ExitCode.TIMED_OUT, f"{seen} of {count} events after {timeout:g} s")


def _until(stream: Iterator[Event | None], end: float) -> Iterator[Event]:
    """The events that come before ``end`` on the monotonic clock."""
    for event in stream:
        if event is not None:
            yield event
        if time.monotonic() >= end:
            return


def _text(event: Event, output: str, *, first: bool) -> str:
    match output:
        case "json":
            return json_line(event)
        case "yaml":
            return yaml_text([event])
        case "csv":
            return csv_text(Event, [event], headers=first)
        case _:
            return _line(event)


def _line(event: Event) -> str:
    """`12:03:04.123  attached  web  gpu0  pid=4711 command=qemu`."""
    moment = time.strftime("%H:%M:%S", time.localtime(event.time))
    clock = click.style(f"{moment}.{int(event.time % 1 * 1000):03d}", fg="bright_black")
    kind = click.style(event.kind.value.ljust(_KIND_WIDTH), fg=_COLOURS.get(event.kind))
    data = " ".join(f"{escaped(key)}={_value(value)}" for key, value in event.data.items())
    vgpu, gpu = escaped(event.vgpu).ljust(_VGPU_WIDTH), escaped(event.gpu).ljust(_GPU_WIDTH)
    return "  ".join((clock, kind, vgpu, gpu, data)).rstrip()


def _value(value: str | float | bool) -> str:
    """As it is, with quotes where a space would tear it apart or a terminal would be steered."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    plain = text.isprintable() and not any(character.isspace() for character in text)
    return text if text and plain else repr(text)
