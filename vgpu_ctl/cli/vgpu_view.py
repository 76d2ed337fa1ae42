"""How a vGPU looks to people: columns of `list`, lines of `show`."""

from __future__ import annotations

from vgpu_ctl.api.objects import ClientInfo, VgpuInfo, VgpuState
from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.units import percent

_COLOURS = {VgpuState.ACTIVE: "green", VgpuState.ERROR: "red", VgpuState.DEFINED: "bright_black"}


def client_text(client: ClientInfo | None) -> str:
    """Who it is: `qemu-system-x86 (4711)`."""
    return f"{client.command or 'process'} ({client.pid})" if client is not None else ""


def _state_colour(vgpu: VgpuInfo) -> str:
    return _COLOURS[vgpu.state]


COLUMNS: tuple[Column[VgpuInfo], ...] = (
    Column("NAME", lambda vgpu: vgpu.name),
    Column("UUID", lambda vgpu: vgpu.uuid, wide=True),
    Column("TYPE", lambda vgpu: vgpu.type),
    Column("STATE", lambda vgpu: vgpu.state.value, colour=_state_colour),
    Column("GPU", lambda vgpu: vgpu.gpu),
    Column("WEIGHT", lambda vgpu: str(vgpu.weight), right=True),
    Column("CAP", lambda vgpu: percent(vgpu.cap) if vgpu.cap < 1 else "", right=True),
    Column("START", lambda vgpu: "auto" if vgpu.autostart else "manual", wide=True),
    Column("KEPT", lambda vgpu: "yes" if vgpu.persistent else "transient", wide=True),
    Column("CLIENT", lambda vgpu: client_text(vgpu.client)),
    Column("DOMAIN", lambda vgpu: vgpu.domain),
    Column("SOCKET", lambda vgpu: vgpu.socket, wide=True),
    Column("ERROR", lambda vgpu: vgpu.error, wide=True, colour=lambda _: "red"),
)
"""`show` has them all."""
