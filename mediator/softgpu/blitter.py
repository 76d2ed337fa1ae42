"""The 2D commands: a command's dwords become a rectangle, the rectangle goes to the hot path.

Implements XY_COLOR_BLT, XY_SRC_COPY_BLT and XY_FAST_COPY_BLT on linear, X- and Y-tiled surfaces
(PRM SKL vol 11 "Blitter"). Where the PRM leaves a choice:

* a raster operation that names an operand the command lacks sees zeroes (the source of
  XY_COLOR_BLT, the pattern of XY_SRC_COPY_BLT); an operand it does not name is not read;
* overlapping rectangles are copied as if the source had been read first, when both lie in one
  surface; between surfaces of different pitch or tiling the result is as undefined as it was;
* the coordinates are 16-bit two's complement, and addresses wrap at the end of the space.

Yf and Ys tiling of XY_FAST_COPY_BLT are refused: nothing here makes such surfaces.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from mediator import hotpath
from mediator.gen9 import blits
from mediator.gen9.blits import BLIT_DWORDS, OPCODE, BlitOpcode
from mediator.gen9.pte import PAGE_SIZE
from mediator.hotpath import reference
from mediator.hotpath.interface import Abort, Blit, Space, Surface, Tiling
from mediator.hotpath.raster_ops import SOURCE_COPY, uses_destination, uses_source

_ALL_BITS = 0xFFFF_FFFF
_TILE_SHAPES = {
    Tiling.X: (blits.X_TILE_BYTES, blits.X_TILE_ROWS),
    Tiling.Y: (blits.Y_TILE_BYTES, blits.Y_TILE_ROWS),
}
_PIXEL_BYTES = [blits.DEPTH_BYTES[blits.DEPTH_FLAGS.get(flags)] for flags in range(256)]
"""By the flags byte of XY_COLOR_BLT and XY_SRC_COPY_BLT."""
_OPCODE_MASK = OPCODE.mask
_OPCODES = {OPCODE.put(opcode): opcode for opcode in BlitOpcode}


class CommandError(ValueError):
    """A 2D command that the hardware refuses: it hangs the engine."""


@dataclass(slots=True)
class Rectangle:
    """Pixels ``left <= x < right``, ``top <= y < bottom``; nothing when a side is not positive."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def clipped(self, other: Rectangle) -> Rectangle:
        """What lies in both."""
        return Rectangle(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    @property
    def empty(self) -> bool:
        """No pixel is inside."""
        return self.right <= self.left or self.bottom <= self.top


@dataclass
class BlitStats:
    """What a command did until it ended, in pixels and bytes."""

    pixels: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    rows: int = 0
    """Rows that are done, those of earlier calls included."""
    aborted: bool = False


@dataclass(slots=True)
class _Work:
    """A decoded command. ``target`` is in pixels; ``source_x/y`` is what its left top maps to."""

    target: Rectangle
    clipping: bool
    pixel_bytes: int
    destination: Surface
    rop: int
    pattern: int = 0
    write_mask: int = _ALL_BITS
    source: Surface | None = None
    source_x: int = 0
    source_y: int = 0


def clip_rectangle(command: Sequence[int]) -> Rectangle:
    """The clip rectangle that XY_SETUP_BLT or XY_SETUP_CLIP_BLT sets. Raises CommandError."""
    opcode = _opcode(command)
    at = blits.SETUP_CLIP_DWORDS.get(opcode)
    if at is None:
        raise CommandError(f"{opcode.name} sets no clip rectangle")
    corners = _pack(command[at : at + 2])
    return Rectangle(*blits.CORNERS_LAYOUT.unpack(corners))


def execute_blit(
    command: Sequence[int],
    space: Space,
    control: int,
    abort: Abort,
    clip: Rectangle | None = None,
    first_row: int = 0,
) -> BlitStats:
    """Execute one 2D command.

    ``command`` is the whole command in dwords, ``control`` the low half of BCS_SWCTRL, ``clip``
    what the last XY_SETUP command set (None from power-on: clipped commands then draw nothing).
    ``abort`` is asked before each piece of at most 1 MiB, and True stops the command there; to go
    on, call again with ``first_row``, the ``rows`` of the call before. Raises CommandError for what
    the hardware refuses and PageFault where an access fails; the rows before have then been
    written. The caller is inside ``space.memory.using()``.
    """
    decode = _DECODERS.get(_opcode(command))
    if decode is None:
        raise CommandError(f"{_opcode(command).name} draws nothing")
    work = decode(command, control)
    drawn = work.target.clipped(clip or Rectangle()) if work.clipping else work.target
    if drawn.empty or not work.write_mask:
        return BlitStats()
    job = _job(work, drawn, space.mask)
    _skip(job, first_row)
    draw = reference.blit if space.stale else hotpath.blit  # C walks the tables anew
    done = draw(space, job, abort)
    stats = _stats(job, done, work.pixel_bytes)
    stats.rows = first_row + done
    return stats


def _opcode(command: Sequence[int]) -> BlitOpcode:
    opcode = _OPCODES.get(command[0] & _OPCODE_MASK) if command else None
    if opcode is None:
        raise CommandError("not a 2D command that the blitter knows")
    if len(command) < BLIT_DWORDS[opcode]:
        expected = BLIT_DWORDS[opcode]
        raise CommandError(f"{opcode.name} has {len(command)} dwords, not {expected}")
    return opcode


def _pack(dwords: Sequence[int]) -> bytes:
    return array("I", dwords).tobytes()


def _color(command: Sequence[int], control: int) -> _Work:
    header, pitch, rop, flags, *corners, address, colour = blits.COLOR_LAYOUT.unpack(
        _pack(command[: BLIT_DWORDS[BlitOpcode.XY_COLOR_BLT]])
    )
    size = _PIXEL_BYTES[flags]
    return _Work(
        target=Rectangle(*corners),
        clipping=bool(flags & blits.CLIPPING_FLAG),
        pixel_bytes=size,
        destination=_surface(address, pitch, _destination_tiling(header, control)),
        rop=rop,
        pattern=_replicated(colour, size),
        write_mask=_write_mask(header, size),
    )


def _source_copy(command: Sequence[int], control: int) -> _Work:
    header, pitch, rop, flags, *corners, address, x, y, source_pitch, source_address = (
        blits.COPY_LAYOUT.unpack(_pack(command[: BLIT_DWORDS[BlitOpcode.XY_SRC_COPY_BLT]]))
    )
    size = _PIXEL_BYTES[flags]
    source = None
    if uses_source(rop):
        source = _surface(source_address, source_pitch, _source_tiling(header, control))
    return _Work(
        target=Rectangle(*corners),
        clipping=bool(flags & blits.CLIPPING_FLAG),
        pixel_bytes=size,
        destination=_surface(address, pitch, _destination_tiling(header, control)),
        rop=rop,
        write_mask=_write_mask(header, size),
        source=source,
        source_x=x,
        source_y=y,
    )


def _fast_copy(command: Sequence[int], _control: int) -> _Work:
    header, pitch, _rop, flags, *corners, address, x, y, source_pitch, source_address = (
        blits.COPY_LAYOUT.unpack(_pack(command[: BLIT_DWORDS[BlitOpcode.XY_FAST_COPY_BLT]]))
    )
    depth = blits.FAST_DEPTH_FLAGS.get(flags)
    size = blits.FAST_DEPTH_BYTES.get(depth)
    if size is None:
        raise CommandError(f"XY_FAST_COPY_BLT with depth {depth}")
    tiling = _fast_tiling(
        blits.FAST_DESTINATION_TILING.get(header), flags & blits.FAST_DESTINATION_YF_FLAG
    )
    source_tiling = _fast_tiling(
        blits.FAST_SOURCE_TILING.get(header), flags & blits.FAST_SOURCE_YF_FLAG
    )
    return _Work(
        target=Rectangle(*corners),
        clipping=False,
        pixel_bytes=size,
        destination=_surface(address, pitch, tiling),
        rop=SOURCE_COPY,
        source=_surface(source_address, source_pitch, source_tiling),
        source_x=x,
        source_y=y,
    )


def _fast_tiling(value: int, yf: int) -> Tiling:
    if value == Tiling.Y and yf:
        raise CommandError("XY_FAST_COPY_BLT with Yf tiling")
    try:
        return Tiling(value)
    except ValueError:
        raise CommandError("XY_FAST_COPY_BLT with Ys tiling") from None


def _destination_tiling(header: int, control: int) -> Tiling:
    if not header & blits.DESTINATION_TILED:
        return Tiling.LINEAR
    return Tiling.Y if control & blits.SWCTRL_DESTINATION_Y else Tiling.X


def _source_tiling(header: int, control: int) -> Tiling:
    if not header & blits.SOURCE_TILED:
        return Tiling.LINEAR
    return Tiling.Y if control & blits.SWCTRL_SOURCE_Y else Tiling.X


def _surface(address: int, pitch: int, tiling: Tiling) -> Surface:
    return Surface(address, pitch if tiling is Tiling.LINEAR else 4 * pitch, tiling)


def _replicated(colour: int, pixel_bytes: int) -> int:
    """The dword that repeats a pixel of ``colour``."""
    if pixel_bytes == 4:
        return colour
    return (colour & 0xFFFF) * 0x1_0001 if pixel_bytes == 2 else (colour & 0xFF) * 0x101_0101


def _write_mask(header: int, pixel_bytes: int) -> int:
    if pixel_bytes != 4:
        return _ALL_BITS
    alpha = blits.ALPHA_MASK if header & blits.WRITE_ALPHA else 0
    return alpha | (blits.RGB_MASK if header & blits.WRITE_RGB else 0)


def _job(work: _Work, drawn: Rectangle, mask: int) -> Blit:
    size = work.pixel_bytes
    work.destination.base &= mask
    job = Blit(
        destination=work.destination,
        x=drawn.left * size,
        y=drawn.top,
        width=(drawn.right - drawn.left) * size,
        height=drawn.bottom - drawn.top,
        rop=work.rop,
        pattern=work.pattern,
        write_mask=work.write_mask,
        source=work.source,
    )
    if job.source is None:
        return job
    job.source.base &= mask
    job.source_x = (work.source_x + drawn.left - work.target.left) * size
    job.source_y = work.source_y + drawn.top - work.target.top
    if _overlap(job, job.source, mask):
        job.staged = True
        job.upwards = _upwards(job, job.source, mask)
    return job


def _skip(job: Blit, rows: int) -> None:
    """Leave out the ``rows`` rows that come first in the order of drawing."""
    rows = min(rows, job.height)
    job.height -= rows
    if not job.upwards:
        job.y += rows
        job.source_y += rows


def _stats(job: Blit, rows: int, pixel_bytes: int) -> BlitStats:
    size = job.width * rows
    reads = (job.source is not None) + (uses_destination(job.rop) or job.write_mask != _ALL_BITS)
    return BlitStats(size // pixel_bytes, reads * size, size, aborted=rows < job.height)


def _overlap(job: Blit, source: Surface, mask: int) -> bool:
    """Whether both may touch one byte of a space whose addresses wrap behind ``mask``."""
    low, high = _extent(job.destination, job.x, job.y, job.width, job.height)
    source_low, source_high = _extent(source, job.source_x, job.source_y, job.width, job.height)
    return (source_low - low) & mask < high - low or (low - source_low) & mask < (
        source_high - source_low
    )


def _extent(surface: Surface, x: int, y: int, width: int, height: int) -> tuple[int, int]:
    """First address and the one past the last that the rectangle can touch, unwrapped."""
    if surface.tiling is Tiling.LINEAR:
        step = surface.pitch
        left, right, first, last = x, x + width, y, y + height - 1
    else:
        across, down = _TILE_SHAPES[surface.tiling]
        step = surface.pitch * down
        left, right = x // across * PAGE_SIZE, ((x + width - 1) // across + 1) * PAGE_SIZE
        first, last = y // down, (y + height - 1) // down
    if step < 0:
        first, last = last, first
    return surface.base + first * step + left, surface.base + last * step + right


def _upwards(job: Blit, source: Surface, mask: int) -> bool:
    """Whether the rows must be taken from the last to the first, lest one be overwritten.

    In one tiled surface, too, what comes first in its rows comes first by this sum.
    """
    ahead = job.destination.base + job.y * job.destination.pitch + job.x
    behind = source.base + job.source_y * source.pitch + job.source_x
    is_ahead = 0 < (ahead - behind) & mask <= mask >> 1
    return is_ahead == (source.pitch > 0)


_DECODERS = {
    BlitOpcode.XY_COLOR_BLT: _color,
    BlitOpcode.XY_SRC_COPY_BLT: _source_copy,
    BlitOpcode.XY_FAST_COPY_BLT: _fast_copy,
}
