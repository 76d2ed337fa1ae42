"""What definitions may stand beside each other, and what of them may change when. Pure checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from mediator.vgpu.vgpu_type import Kind, VgpuType
from vgpu_ctl.api.messages import ApiError, ErrorCode

if TYPE_CHECKING:
    from vgpu_ctl.host.definition import Definition
    from vgpu_ctl.host.hosted_vgpu import HostedVgpu

_FIXED = frozenset({"name", "type", "gpu"})
"""Fields that cannot change while a vGPU is active."""


def check_beside(definition: Definition, others: Iterable[Definition]) -> None:
    """Raises ApiError EXISTS when one of ``others`` has the name or the UUID."""
    for other in others:
        for field in ("name", "uuid"):
            value = getattr(definition, field)
            if getattr(other, field) == value:
                text = f"{field}: there is a vGPU {value!r} already"
                raise ApiError(ErrorCode.EXISTS, text, field=field)


def check_known(
    definition: Definition,
    types: Mapping[str, VgpuType],
    gpus: Collection[str],
    fields: Collection[str] = ("type", "gpu"),
) -> None:
    """Raises ApiError for a type or a GPU that is not there, or shares of a GPU of one's own.

    ``fields`` are looked at: what a change leaves alone may have gone from the configuration since.
    """
    kind = types.get(definition.type)
    if kind is None and "type" in fields:
        text = f"type: there is no {definition.type!r:.80}: {', '.join(types)}"
        raise ApiError(ErrorCode.INVALID, text, field="type")
    if "gpu" in fields and definition.gpu and definition.gpu not in gpus:
        text = f"gpu: there is no {definition.gpu!r:.80}: {', '.join(gpus) or 'none at all'}"
        raise ApiError(ErrorCode.INVALID, text, field="gpu")
    if (
        kind is not None
        and kind.kind is Kind.PASSTHROUGH
        and (definition.weight or definition.cap != 1)
    ):
        field = "weight" if definition.weight else "cap"
        text = f"{field}: a vGPU of type {kind.name} shares its GPU with nobody"
        raise ApiError(ErrorCode.UNSUPPORTED, text, field=field)


def check_changes(hosted: HostedVgpu, fields: Collection[str]) -> None:
    """Raises ApiError when one of ``fields`` cannot change as ``hosted`` is now."""
    active = hosted.active
    if active is None:
        return
    fixed = sorted(_FIXED.intersection(fields))
    if fixed:
        raise ApiError(
            ErrorCode.BUSY,
            f"{fixed[0]} of {hosted.name} cannot change while it is active",
            field=fixed[0],
            hint=f"stop it first: vgpuctl stop {hosted.name}",
        )


def check_unattached(hosted: HostedVgpu, *, force: bool) -> None:
    """Raises ApiError BUSY while a client is attached or awaited, unless it is to lose its GPU."""
    if hosted.active is None or force:
        return
    client, claim = hosted.active.client, hosted.active.standing_claim
    if client is None and claim is not None:
        raise ApiError(
            ErrorCode.BUSY,
            f"{hosted.name} is claimed by domain {claim.domain!r}, which is about to start",
            field="vgpu",
            hint="wait, or use --force",
        )
    if client is not None:
        raise ApiError(
            ErrorCode.BUSY,
            f"{hosted.name} has a client: {client.command or 'process'} {client.pid}",
            field="vgpu",
            hint="it would lose its GPU for good: power it off, or use --force",
        )
