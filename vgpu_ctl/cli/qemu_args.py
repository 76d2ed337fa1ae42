"""`vgpuctl qemu-args`."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from vgpu_ctl.api.objects import VgpuInfo, VgpuState
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import format_option, vgpu_argument
from vgpu_ctl.cli.output import emit_data
from vgpu_ctl.cli.qemu_command import device_arguments, memory_arguments, quoted, torn_words


class _Pattern(click.ParamType[str]):
    """Text of one form: anything else could end up as something else in QEMU's hands."""

    def __init__(self, name: str, pattern: str, example: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it is; a usage error for another form."""
        if not self._pattern.fullmatch(str(value)):
            self.fail(f"{value!r}: write it as {self._example}", param, ctx)
        return str(value)


_SIZE = _Pattern("size", r"[1-9][0-9]*[MGT]", "2G or 512M")
_WORD = _Pattern("word", r"[A-Za-z][A-Za-z0-9_.-]*", "pcie.0: letters, digits, . _ -")
_ADDRESS = _Pattern("address", r"(0x)?[0-9A-Fa-f]{1,2}(\.[0-7])?", "5 or 0x5.0")


@click.command("qemu-args")
@vgpu_argument
@click.option(
    "--memory", type=_SIZE, default="2G", show_default=True, metavar="SIZE", help="Guest RAM."
)
@click.option(
    "--no-memory", is_flag=True, help="The device alone: guest RAM is a memfd, shared, already."
)
@click.option("--bus", type=_WORD, metavar="BUS", help="The bus it is on.")
@click.option("--addr", type=_ADDRESS, metavar="ADDR", help="Its slot, and function, on the bus.")
@click.option("--id", "identity", type=_WORD, metavar="ID", help="Its id in QEMU.")
@click.option(
    "--quote/--no-quote",
    default=None,
    help="Quoted for a shell, or plain words. Without: quoted on a terminal.",
)
@format_option("words", "json")
def command(
    name: str,
    memory: str,
    no_memory: bool,
    bus: str | None,
    addr: str | None,
    identity: str | None,
    quote: bool | None,
    output: str,
) -> None:
    """Print the arguments that give a vGPU to a stock QEMU.

    QEMU 10.1 or newer. On a terminal they are quoted for copying; elsewhere a shell may split them:

    \b
      qemu-system-x86_64 -machine q35 -vga none $(vgpuctl qemu-args web) ...
    """
    with connect() as vgpud:
        vgpu = vgpud.show(name)
    arguments = [] if no_memory else memory_arguments(memory)
    arguments += device_arguments(
        _socket(vgpu), identity=identity or "", bus=bus or "", addr=addr or ""
    )
    if output == "json":
        emit_data(arguments, output)
    elif sys.stdout.isatty() if quote is None else quote:
        click.echo(quoted(arguments))
    else:
        click.echo(_plain(arguments))


def _socket(vgpu: VgpuInfo) -> str:
    """Where it is served. Raises Failure unless it is active."""
    if vgpu.state is not VgpuState.ACTIVE or not vgpu.socket:
        raise Failure(
            ExitCode.CONFLICT,
            f"{vgpu.name} is not active and has no socket"
            + (f": {vgpu.error}" if vgpu.error else ""),
            hint=f"start it: `vgpuctl start {vgpu.name}`",
        )
    return vgpu.socket


def _plain(arguments: list[str]) -> str:
    """Words a shell splits right. Raises Failure for those it would not."""
    torn = torn_words(arguments)
    if torn:
        raise Failure(
            ExitCode.FAILED,
            f"a shell would tear this apart: {torn[0]}",
            hint="use --quote and `eval`, or `-o json`; or give vgpud a socket directory without "
            "white space and * ? [ ] \\",
        )
    return " ".join(arguments)
