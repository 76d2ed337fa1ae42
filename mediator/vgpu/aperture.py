"""A guest's accesses to its aperture (BAR2): memory behind its GGTT, as its fences show it.

The vGPU's lock is held; the caller is the thread that changes the memory map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.vgpu.fences import runs
from mediator.vgpu.ggtt import GgttFault

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu


def read(vgpu: Vgpu, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset`` on; all ones where the GGTT leads nowhere."""
    try:
        if not vgpu.fences:  # error capture reads whole buffers in small pieces
            return vgpu.ggtt.read(offset, count)
        return b"".join(vgpu.ggtt.read(*piece) for piece in runs(vgpu.fences, offset, count))
    except GgttFault:
        return b"\xff" * count


def write(vgpu: Vgpu, offset: int, data: bytes) -> None:
    """Write ``data`` up to where the GGTT leads nowhere."""
    at = 0
    try:
        for address, length in runs(vgpu.fences, offset, len(data)):
            vgpu.ggtt.write(address, data[at : at + length])
            at += length
    except GgttFault:
        return
