"""The option `--wait[=SECONDS]`, whose value may be left out, before a vGPU's name too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from vgpu_ctl.cli.options import F

_OPTION = "--wait"
_FOR_EVER = f"{_OPTION}=inf"


class WaitingCommand(click.Command):
    """A verb with `wait_option`: click itself would take the name after `--wait` for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with `--wait` alone made explicit."""
        end = args.index("--") if "--" in args else len(args)
        explicit = [_FOR_EVER if word == _OPTION else word for word in args[:end]]
        return super().parse_args(ctx, explicit + args[end:])


def _checked(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not value >= 0:
        raise click.BadParameter(f"{value:g} seconds: 0 or more are allowed")
    return value


def wait_option(help: str) -> Callable[[F], F]:  # noqa: A002 - click's name
    """`--wait[=SECONDS]`: parameter ``wait``, inf without a number, None without the option."""
    decorate: Any = click.option(
        _OPTION, "wait", type=float, metavar="[=SECONDS]", callback=_checked, help=help
    )
    return decorate  # type: ignore[no-any-return]  # click's decorator, as ours are typed
