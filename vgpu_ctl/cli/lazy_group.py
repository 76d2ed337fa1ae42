"""A click group whose verbs are imported when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Verb(NamedTuple):
    """One verb: its module has it as ``command``; the help is said again in its docstring.

    A module with a dot is one of another package, by its full name.
    """

    module: str
    help: str


class LazyGroup(click.Group):
    """The verbs of ``sections``: heading, name, verb."""

    def __init__(
        self,
        package: str,
        sections: Mapping[str, Mapping[str, Verb]],
        name: str,
        help: str,  # noqa: A002 - click's name
    ) -> None:
        super().__init__(name=name, help=help)
        self._package = package
        self.sections = sections
        self.verbs = {word: verb for verbs in sections.values() for word, verb in verbs.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported; None: there is no such."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module = verb.module if "." in verb.module else f"{self._package}.{verb.module}"
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does. Raises Failure for an unknown verb, with the one that was meant."""
        word = args[0]
        if word not in self.verbs and not word.startswith("-") and not ctx.resilient_parsing:
            raise Failure(ExitCode.USAGE, f"there is no verb {word!r}", hint=self._advice(word))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        width = max(map(len, self.verbs))
        for heading, verbs in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(word.ljust(width), verb.help) for word, verb in verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs and options, without importing anything."""
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(word, help=verb.help)
            for word, verb in self.verbs.items()
            if word.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def _advice(self, word: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(word, self.verbs, n=1)
        return f"did you mean `{near[0]}`?" if near else "`vgpuctl --help` lists them"
