"""What the verbs on domains have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import click

from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_problem import DomainDenied, DomainMissing, DomainProblem, DomainTimeout
from vgpu_ctl.api.objects import VgpuInfo, VgpuState
from vgpu_ctl.cli import candidates
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.options import F, libvirt_option
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable

_CODES: tuple[tuple[type[DomainProblem], ExitCode], ...] = (
    (DomainMissing, ExitCode.NOT_FOUND),
    (DomainDenied, ExitCode.PERMISSION),
    (DomainTimeout, ExitCode.TIMED_OUT),
)

domain_argument = click.argument("domain", metavar="DOMAIN")
vgpu_argument = click.argument("name", metavar="NAME", shell_complete=candidates.vgpus)
uri_option = libvirt_option("The libvirt.")


def where_options(function: F) -> F:
    """`--live` and `--config`: as virsh has them; without either, `--config`."""
    live = click.option("--live", is_flag=True, help="The domain as it runs, until it ends.")
    config = click.option(
        "--config", is_flag=True, help="Its definition, from its next start on: the default."
    )
    decorated: Callable[[F], F] = live
    return decorated(config(function))


@contextmanager
def explained() -> Iterator[None]:
    """What a domain lacks, as vgpuctl says it. Raises Failure."""
    try:
        yield
    except DomainProblem as problem:
        code = next((code for kind, code in _CODES if isinstance(problem, kind)), ExitCode.FAILED)
        raise Failure(code, problem.message, hint=problem.hint) from problem


@contextmanager
def definition_last(*, live: bool) -> Iterator[None]:
    """The definition follows the domain as it runs; where it cannot, that stays as it is now."""
    try:
        yield
    except DomainProblem as problem:
        if not live:
            raise
        text = f"the domain as it runs was changed, its definition was not: {problem.message}"
        raise type(problem)(text, hint=problem.hint) from problem


@contextmanager
def served(vgpud: Client, vgpu: VgpuInfo) -> Iterator[None]:
    """The vGPU is active, and is again what it was if the block fails."""
    if vgpu.state is VgpuState.ACTIVE:
        yield
        return
    vgpud.start(vgpu.uuid)
    try:
        yield
    except BaseException:
        with suppress(ApiError, DaemonUnreachable):
            vgpud.stop(vgpu.uuid)
        raise
    click.echo(f"started {vgpu.name}", err=True)


def as_device(vgpu: VgpuInfo) -> DomainVgpu:
    """As a domain's XML names it."""
    return DomainVgpu(vgpu.name, vgpu.uuid, vgpu.place)


def reach_of(vgpud: Client, vgpu: VgpuInfo) -> int:
    """Where guest physical addresses end for it; 0: never."""
    return next((t.memory_limit_bytes for t in vgpud.types() if t.name == vgpu.type), 0)


def say(domain: str, changes: Iterable[str] = (), warnings: Iterable[str] = ()) -> None:
    """What was done, on standard error."""
    for change in changes:
        click.echo(f"{domain}: {change}", err=True)
    for warning in warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
