"""The option `--wait[=SECONDS]`, whose value may be left out, before a vGPU's name too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vgpu_ctl.cli.options import F, Number

if TYPE_CHECKING:  # as in `vgpu_ctl/cli/candidates.py`
    from click.shell_completion import CompletionItem

_OPTION = "--wait"
_FOR_EVER = f"{_OPTION}=inf"


class WaitingCommand(click.Command):
    """A verb with `wait_option`: click itself would take the name after `--wait` for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with `--wait` alone made explicit."""
        end = args.index("--") if "--" in args else len(args)
        explicit = [_FOR_EVER if word == _OPTION else word for word in args[:end]]
        return super().parse_args(ctx, explicit + args[end:])


class _WaitOption(click.Option):
    """After `--wait` alone comes a name: what a shell offers there is what the argument is."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As the first argument of the verb does."""
        names = next(each for each in ctx.command.params if isinstance(each, click.Argument))
        return names.shell_complete(ctx, incomplete)


def wait_option(help: str) -> Callable[[F], F]:  # noqa: A002 - click's name
    """`--wait[=SECONDS]`: parameter ``wait``, inf without a number, None without the option."""
    decorate: Any = click.option(
        _OPTION,
        "wait",
        cls=_WaitOption,
        type=Number(0, endless=True),
        metavar="[=SECONDS]",
        help=help,
    )
    return decorate  # type: ignore[no-any-return]  # click's decorator, as ours are typed
