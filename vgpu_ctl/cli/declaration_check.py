"""What of a declaration no host like this one could have, by vgpud's own rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID

import msgspec

from mediator.physical.partition import MIB
from mediator.vgpu.vgpu_type import Kind, VgpuType
from vgpu_ctl.api.messages import ApiError
from vgpu_ctl.api.objects import GpuInfo, TypeInfo, VgpuInfo
from vgpu_ctl.cli.declaration import WantedVgpu
from vgpu_ctl.cli.plan import extras, filled, matched
from vgpu_ctl.host.admission import check_beside, check_known
from vgpu_ctl.host.definition import Definition, checked

_SANE = Definition(uuid=str(UUID(int=0)), name="sane", type="")
"""Has no fault of its own, so that each field's is found beside it."""
_ALONE = ("name", "uuid", "weight", "cap")
"""Fields that are right or wrong whatever the others are."""


def problems(
    current: Sequence[VgpuInfo],
    wanted: Sequence[WantedVgpu],
    types: Iterable[TypeInfo],
    gpus: Iterable[GpuInfo],
    *,
    keep: bool,
) -> list[str]:
    """All that vgpud would refuse in the end, each with its place in the file.

    What a GPU has room for is not among it: that is known when others have given theirs back.
    """
    kinds = {kind.name: _vgpu_type(kind) for kind in types}
    names = [gpu.name for gpu in gpus if gpu.backend]
    found = matched(current, wanted)
    kept = [
        Definition(uuid=vgpu.uuid, name=vgpu.name, type=vgpu.type)
        for vgpu in (extras(current, found, keep=False) if keep else [])
    ]
    return [
        f"vgpus[{index}].{error.message}{_advice(want, now, error.field)}"
        for index, (want, now) in enumerate(found)
        for error in _refusals(want, now, kinds, names, kept)
    ]


def _refusals(
    want: WantedVgpu,
    now: VgpuInfo | None,
    kinds: Mapping[str, VgpuType],
    gpus: list[str],
    kept: list[Definition],
) -> Iterator[ApiError]:
    """What is wrong with one, field by field."""
    wish = want if now is None else filled(want, now)
    given = {
        field: value for field, value in msgspec.structs.asdict(wish).items() if value is not None
    }

    def with_only(*fields: str) -> Definition:
        chosen = {field: given[field] for field in fields if field in given}
        return msgspec.structs.replace(_SANE, **chosen)

    for field in _ALONE:
        yield from _refusal(partial(checked, with_only(field)))
    yield from _refusal(partial(check_beside, with_only("name"), kept))
    shared, placed, new = with_only("type", "weight", "cap"), with_only("gpu"), _new(wish, now)
    yield from _refusal(partial(check_known, shared, kinds, gpus, new & {"type"}))
    yield from _refusal(partial(check_known, placed, kinds, gpus, new & {"gpu"}))


def _new(wish: WantedVgpu, now: VgpuInfo | None) -> set[str]:
    """Which of type and GPU vgpud is asked for: what it has already may be gone from its file."""
    if now is None or not now.persistent or (wish.uuid or "").lower() != now.uuid:
        return {"type", "gpu"}
    there = {"type": now.type, "gpu": now.wanted_gpu}
    return {field for field, value in there.items() if (getattr(wish, field) or "") != value}


def _refusal(check: Callable[[], object]) -> list[ApiError]:
    """What a check raises, or nothing."""
    try:
        check()
    except ApiError as error:
        return [error]
    return []


def _advice(want: WantedVgpu, now: VgpuInfo | None, field: str) -> str:
    """Where the fault is one of the vGPU that is there, what takes it away."""
    if now is None or field not in ("weight", "cap") or getattr(want, field) is not None:
        return ""
    return f", and {now.name} has a {field}: `vgpuctl modify {now.name} --weight type --cap 1`"


def _vgpu_type(kind: TypeInfo) -> VgpuType:
    """A type as vgpud has it, as far as its rules ask."""
    return VgpuType(
        kind.name, Kind(kind.kind), kind.low_bytes // MIB, kind.high_bytes // MIB, kind.weight
    )
