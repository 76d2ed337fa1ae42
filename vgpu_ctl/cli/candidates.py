"""What a shell offers after TAB: names that vgpud knows. Nothing, where none answers quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from vgpu_ctl.cli.connection import socket_path
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable

if TYPE_CHECKING:  # its import costs milliseconds that only completion needs
    from click.shell_completion import CompletionItem

TIMEOUT_S = 0.5
"""Somebody waits at the keyboard."""

Known = Iterable[tuple[str, str]]
"""Names, and what is said beside each."""


def vgpus(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of vGPUs, less those that are on the line already; UUIDs once one is begun."""
    given = context.params.get(parameter.name or "") or ()
    taken = {given} if isinstance(given, str) else set(given)

    def look_up(vgpud: Client) -> Known:
        for vgpu in vgpud.vgpus():
            if not taken & {vgpu.name, vgpu.uuid}:
                yield vgpu.name, f"{vgpu.type}, {vgpu.state.value}"
                if incomplete:
                    yield vgpu.uuid, vgpu.name

    return _matching(context, incomplete, look_up)


def types(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of types, with how many more would fit."""

    def look_up(vgpud: Client) -> Known:
        return [(kind.name, f"{sum(kind.available.values())} more fit") for kind in vgpud.types()]

    return _matching(context, incomplete, look_up)


def gpus(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of GPUs."""

    def look_up(vgpud: Client) -> Known:
        return [(gpu.name, gpu.description) for gpu in vgpud.gpus()]

    return _matching(context, incomplete, look_up)


def _matching(
    context: click.Context, incomplete: str, look_up: Callable[[Client], Known]
) -> list[CompletionItem]:
    """What begins as the word does; a shell's prompt is no place for errors."""
    from click.shell_completion import CompletionItem

    try:
        with Client.connect(socket_path(context), TIMEOUT_S) as vgpud:
            known = list(look_up(vgpud))
    except (ApiError, DaemonUnreachable):
        return []
    return [CompletionItem(name, help=said) for name, said in known if name.startswith(incomplete)]
