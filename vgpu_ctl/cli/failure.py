"""What went wrong, for a person: `error: ...`, where there is advice `hint: ...`, and a status."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from vgpu_ctl.api.messages import ApiError
from vgpu_ctl.cli.exit_codes import EXIT_CODES, ExitCode
from vgpu_ctl.client import DaemonUnreachable
from vgpu_ctl.printable import escaped


class Failure(click.ClickException):
    """`vgpuctl` cannot do what it was asked for."""

    def __init__(self, code: ExitCode, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


KNOWN = (ApiError, DaemonUnreachable, click.ClickException)
"""What `report` can explain; anything else is a mistake of ours."""


def report(error: ApiError | DaemonUnreachable | click.ClickException, about: str = "") -> ExitCode:
    """Say on standard error what went wrong, ``about`` which thing; the status it is worth."""
    code, *texts = _explain(error)
    message, hint = (escaped(text, "\n") for text in texts)
    start = click.style("error:", fg="red", bold=True)
    subject = "" if about in message else f"{about}: "
    click.echo(f"{start} {subject}{message}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {hint}", err=True)
    return code


def for_each(names: Iterable[str], act: Callable[[str], None]) -> None:
    """Do something for each of several vGPUs, also after one failed.

    Ends the program with the first failure's status. A vgpud that went away ends it at once.
    """
    first = ExitCode.OK
    for name in dict.fromkeys(names):
        try:
            act(name)
        except (ApiError, Failure) as error:
            code = report(error, name)
            first = first or code
    if first:
        raise click.exceptions.Exit(first)


def _explain(
    error: ApiError | DaemonUnreachable | click.ClickException,
) -> tuple[ExitCode, str, str]:
    """Status, message and hint."""
    match error:
        case ApiError():
            named = error.field in ("vgpu", "") or error.field in error.message
            place = "" if named else f" ({error.field})"
            return EXIT_CODES[error.code], error.message + place, error.hint
        case DaemonUnreachable():
            code = ExitCode.PERMISSION if error.denied else ExitCode.UNREACHABLE
            return code, str(error), error.hint
        case click.UsageError():
            path = error.ctx.command_path if error.ctx is not None else "vgpuctl"
            return ExitCode.USAGE, error.format_message(), f"`{path} --help` says what is allowed"
        case Failure():
            return error.code, error.message, error.hint
        case _:
            return ExitCode.FAILED, error.format_message(), ""
