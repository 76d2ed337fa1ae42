"""The PVINFO page of a vGPU: tells the guest which part of the GGTT is its own.

A ballooned vGPU has the page, one with a private GGTT does not: there it reads 0 and keeps nothing,
and the guest takes the vGPU for a whole GPU. Notifications are hints that this mediator does
without: page table roots come with each submission; they are checked and counted.
Layout: `gen9/pvinfo.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.errors import Reason
from mediator.gen9 import pvinfo
from mediator.gen9.pvinfo import Caps, Notification
from mediator.physical.partition import APERTURE_SIZE
from mmio_trap.register_map import Access, Register

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu

_SOURCE = "i915 i915_pvinfo.h"
_DWORD = 0xFFFF_FFFF
_CAPS = Caps.FULL_PPGTT | Caps.HWSP_EMULATION | Caps.HUGE_GTT
_NOTIFICATIONS = frozenset(Notification)
_NOWHERE = range(APERTURE_SIZE, APERTURE_SIZE)


def pvinfo_rows() -> list[Register[Vgpu]]:
    """The rows of the page. What has no meaning has no row."""
    return [
        _announced("MAGIC_LO", pvinfo.MAGIC_LO, lambda _: pvinfo.MAGIC & _DWORD),
        _announced("MAGIC_HI", pvinfo.MAGIC_HI, lambda _: pvinfo.MAGIC >> 32),
        _announced("VERSION", pvinfo.VERSION, lambda _: pvinfo.VERSION_1_0),
        _announced("VGT_ID", pvinfo.VGT_ID, lambda vgpu: vgpu.index + 1),
        _announced("CAPS", pvinfo.CAPS, lambda _: int(_CAPS)),
        _announced("MAPPABLE_BASE", pvinfo.MAPPABLE_BASE, lambda vgpu: _low(vgpu).start),
        _announced("MAPPABLE_SIZE", pvinfo.MAPPABLE_SIZE, lambda vgpu: len(_low(vgpu))),
        _announced("NONMAPPABLE_BASE", pvinfo.NONMAPPABLE_BASE, lambda vgpu: _high(vgpu).start),
        _announced("NONMAPPABLE_SIZE", pvinfo.NONMAPPABLE_SIZE, lambda vgpu: len(_high(vgpu))),
        _announced("FENCE_NUM", pvinfo.FENCE_NUM, lambda vgpu: vgpu.type.fences),
        _kept("DISPLAY_READY", pvinfo.DISPLAY_READY),
        *(
            _kept(f"RESERVED[{n}]", pvinfo.RESERVED + 4 * n, write=_write_reserved)
            for n in range(pvinfo.RESERVED_COUNT)
        ),
        _kept("G2V_NOTIFY", pvinfo.G2V_NOTIFY, write=_write_notify),
        _kept("CURSOR_X_HOT", pvinfo.CURSOR_X_HOT, pvinfo.CURSOR_NO_HOTSPOT),
        _kept("CURSOR_Y_HOT", pvinfo.CURSOR_Y_HOT, pvinfo.CURSOR_NO_HOTSPOT),
        *(_kept(f"PDP[{n}]", pvinfo.PDP + 4 * n) for n in range(pvinfo.PDP_DWORDS)),
        _kept("CONTEXT_DESCRIPTOR_LO", pvinfo.CONTEXT_DESCRIPTOR_LO),
        _kept("CONTEXT_DESCRIPTOR_HI", pvinfo.CONTEXT_DESCRIPTOR_HI),
    ]


def _low(vgpu: Vgpu) -> range:
    """GGTT addresses of the slice within the aperture."""
    return vgpu.plan.part[0]


def _high(vgpu: Vgpu) -> range:
    """GGTT addresses of the slice beyond it; empty where a vGPU has none."""
    return vgpu.plan.part[1] if len(vgpu.plan.part) > 1 else _NOWHERE


def _announced(name: str, offset: int, value: Callable[[Vgpu], int]) -> Register[Vgpu]:
    """A field that the mediator fills in."""
    return Register(
        f"PVINFO_{name}",
        offset,
        Access.RO,
        read=lambda vgpu, _row: 0 if vgpu.private_ggtt else value(vgpu),
        source=_SOURCE,
    )


def _kept(
    name: str,
    offset: int,
    reset: int = 0,
    write: Callable[[Vgpu, Register[Vgpu], int], None] | None = None,
) -> Register[Vgpu]:
    """A field that the guest fills in."""
    return Register(f"PVINFO_{name}", offset, Access.RW, reset, _read, write, _SOURCE)


def _read(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    return 0 if vgpu.private_ggtt else vgpu.registers.values[register.offset >> 2]


def _write_notify(vgpu: Vgpu, _register: Register[Vgpu], value: int) -> None:
    """G2V_NOTIFY: count what is known; any other value is refused."""
    if vgpu.private_ggtt:
        return
    if value in _NOTIFICATIONS:
        vgpu.counters.notifications += 1
    else:
        vgpu.reject(Reason.REGISTER, f"PVINFO notification {value:#x}")


def _write_reserved(vgpu: Vgpu, _register: Register[Vgpu], _value: int) -> None:
    """The guest says that its slices are too small for it: worth a line, and nothing else."""
    if not vgpu.private_ggtt:
        vgpu.reject(Reason.REGISTER, "the guest reports by PVINFO that its slices do not suffice")
