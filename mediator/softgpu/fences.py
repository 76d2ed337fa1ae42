"""Fences: ranges of the aperture through which the processor sees a tiled surface as a linear one.

Source: PRM SKL vol 5 "Tiling" and FENCE registers; Linux i915 gt/intel_ggtt_fencing.c. Gen9 swaps
no address bits. Only BAR2 passes through fences: the engines name the tiling in their commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.gen9 import blits
from mediator.gen9 import registers as reg
from mediator.gen9.pte import PAGE_SIZE
from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence: GGTT addresses ``start`` up to ``end`` (exclusive), ``pitch`` in bytes."""

    start: int
    end: int
    pitch: int
    tiled_y: bool

    def locate(self, address: int) -> tuple[int, int]:
        """Where the byte at ``address`` lies, and how many from there on lie in a row."""
        y, x = divmod(address - self.start, self.pitch)
        if self.tiled_y:
            width, rows, run = blits.Y_TILE_BYTES, blits.Y_TILE_ROWS, blits.Y_TILE_COLUMN_BYTES
        else:
            width, rows, run = blits.X_TILE_BYTES, blits.X_TILE_ROWS, blits.X_TILE_BYTES
        tile = y // rows * (self.pitch // width) + x // width
        within = x % width // run * (run * rows) + y % rows * run + x % run
        return self.start + tile * PAGE_SIZE + within, run - x % run


def decode(low: int, high: int) -> Fence | None:
    """The fence that a pair of registers describes; None for one that is off or makes no sense."""
    tiled_y = bool(low & reg.FENCE_TILED_Y)
    pitch = (reg.FENCE_PITCH.get(high) + 1) * reg.FENCE_PITCH_UNIT
    fence = Fence(
        reg.FENCE_START.get(low) * PAGE_SIZE,
        (reg.FENCE_END.get(high) + 1) * PAGE_SIZE,
        pitch,
        tiled_y,
    )
    width = blits.Y_TILE_BYTES if tiled_y else blits.X_TILE_BYTES
    if not low & reg.FENCE_VALID or pitch % width or fence.end <= fence.start:
        return None
    return fence


def write_fence(gpu: SoftGpu, register: Register[SoftGpu], _value: int) -> None:
    """FENCE: what the pair of registers says now. i915 turns a fence off before it moves it."""
    number = (register.offset - reg.FENCE_BASE) // reg.FENCE_BYTES
    first = (reg.FENCE_BASE + number * reg.FENCE_BYTES) >> 2
    fence = decode(*gpu.registers.values[first : first + 2])
    others = {n: other for n, other in gpu.fences.items() if n != number}
    # Replaced as a whole: an engine may write the register while the aperture is in use.
    gpu.fences = others if fence is None else {**others, number: fence}


def runs(gpu: SoftGpu, address: int, count: int) -> Iterator[tuple[int, int]]:
    """GGTT address and length of each piece of an access through the aperture."""
    end = address + count
    while address < end:
        length = end - address
        target = address
        for fence in gpu.fences.values():
            if fence.start <= address < fence.end:
                target, together = fence.locate(address)
                length = min(length, together, fence.end - address)
                break
            if address < fence.start:
                length = min(length, fence.start - address)
        yield target, length
        address += length
