"""Surfaces with texels: what their states say, and where a texel lies.

Twin of ``native/surface.c``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mediator.gen9.blits import (
    X_TILE_BYTES,
    X_TILE_ROWS,
    Y_TILE_BYTES,
    Y_TILE_COLUMN_BYTES,
    Y_TILE_ROWS,
)
from mediator.gen9.eu import surface_state as state
from mediator.gen9.eu.formats import FORMATS, Format
from mediator.gen9.eu.surface_state import SurfaceType, TileMode
from mediator.softgpu.eu.messages.memory import ADDRESS_MASK
from mediator.softgpu.eu.messages.message import Message
from mediator.softgpu.eu.messages.target import state_of

TILE_BYTES = 4096
_OFFSETS = (state.X_OFFSET, state.Y_OFFSET)
CUBE_FACES = 6


def minify(size: int, level: int) -> int:
    """A level's size in one direction."""
    return max(1, size >> level if level < 32 else 0)


@dataclass(slots=True)
class Surface:
    """A surface whose texels can be reached. Sizes are of level 0, in texels.

    ``depth``: slices of an array, faces of cubes. ``levels``: how many there are from
    ``first_level`` on.
    """

    format: Format
    base: int
    elements: int
    type: SurfaceType
    tiling: TileMode
    array: bool
    align_x: int
    align_y: int
    qpitch: int
    width: int
    height: int
    depth: int
    pitch: int
    first: int
    extent: int
    x_offset: int
    y_offset: int
    first_level: int
    levels: int
    select: tuple[int, ...]
    minimum_lod: float
    columns: int = 0
    """Of Yf tiles: the bits of an offset in the tile that count bytes of a row."""

    def size(self, direction: int, level: int) -> int:
        """Texels in a direction (0..2) of a level of the view."""
        size = (self.width, self.height, self.depth)[direction]
        return minify(size, level + self.first_level)

    def byte_address(self, x: int, row: int) -> int:
        """GPU address of byte column ``x`` of ``row``."""
        if self.columns:
            return self._yf_address(x, row)
        if self.tiling is TileMode.X:
            band, line = divmod(row, X_TILE_ROWS)
            column, within = divmod(x, X_TILE_BYTES)
            at = band * self.pitch * X_TILE_ROWS + column * TILE_BYTES
            return self.base + at + line * X_TILE_BYTES + within
        if self.tiling is TileMode.Y:
            band, line = divmod(row, Y_TILE_ROWS)
            column, within = divmod(x, Y_TILE_BYTES)
            slab, rest = divmod(within, Y_TILE_COLUMN_BYTES)
            at = band * self.pitch * Y_TILE_ROWS + column * TILE_BYTES
            return self.base + at + (slab * Y_TILE_ROWS + line) * Y_TILE_COLUMN_BYTES + rest
        return self.base + row * self.pitch + x

    def _yf_address(self, x: int, row: int) -> int:
        width = 1 << self.columns.bit_count()
        height = TILE_BYTES // width
        column, within = divmod(x, width)
        band, line = divmod(row, height)
        at = band * self.pitch * height + column * TILE_BYTES
        for bit in range(TILE_BYTES.bit_length() - 1):
            if self.columns >> bit & 1:
                at |= (within & 1) << bit
                within >>= 1
            else:
                at |= (line & 1) << bit
                line >>= 1
        return self.base + at

    def texel_address(self, level: int, x: int, y: int, slice_: int) -> int:
        """GPU address of a texel that is inside; level and slice count within the view."""
        if self.type is SurfaceType.BUFFER:
            return self.base + x * self.pitch
        level += self.first_level
        slice_ += self.first
        if self.type is SurfaceType.D1:
            before = (_align(minify(self.width, n), state.LINE_ALIGNMENT_1D) for n in range(level))
            return self.base + (x + slice_ * self.qpitch + sum(before)) * self.format.size
        column = x + self.x_offset
        row = y + self.y_offset + slice_ * self.qpitch
        for n in range(level):
            if n == 1:
                column += _align(minify(self.width, n), self.align_x)
            else:
                row += _align(minify(self.height, n), self.align_y)
        return self.byte_address(column * self.format.size, row)


def surface_of(message: Message) -> Surface | None:
    """The surface a message names; None when it has no texels that can be reached."""
    at = state_of(message)
    if at is None:
        return None
    return decode([message.memory.load(at + 4 * n, 4) for n in range(state.STATE_DWORDS)])


def decode(dwords: Sequence[int]) -> Surface | None:
    """The surface of a RENDER_SURFACE_STATE; None when it has no texels that can be reached."""
    kind = state.TYPE.get(dwords[0])
    format_ = FORMATS.get(state.FORMAT.get(dwords[0]))
    tiling = TileMode(state.TILE_MODE.get(dwords[0]))
    if kind > SurfaceType.BUFFER or format_ is None or tiling is TileMode.W:
        return None
    if state.SAMPLES.get(dwords[4]):
        return None
    columns = 0
    if state.TILED_RESOURCE.get(dwords[5]):
        columns = _yf_columns(dwords, format_)
        if not columns:
            return None
    last = state.BUFFER_WIDTH.get(dwords[2])
    last |= state.HEIGHT.get(dwords[2]) << state.BUFFER_HEIGHT_SHIFT
    last |= state.DEPTH.get(dwords[3]) << state.BUFFER_DEPTH_SHIFT
    depth = state.DEPTH.get(dwords[3]) + 1
    return Surface(
        format=format_,
        base=(dwords[state.BASE] | dwords[state.BASE + 1] << 32) & ADDRESS_MASK,
        elements=last + 1,
        type=SurfaceType(kind),
        tiling=tiling,
        array=bool(state.ARRAY.get(dwords[0])),
        align_x=2 << state.HORIZONTAL_ALIGNMENT.get(dwords[0]),
        align_y=2 << state.VERTICAL_ALIGNMENT.get(dwords[0]),
        qpitch=state.QPITCH.get(dwords[1]) * 4,
        width=state.WIDTH.get(dwords[2]) + 1,
        height=state.HEIGHT.get(dwords[2]) + 1,
        depth=depth * CUBE_FACES if kind == SurfaceType.CUBE else depth,
        pitch=state.PITCH.get(dwords[3]) + 1,
        first=state.MINIMUM_ELEMENT.get(dwords[4]),
        extent=state.VIEW_EXTENT.get(dwords[4]) + 1,
        x_offset=state.X_OFFSET.get(dwords[5]) * 4,
        y_offset=state.Y_OFFSET.get(dwords[5]) * 4,
        first_level=state.MINIMUM_LEVEL.get(dwords[5]),
        levels=state.LEVELS.get(dwords[5]) + 1,
        select=tuple(each.get(dwords[7]) for each in state.SELECT),
        minimum_lod=state.MINIMUM_LOD.get(dwords[7]) / 256,
        columns=columns,
    )


def _yf_columns(dwords: Sequence[int], format_: Format) -> int:
    """`Surface.columns` of a plain surface in Yf tiles: two dimensions, one level, at its origin;
    0 of others."""
    word = dwords[5]
    if state.TILED_RESOURCE.get(word) != state.YF_TILES or not state.MIP_TAIL.get(word):
        return 0
    if state.TYPE.get(dwords[0]) != SurfaceType.D2:
        return 0
    if state.TILE_MODE.get(dwords[0]) != TileMode.Y:
        return 0
    if any(each.get(word) for each in (state.LEVELS, state.MINIMUM_LEVEL, *_OFFSETS)):
        return 0
    return state.YF_COLUMNS.get(format_.size, 0)


def _align(value: int, to: int) -> int:
    return -(-value // to) * to
