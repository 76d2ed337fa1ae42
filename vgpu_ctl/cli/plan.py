"""How a host differs from a declaration, and the steps that make it match. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from vgpu_ctl.api.objects import ClientInfo, VgpuInfo, VgpuState
from vgpu_ctl.cli.declaration import WantedVgpu

_LIVE = ("weight", "cap", "autostart")
"""Can be changed while a vGPU is active."""
_FIELDS = ("name", "type", "gpu", *_LIVE)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    vgpu: str
    field: str
    """Empty: the vGPU itself, which is missing or too many."""
    now: str | int | float | bool | None
    wanted: str | int | float | bool | None

    def __str__(self) -> str:
        """For people."""
        if not self.field:
            return f"{self.vgpu}: {'not there' if self.wanted else 'not in the file'}"
        return f"{self.vgpu}: {self.field} is {_plain(self.now)}, not {_plain(self.wanted)}"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One request to vgpud."""

    action: str
    """A method: `create`, `define`, `modify`, `start`, `stop` or `destroy`."""
    name: str
    """What the file or the host calls the vGPU; steps with the same one depend on each other."""
    vgpu: str = ""
    """UUID of a vGPU that is there."""
    params: dict[str, Any] = {}
    reason: str = ""
    client: ClientInfo | None = None
    """Who would lose its GPU."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.action} {self.name}" + (f": {self.reason}" if self.reason else "")


def differences(
    current: Sequence[VgpuInfo], wanted: Sequence[WantedVgpu], *, keep: bool
) -> list[Difference]:
    """What is not as wanted; ``keep``: vGPUs may be there that are not in the file."""
    found: list[Difference] = []
    pairs = matched(current, wanted)
    for want, now in pairs:
        if now is None:
            found.append(Difference(vgpu=want.name, field="", now=None, wanted=want.type))
            continue
        changes = _changes(now, want)
        found += [
            Difference(vgpu=want.name, field=field, now=_now(now, want, field), wanted=value)
            for field, value in changes.items()
        ]
        state = VgpuState.ACTIVE if want.active else VgpuState.DEFINED
        if now.state is not state:
            found.append(
                Difference(vgpu=want.name, field="state", now=now.state.value, wanted=state.value)
            )
    found += [
        Difference(vgpu=extra.name, field="", now=extra.type, wanted=None)
        for extra in extras(current, pairs, keep=keep)
    ]
    return found


def plan(current: Sequence[VgpuInfo], wanted: Sequence[WantedVgpu], *, keep: bool) -> list[Step]:
    """The steps, in an order in which what one gives back is there for the next.

    vGPUs that are not in the file are destroyed, unless ``keep``.
    """
    pairs = matched(current, wanted)
    steps = [
        Step(
            action="destroy",
            name=extra.name,
            vgpu=extra.uuid,
            reason="it is not in the file",
            client=extra.client,
        )
        for extra in extras(current, pairs, keep=keep)
    ]
    for want, now in pairs:
        steps += _new(want) if now is None else _changed(now, want)
    order = ("destroy", "stop", "modify", "define", "create", "start")
    return sorted(steps, key=lambda step: order.index(step.action))


def _new(want: WantedVgpu) -> list[Step]:
    given = msgspec.structs.asdict(want)
    active = given.pop("active")
    params = {field: value for field, value in given.items() if value is not None}
    reason = ", ".join(f"{k} {_plain(v)}" for k, v in params.items() if k not in ("name", "uuid"))
    action = "create" if active else "define"
    return [Step(action=action, name=want.name, params=params, reason=reason)]


def _changed(now: VgpuInfo, want: WantedVgpu) -> Iterator[Step]:
    changes = _changes(now, want)
    reason = ", ".join(
        f"{field} {_plain(_now(now, want, field))} -> {_plain(value)}"
        for field, value in changes.items()
    )
    down = not want.active or any(field not in _LIVE for field in changes)
    must_stop = now.state is not VgpuState.DEFINED and down
    if (must_stop and not now.persistent) or "uuid" in changes:
        yield Step(
            action="destroy",
            name=want.name,
            vgpu=now.uuid,
            reason=reason or "it is transient, and the file wants a definition",
            client=now.client,
        )
        yield from _new(filled(want, now))
        return
    if must_stop:
        yield Step(
            action="stop",
            name=want.name,
            vgpu=now.uuid,
            reason=reason if want.active else "the file wants it defined only",
            client=now.client,
        )
    if must_stop and want.gpu not in (None, now.wanted_gpu):
        changes["gpu"] = want.gpu  # else it need not come back there
        reason = reason or f"gpu {_plain(want.gpu)}"
    if "type" in changes and want.weight is not None:
        changes["weight"] = want.weight  # else it would become that of the new type
    if changes:
        yield Step(action="modify", name=want.name, vgpu=now.uuid, params=changes, reason=reason)
    if want.active and (must_stop or now.state is not VgpuState.ACTIVE):
        yield Step(action="start", name=want.name, vgpu=now.uuid)


def filled(want: WantedVgpu, now: VgpuInfo) -> WantedVgpu:
    """What is wanted, and otherwise what was defined."""
    defined = {
        "uuid": now.uuid,
        "gpu": now.wanted_gpu or None,
        "weight": now.own_weight,
        "cap": now.cap,
        "autostart": now.autostart,
    }
    kept = {field: value for field, value in defined.items() if getattr(want, field) is None}
    return msgspec.structs.replace(want, **kept)


def _changes(now: VgpuInfo, want: WantedVgpu) -> dict[str, Any]:
    """Fields that the file names, and that are different."""
    changes = {
        field: getattr(want, field)
        for field in _FIELDS
        if getattr(want, field) not in (None, _now(now, want, field))
    }
    if want.uuid is not None and want.uuid.lower() != now.uuid.lower():
        changes["uuid"] = want.uuid
    return changes


def _now(now: VgpuInfo, want: WantedVgpu, field: str) -> Any:
    """What a field of ``want`` is compared with: for a GPU where it is, for any what may be."""
    return getattr(now, "wanted_gpu" if field == "gpu" and want.gpu == "" else field)


def matched(
    current: Sequence[VgpuInfo], wanted: Iterable[WantedVgpu]
) -> list[tuple[WantedVgpu, VgpuInfo | None]]:
    """What is wanted, each with the vGPU that it speaks of: by UUID, else by name."""
    by_uuid = {vgpu.uuid.lower(): vgpu for vgpu in current}
    claimed = {want.uuid.lower() for want in wanted if want.uuid is not None}
    by_name = {vgpu.name: vgpu for vgpu in current if vgpu.uuid.lower() not in claimed}
    return [
        (want, by_uuid.get((want.uuid or "").lower()) or by_name.get(want.name)) for want in wanted
    ]


def extras(
    current: Iterable[VgpuInfo],
    pairs: Iterable[tuple[WantedVgpu, VgpuInfo | None]],
    *,
    keep: bool,
) -> list[VgpuInfo]:
    """What the file does not speak of."""
    meant = {now.uuid for _, now in pairs if now is not None}
    return [] if keep else [vgpu for vgpu in current if vgpu.uuid not in meant]


def _plain(value: str | float | bool | None) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case None | "":
            return "none"
        case _:
            return str(value)
