"""`vgpuctl completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

_ADVICE = {
    "bash": "vgpuctl completion bash > ~/.local/share/bash-completion/completions/vgpuctl",
    "zsh": "vgpuctl completion zsh > ~/.zfunc/_vgpuctl     (a directory of $fpath)",
    "fish": "vgpuctl completion fish > ~/.config/fish/completions/vgpuctl.fish",
}


@click.command("completion", epilog="\b\n" + "\n".join(_ADVICE.values()))
@click.argument("shell", type=click.Choice(list(_ADVICE)))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    It completes verbs, options, and the names of vGPUs, types and GPUs, for which it asks vgpud.
    """
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    # not kind.source(): bash's runs bash and complains on old ones, which this need not
    script = ShellComplete.source(kind(root, {}, "vgpuctl", "_VGPUCTL_COMPLETE"))
    click.echo(script)
