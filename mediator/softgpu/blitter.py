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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mediator import hotpath
from mediator.gen9 import blits
from mediator.gen9.blits import BLIT_DWORDS, OPCODE_0, PITCH, BlitOpcode, X, Y
from mediator.gen9.pte import PAGE_SIZE
from mediator.hotpath.interface import Blit, Space, Surface, Tiling
from mediator.hotpath.raster_ops import SOURCE_COPY, uses_destination, uses_source

BAND_BYTES = 1 << 20
BAND_ROWS = 1024
"""What one call of the hot path moves at most; between two calls ``abort`` is asked."""

_ALL_BITS = 0xFFFF_FFFF


class CommandError(ValueError):
    """A 2D command that the hardware refuses: it hangs the engine."""


@dataclass(frozen=True, slots=True)
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
    aborted: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """A decoded command. ``target`` is in pixels; ``source_x/y`` is what its left top maps to."""

    target: Rectangle
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
    return _rectangle(command[at], command[at + 1])


def execute_blit(
    command: Sequence[int],
    space: Space,
    control: int,
    abort: Callable[[], bool],
    clip: Rectangle = Rectangle(),
) -> BlitStats:
    """Execute one 2D command.

    ``command`` is the whole command in dwords, ``control`` the low half of BCS_SWCTRL, ``clip``
    what the last XY_SETUP command set (empty from power-on: clipped commands then draw nothing).
    ``abort`` is asked before each piece of at most 1 MiB, and True stops the command there. Raises
    CommandError for what the hardware refuses and PageFault where an access fails; the rows before
    have then been written. The caller is inside ``space.memory.using()``.
    """
    opcode = _opcode(command)
    match opcode:
        case BlitOpcode.XY_COLOR_BLT:
            work = _color(command, control)
        case BlitOpcode.XY_SRC_COPY_BLT:
            work = _source_copy(command, control)
        case BlitOpcode.XY_FAST_COPY_BLT:
            work = _fast_copy(command)
        case _:
            raise CommandError(f"{opcode.name} draws nothing")
    clipping = opcode is not BlitOpcode.XY_FAST_COPY_BLT and command[1] & blits.CLIPPING_1
    drawn = work.target.clipped(clip) if clipping else work.target
    if drawn.empty or not work.write_mask:
        return BlitStats()
    return _run(_job(work, drawn, space.mask), work.pixel_bytes, space, abort)


def _opcode(command: Sequence[int]) -> BlitOpcode:
    try:
        opcode = BlitOpcode(OPCODE_0.get(command[0]))
    except (IndexError, ValueError):
        raise CommandError("not a 2D command that the blitter knows") from None
    if len(command) < BLIT_DWORDS[opcode]:
        expected = BLIT_DWORDS[opcode]
        raise CommandError(f"{opcode.name} has {len(command)} dwords, not {expected}")
    return opcode


def _rectangle(first: int, second: int) -> Rectangle:
    return Rectangle(X.signed(first), Y.signed(first), X.signed(second), Y.signed(second))


def _color(command: Sequence[int], control: int) -> _Work:
    size = blits.DEPTH_BYTES[blits.DEPTH_1.get(command[1])]
    colour = command[6]
    pattern = {1: (colour & 0xFF) * 0x0101_0101, 2: (colour & 0xFFFF) * 0x1_0001, 4: colour}[size]
    return _Work(
        target=_rectangle(command[2], command[3]),
        pixel_bytes=size,
        destination=_destination(command, control),
        rop=blits.RASTER_OPERATION_1.get(command[1]),
        pattern=pattern,
        write_mask=_write_mask(command[0], size),
    )


def _source_copy(command: Sequence[int], control: int) -> _Work:
    size = blits.DEPTH_BYTES[blits.DEPTH_1.get(command[1])]
    rop = blits.RASTER_OPERATION_1.get(command[1])
    tiling = Tiling.LINEAR
    if command[0] & blits.SOURCE_TILED_0:
        tiling = Tiling.Y if control & blits.SWCTRL_SOURCE_Y else Tiling.X
    return _Work(
        target=_rectangle(command[2], command[3]),
        pixel_bytes=size,
        destination=_destination(command, control),
        rop=rop,
        write_mask=_write_mask(command[0], size),
        source=_surface(command, 8, command[7], tiling) if uses_source(rop) else None,
        source_x=X.signed(command[6]),
        source_y=Y.signed(command[6]),
    )


def _fast_copy(command: Sequence[int]) -> _Work:
    header, flags = command[0], command[1]
    size = blits.FAST_DEPTH_BYTES.get(blits.FAST_DEPTH_1.get(flags))
    if size is None:
        raise CommandError(f"XY_FAST_COPY_BLT with depth {blits.FAST_DEPTH_1.get(flags)}")
    source = _fast_tiling(blits.FAST_SOURCE_TILING_0.get(header), flags & blits.FAST_SOURCE_YF_1)
    destination = _fast_tiling(
        blits.FAST_DESTINATION_TILING_0.get(header), flags & blits.FAST_DESTINATION_YF_1
    )
    return _Work(
        target=_rectangle(command[2], command[3]),
        pixel_bytes=size,
        destination=_surface(command, 4, flags, destination),
        rop=SOURCE_COPY,
        source=_surface(command, 8, command[7], source),
        source_x=X.signed(command[6]),
        source_y=Y.signed(command[6]),
    )


