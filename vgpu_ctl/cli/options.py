"""Arguments and options that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from vgpu_ctl.cli import candidates

FORMATS = ("table", "wide", "json", "yaml", "csv", "name")
"""What `-o` takes: `vgpu_ctl/cli/output.py` says what each is."""


class Number(click.FloatRange):
    """A number of a range, which nan never is, and inf only where ``endless``."""

    name = "number"

    def __init__(
        self, least: float | None = None, most: float | None = None, *, endless: bool = False
    ) -> None:
        super().__init__(least, most)
        self._endless = endless

    def _describe_range(self) -> str:
        """For the help: click speaks of "x<=None" where there is no bound."""
        return "" if self.min is None and self.max is None else super()._describe_range()

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As click does, but for what compares with nothing."""
        number = super().convert(value, param, ctx)
        if math.isnan(number) or (math.isinf(number) and not self._endless):
            allowed = "a number" if self._endless else "a finite number"
            self.fail(f"{value} is not allowed: {allowed}.", param, ctx)
        return number


F = TypeVar("F", bound=Callable[..., Any])


def format_option(*formats: str) -> Callable[[F], F]:
    """`-o FORMAT`: parameter ``output``; the first is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the output.",
    )


def output_options(function: F) -> F:
    """`-o` with all forms, and `--no-headers`: parameters ``output`` and ``no_headers``."""
    headers = click.option(
        "--no-headers", is_flag=True, help="Leave out the line of titles (table, wide, csv)."
    )
    return format_option(*FORMATS)(headers(function))


vgpu_argument = click.argument("name", metavar="NAME", shell_complete=candidates.vgpus)
"""One vGPU by name or UUID."""
vgpu_arguments = click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=candidates.vgpus
)
"""Several vGPUs by name or UUID."""
force_option = click.option(
    "--force",
    is_flag=True,
    help="Also while a client is attached: its machine loses the GPU for good.",
)
weight_option = click.option(
    "--weight", type=int, metavar="N", help="Share of contended GPU time against the others'."
)
cap_option = click.option(
    "--cap",
    type=Number(),
    metavar="R",
    help="The most it may have of the GPU's time, as 0.5; 1: all.",
)


def libvirt_option(text: str) -> Callable[[F], F]:
    """`--connect URI`, as virsh has it: parameter ``uri``. ``text`` is its help."""
    return click.option(
        "-c",
        "--connect",
        "uri",
        default="qemu:///system",
        show_default=True,
        envvar="LIBVIRT_DEFAULT_URI",
        metavar="URI",
        help=text,
    )


def placement_options(function: F) -> F:
    """What `create` and `define` have in common: the fields of `DefineParams`."""
    for option in (
        click.option("--autostart", is_flag=True, help="Start it whenever vgpud starts."),
        cap_option,
        weight_option,
        click.option(
            "--gpu",
            default="",
            metavar="GPU",
            help="On this GPU; else on one that has room.",
            shell_complete=candidates.gpus,
        ),
        click.option("--uuid", default="", metavar="UUID", help="Its UUID; else a new one."),
        click.option(
            "-t",
            "--type",
            required=True,
            metavar="TYPE",
            shell_complete=candidates.types,
            help="Its type: `vgpuctl types` lists them.",
        ),
        click.argument("name", metavar="NAME"),
    ):
        function = option(function)
    return function
