"""`vgpuctl`: the table of verbs, the global options, and how errors end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import KNOWN, Failure, report
from vgpu_ctl.cli.lazy_group import LazyGroup, Verb
from vgpu_ctl.paths import SOCKET_VARIABLE

VERBS: Mapping[str, Mapping[str, Verb]] = {
    "Look": {
        "gpus": Verb("gpus", "List the GPUs of this host."),
        "types": Verb("types", "List what can be created, and how many more of each."),
        "list": Verb("list", "List the vGPUs of this host."),
        "show": Verb("show", "Show one vGPU."),
        "qemu-args": Verb("qemu_args", "Print the arguments that give a vGPU to a stock QEMU."),
    },
    "Change": {
        "create": Verb("create", "Define and start a vGPU."),
        "define": Verb("define", "Keep the definition of a vGPU."),
        "start": Verb("start", "Start defined vGPUs."),
        "stop": Verb("stop", "Stop vGPUs; definitions stay."),
        "destroy": Verb("destroy", "Stop vGPUs and forget their definitions."),
        "undefine": Verb("undefine", "Forget definitions; what is active goes on."),
        "modify": Verb("modify", "Change a vGPU."),
        "reset": Verb("reset", "Reset vGPUs."),
    },
    "Watch": {
        "top": Verb("top", "Watch all vGPUs live."),
        "stats": Verb("stats", "Print what vGPUs have of their GPU, and how long they wait."),
        "events": Verb("events", "Print what happens, as it happens."),
        "wait": Verb("wait", "Wait until a vGPU is in a state."),
        "trace": Verb("trace", "Record what a vGPU does, for Perfetto or Chrome."),
    },
    "Declare": {
        "apply": Verb("apply", "Make this host match a file."),
        "assert": Verb("assert_", "Check whether this host matches a file."),
        "export": Verb("export", "Print this host's vGPUs as such a file."),
    },
    "libvirt": {
        "attach": Verb("qemu_hooks.cli.attach", "Give a vGPU to a libvirt domain."),
        "detach": Verb("qemu_hooks.cli.detach", "Take a vGPU from a libvirt domain."),
        "prepare": Verb(
            "qemu_hooks.cli.prepare", "Have vGPUs fit into a libvirt domain while it runs."
        ),
        "xml": Verb("qemu_hooks.cli.xml", "Print what a domain's XML needs for a vGPU."),
        "install-hooks": Verb(
            "qemu_hooks.cli.install_hooks",
            "Have libvirt ask vgpud when a domain with a vGPU starts.",
        ),
    },
    "Other": {
        "doctor": Verb("doctor", "Check what a vGPU needs, and say what to do."),
        "completion": Verb("completion", "Print the completion script of a shell."),
        "version": Verb("version", "Print the versions of vgpuctl and of vgpud."),
    },
}

_HELP = """Create, watch and steer vGPUs: talks to vgpud on its control socket.

\b
Exit status: 0 done, 1 failed, 2 wrong usage or value, 3 not found, 4 exists or busy,
5 no capacity, 6 no vgpud, 7 no permission, 124 a wait timed out.
"""

vgpuctl = LazyGroup("vgpu_ctl.cli", VERBS, name="vgpuctl", help=_HELP)
vgpuctl.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
vgpuctl.params = [
    click.Option(
        ["--socket"],
        type=click.Path(path_type=Path, readable=False),  # `connect` says it better
        envvar=SOCKET_VARIABLE,
        show_envvar=True,
        metavar="PATH",
        help="The control socket of vgpud; without, the user's own, else the machine's.",
    )
]
click.version_option(package_name="vgpu-mediator", prog_name="vgpuctl")(vgpuctl)


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit status."""
    colour = False if os.environ.get("NO_COLOR") else None
    try:
        status = vgpuctl.main(
            list(arguments), prog_name="vgpuctl", standalone_mode=False, color=colour
        )
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return ExitCode.USAGE
    except KNOWN as error:
        return report(error)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except OSError as error:  # of our output: others are explained where they happen
        from vgpu_ctl.standard_output import give_up

        give_up()
        return report(Failure(ExitCode.FAILED, f"standard output: {error.strerror or error}"))
    return status if isinstance(status, int) else ExitCode.OK


def main() -> None:
    """The entry point. What the encoding of the terminal does not have is a question mark there."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