def _fast_tiling(value: int, yf: int) -> Tiling:
    if value == Tiling.Y and yf:
        raise CommandError("XY_FAST_COPY_BLT with Yf tiling")
    try:
        return Tiling(value)
    except ValueError:
        raise CommandError("XY_FAST_COPY_BLT with Ys tiling") from None


def _destination(command: Sequence[int], control: int) -> Surface:
    tiling = Tiling.LINEAR
    if command[0] & blits.DESTINATION_TILED_0:
        tiling = Tiling.Y if control & blits.SWCTRL_DESTINATION_Y else Tiling.X
    return _surface(command, 4, command[1], tiling)


def _surface(command: Sequence[int], address_at: int, pitch: int, tiling: Tiling) -> Surface:
    base = command[address_at] | command[address_at + 1] << 32
    unit = 1 if tiling is Tiling.LINEAR else 4
    return Surface(base, PITCH.signed(pitch) * unit, tiling)


def _write_mask(header: int, pixel_bytes: int) -> int:
    if pixel_bytes != 4:
        return _ALL_BITS
    alpha = blits.ALPHA_MASK if header & blits.WRITE_ALPHA_0 else 0
    return alpha | (blits.RGB_MASK if header & blits.WRITE_RGB_0 else 0)


def _job(work: _Work, drawn: Rectangle, mask: int) -> Blit:
    size = work.pixel_bytes
    job = Blit(
        destination=replace(work.destination, base=work.destination.base & mask),
        x=drawn.left * size,
        y=drawn.top,
        width=(drawn.right - drawn.left) * size,
        height=drawn.bottom - drawn.top,
        rop=work.rop,
        pattern=work.pattern,
        write_mask=work.write_mask,
    )
    if work.source is None:
        return job
    source = replace(work.source, base=work.source.base & mask)
    job = replace(
        job,
        source=source,
        source_x=(work.source_x + drawn.left - work.target.left) * size,
        source_y=work.source_y + drawn.top - work.target.top,
    )
    if not _overlap(job, source):
        return job
    return replace(job, staged=True, upwards=_upwards(job, source))


def _overlap(job: Blit, source: Surface) -> bool:
    low, high = _extent(job.destination, job.x, job.y, job.width, job.height)
    source_low, source_high = _extent(source, job.source_x, job.source_y, job.width, job.height)
    return low < source_high and source_low < high


def _extent(surface: Surface, x: int, y: int, width: int, height: int) -> tuple[int, int]:
    """First address and the one past the last that the rectangle can touch, unwrapped."""
    last_x, last_y = x + width - 1, y + height - 1
    if surface.tiling is Tiling.LINEAR:
        left, right, step, rows = x, last_x + 1, surface.pitch, (y, last_y)
    else:
        across, down = {
            Tiling.X: (blits.X_TILE_BYTES, blits.X_TILE_ROWS),
            Tiling.Y: (blits.Y_TILE_BYTES, blits.Y_TILE_ROWS),
        }[surface.tiling]
        left, right = x // across * PAGE_SIZE, (last_x // across + 1) * PAGE_SIZE
        step, rows = surface.pitch * down, (y // down, last_y // down)
    starts = [surface.base + row * step for row in rows]
    return min(starts) + left, max(starts) + right


def _upwards(job: Blit, source: Surface) -> bool:
    """Whether the rows must be taken from the last to the first, lest one be overwritten."""
    if job.destination == source and source.tiling is not Tiling.LINEAR:
        return job.y > job.source_y
    ahead = job.destination.base + job.y * job.destination.pitch + job.x
    behind = source.base + job.source_y * source.pitch + job.source_x
    return (ahead > behind) == (source.pitch > 0)


def _run(job: Blit, pixel_bytes: int, space: Space, abort: Callable[[], bool]) -> BlitStats:
    stats = BlitStats()
    reads = (job.source is not None) + (uses_destination(job.rop) or job.write_mask != _ALL_BITS)
    rows = max(1, min(BAND_ROWS, BAND_BYTES // (job.width * (reads + 1))))
    starts = range(0, job.height, rows)
    for start in reversed(starts) if job.upwards else starts:
        if abort():
            stats.aborted = True
            break
        height = min(rows, job.height - start)
        band = replace(job, y=job.y + start, source_y=job.source_y + start, height=height)
        hotpath.blit(space, band)
        size = job.width * height
        stats.pixels += size // pixel_bytes
        stats.bytes_written += size
        stats.bytes_read += size * reads
    return stats
