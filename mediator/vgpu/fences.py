"""Virtual fences: ranges of a guest's aperture that show a tiled surface as a linear one.

A guest reaches the aperture only through traps, and the engines name the tiling in their commands,
so that no fence of a guest ever goes to the hardware: each vGPU has all 32.
Source: PRM SKL vol 5 "Tiling" and FENCE registers; Gen9 swaps no address bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.errors import Reason
from mediator.gen9 import blits
from mediator.gen9 import registers as reg
from mediator.gen9.pte import PAGE_SIZE

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu
    from mmio_trap.register_map import Register


@dataclass(frozen=True, slots=True)
class Tile:
    """How 4096 bytes form a tile: ``width`` bytes by ``rows``, kept in columns of ``run`` bytes."""

    width: int
    rows: int
    run: int


TILE_X = Tile(blits.X_TILE_BYTES, blits.X_TILE_ROWS, blits.X_TILE_BYTES)
TILE_Y = Tile(blits.Y_TILE_BYTES, blits.Y_TILE_ROWS, blits.Y_TILE_COLUMN_BYTES)


@dataclass(frozen=True, slots=True)
class Fence:
    """GGTT addresses ``start`` up to ``end`` (exclusive) in tiles, ``pitch`` bytes a row."""

    start: int
    end: int
    pitch: int
    tile: Tile

    def place(self, address: int) -> tuple[int, int]:
        """Where the byte that is seen at ``address`` lies, and how many follow it there."""
        tile = self.tile
        row, column = divmod(address - self.start, self.pitch)
        down, row = divmod(row, tile.rows)
        across, column = divmod(column, tile.width)
        strip, column = divmod(column, tile.run)
        number = down * (self.pitch // tile.width) + across
        within = strip * tile.run * tile.rows + row * tile.run + column
        return self.start + number * PAGE_SIZE + within, tile.run - column


def decode(low: int, high: int) -> Fence | None:
    """The fence that a pair of registers describes; None for one that is off or has no sense."""
    if not low & reg.FENCE_VALID:
        return None
    start = reg.FENCE_START.get(low) * PAGE_SIZE
    end = (reg.FENCE_END.get(high) + 1) * PAGE_SIZE
    pitch = (reg.FENCE_PITCH.get(high) + 1) * reg.FENCE_PITCH_UNIT
    tile = TILE_Y if low & reg.FENCE_TILED_Y else TILE_X
    return None if end <= start or pitch % tile.width else Fence(start, end, pitch, tile)


def decode_all(values: Sequence[int], count: int = reg.FENCE_COUNT) -> dict[int, Fence]:
    """The first ``count`` fences, those that are on, as register values (by offset >> 2) say."""
    found = {}
    for number in range(count):
        at = (reg.FENCE_BASE + number * reg.FENCE_BYTES) >> 2
        fence = decode(values[at], values[at + 1])
        if fence is not None:
            found[number] = fence
    return found


def write_fence(vgpu: Vgpu, register: Register[Vgpu], _value: int) -> None:
    """FENCE, either dword: what the pair says now is in force."""
    number = (register.offset - reg.FENCE_BASE) // reg.FENCE_BYTES
    at = (reg.FENCE_BASE + number * reg.FENCE_BYTES) >> 2
    fence = decode(vgpu.registers.values[at], vgpu.registers.values[at + 1])
    if fence is not None and number >= vgpu.type.fences:
        vgpu.reject(Reason.REGISTER, f"fence {number}: the vGPU has {vgpu.type.fences}")
        fence = None
    if fence is None:
        vgpu.fences.pop(number, None)
    else:
        vgpu.fences[number] = fence


def runs(fences: Mapping[int, Fence], address: int, count: int) -> Iterator[tuple[int, int]]:
    """GGTT address and length of each piece of an aperture access, in order."""
    end = address + count
    while address < end:
        target, length = address, end - address
        for fence in fences.values():
            if fence.start <= address < fence.end:
                target, together = fence.place(address)
                length = min(length, together, fence.end - address)
                break
            if address < fence.start:
                length = min(length, fence.start - address)
        yield target, length
        address += length
