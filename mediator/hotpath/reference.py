"""The hot path in Python: what the C routines must do, and what runs where there is no C.

Same names, arguments and results as `native`; `tests/property` proves them equal. The one thing it
cannot do is be atomic against a guest's own processors.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from mediator.gen9.blits import (
    X_TILE_BYTES,
    X_TILE_ROWS,
    Y_TILE_BYTES,
    Y_TILE_COLUMN_BYTES,
    Y_TILE_ROWS,
)
from mediator.gen9.pte import (
    ADDRESS,
    ADDRESS_BEYOND,
    ENTRY_SIZE,
    INTERMEDIATE_PAGE_SIZE,
    LARGE_PAGE_SHIFTS,
    LEVEL_SHIFTS,
    PAGE_64K_SHIFT,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_SIZE_BIT,
    PRESENT,
    TABLE_ENTRIES,
    WRITABLE,
)
from mediator.hotpath.interface import (
    FAULT_REASONS,
    Abort,
    Blit,
    FaultKind,
    Mapping,
    PageFault,
    Space,
    Surface,
    Tiling,
    never,
    unpack_entry,
)
from mediator.hotpath.raster_ops import PATTERN_COPY, SOURCE_COPY, combine, uses_destination
from mmio_trap.guest_memory import GuestAddressError, GuestMemory

_OFFSET_MASK = PAGE_SIZE - 1
_PD_SHIFT, _PT_SHIFT = LEVEL_SHIFTS[2:]
_PAGES_64K_STEP = 1 << (PAGE_64K_SHIFT - PAGE_SHIFT)
_ALL_BITS = 0xFFFF_FFFF
_STORE_DWORDS = 4


def walk_ggtt(entries: memoryview, address: int) -> tuple[int, bool]:
    """(guest physical address, True) of GGTT ``address``. Raises PageFault."""
    index = address >> PAGE_SHIFT
    if index >= len(entries):
        raise _fault(address, FaultKind.NOT_PRESENT)
    return _target(entries[index], address) | (address & _OFFSET_MASK), True


UpperLevels = dict[tuple[int, int], tuple[int, bool, int]]
"""(shift of a level, address above it): table below, whether writable so far, step in the last."""


def walk_ppgtt(
    memory: GuestMemory, root: int, address: int, upper: UpperLevels | None = None
) -> tuple[int, bool]:
    """(guest physical address, writable) of PPGTT ``address`` (48 bits). Raises PageFault.

    ``root`` is the PML4's guest physical address. IPS is taken as enabled, which it is after
    i915's workarounds (0x4080). ``upper`` is a cache of all levels but the last: entries in it are
    not read again.
    """
    if root & ADDRESS_BEYOND.mask:
        raise _fault(address, FaultKind.BEYOND_39_BITS)
    table = root & ADDRESS.mask
    writable = True
    step = 1
    for shift in LEVEL_SHIFTS:
        place = (shift, address >> shift)
        if upper is not None and place in upper:
            table, writable, step = upper[place]
            continue
        index = (address >> shift) & (TABLE_ENTRIES - 1)
        if shift == _PT_SHIFT:
            index &= -step
        try:
            entry = memory.read_u64(table + ENTRY_SIZE * index)
        except GuestAddressError:
            raise _fault(address, FaultKind.TABLE_NOT_IN_MEMORY) from None
        table = _target(entry, address)
        writable = writable and bool(entry & WRITABLE)
        if entry & PAGE_SIZE_BIT and shift in LARGE_PAGE_SHIFTS:
            return _join(table, address, LARGE_PAGE_SHIFTS[shift]), writable
        if entry & INTERMEDIATE_PAGE_SIZE and shift == _PD_SHIFT:
            step = _PAGES_64K_STEP
        if upper is not None and shift != _PT_SHIFT:
            upper[place] = table, writable, step
    return _join(table, address, PAGE_SHIFT if step == 1 else PAGE_64K_SHIFT), writable


def translate(space: Mapping, address: int) -> tuple[int, bool]:
    """(guest physical address, writable) of ``address`` by a fresh walk. Raises PageFault."""
    address &= space.mask
    entries = space.entries
    if entries is not None:
        return walk_ggtt(entries, address)
    return walk_ppgtt(space.memory, space.root, address)


def compare_exchange(
    memory: GuestMemory, address: int, size: int, expected: int, desired: int
) -> int:
    """Write ``desired`` at guest physical ``address`` if ``expected`` is there.

    Returns what was there. ``size`` is 4, 8 or 16 bytes, ``address`` a multiple of it. Raises
    GuestAddressError. Not atomic here; it is in C.
    """
    found = int.from_bytes(memory.read(address, size), "little")
    memory.write(address, (desired if found == expected else found).to_bytes(size, "little"))
    return found


def read_space(space: Mapping, address: int, copy: memoryview) -> int:
    """Fill ``copy`` (bytes) with GPU memory from ``address`` on.

    Returns how many bytes could be read before the first page that cannot.
    """
    done = 0
    while done < len(copy):
        at = (address + done) & space.mask
        piece = min(PAGE_SIZE - (at & _OFFSET_MASK), len(copy) - done)
        try:
            physical, _ = translate(space, at)
            copy[done : done + piece] = space.memory.read(physical, piece)
        except (PageFault, GuestAddressError):
            break
        done += piece
    return done


def skip_commands(
    dwords: array[int], at: int, entries: array[int], begins: bytearray
) -> tuple[int, int]:
    """Pass over the commands from dword ``at`` on that have an entry: `interface.pack_entry`.

    ``entries`` has `interface.HEADERS` of them, by bits 31:16 of the header. Stops at the first
    command without one, of a length that it does not allow, or that is cut off. Returns the dword
    where that one begins, and how many were passed that are not MI_NOOP. ``begins``, as long as
    ``dwords``, becomes 1 where each begins.
    """
    count, passed = len(dwords), 0
    while at < count:
        header = dwords[at]
        if not header:
            begins[at] = 1
            at += 1
            continue
        entry = entries[header >> 16]
        if not entry:
            break
        mask, bias, fewest, most = unpack_entry(entry)
        length = (header & mask) + bias
        if not max(1, fewest) <= length <= most or length > count - at:
            break
        begins[at] = 1
        at += length
        passed += 1
    return at, passed


def compare_pages(memory: GuestMemory, pages: array[int], copy: memoryview) -> bytes:
    """A byte for each of the guest physical ``pages``: 1 where ``copy`` has something else there.

    ``copy`` has as many pages as bytes; a page that is no readable memory differs.
    """
    assert len(copy) == PAGE_SIZE * len(pages), "a page of copy for each"
    differs = bytearray()
    for number, address in enumerate(pages):
        at = number * PAGE_SIZE
        try:
            same = memory.read(address, PAGE_SIZE) == copy[at : at + PAGE_SIZE]
        except GuestAddressError:
            same = False
        differs.append(not same)
    return bytes(differs)


def store_run(commands: memoryview, header: int, mask: int, page: int, target: memoryview) -> int:
    """Carry out the MI_STORE_DATA_IMM commands of ``header`` that stand first in ``commands``.

    Each writes one dword into the GPU page at ``page``, which is ``target`` (1024 dwords);
    addresses are taken modulo ``mask`` + 1. Stops before the first other command, or one that
    writes another page. Returns the number done.
    """
    done = 0
    for at in range(0, len(commands) - _STORE_DWORDS + 1, _STORE_DWORDS):
        found, low, high, data = commands[at : at + _STORE_DWORDS].tolist()
        address = (low & ~3 | high << 32) & mask
        if found != header or address & ~_OFFSET_MASK != page:
            break
        target[(address & _OFFSET_MASK) >> 2] = data
        done += 1
    return done


def blit(space: Space, job: Blit, abort: Abort = never) -> int:
    """Do ``job`` row by row, run by run; the rows done.

    ``abort`` is asked before each piece of ``job.band_rows`` rows. Raises PageFault; what was
    written before it stays.
    """
    band = job.band_rows
    for done in range(job.height):
        if done % band == 0 and abort():
            return done
        _blit_row(space, job, job.height - 1 - done if job.upwards else done)
    return job.height


def _blit_row(space: Space, job: Blit, row: int) -> None:
    staged = b""
    if job.staged and job.source is not None:
        staged = _read_row(space, job, job.source, row)
    done = 0
    for target, count, origin in _runs(space, job, row):
        source = b""
        if job.staged:
            source = staged[done : done + count]
        elif origin is not None:
            source = _read(space, origin, count)
        _combine_run(space, job, target, source, done, count)
        done += count


def _runs(space: Space, job: Blit, row: int) -> Iterator[tuple[int, int, int | None]]:
    """(destination address, bytes, source address) of the row's pieces, left to right.

    A piece ends where either surface's bytes stop being contiguous or a page ends.
    """
    done = 0
    while done < job.width:
        target, count = _locate(job.destination, job.x + done, job.y + row, space.mask)
        origin = None
        if job.source is not None and not job.staged:
            at = job.source_x + done
            origin, reach = _locate(job.source, at, job.source_y + row, space.mask)
            count = min(count, reach)
        count = min(count, job.width - done)
        yield target, count, origin
        done += count


def _combine_run(
    space: Space, job: Blit, target: int, source: bytes, done: int, count: int
) -> None:
    physical, writable = space.translate(target, write=True)
    if not writable:
        return
    memory = space.memory
    whole = job.write_mask == _ALL_BITS
    try:
        if job.rop == SOURCE_COPY and whole:
            memory.write(physical, source)
            return
        pattern = _repeat(job.pattern, done, count)
        if job.rop == PATTERN_COPY and whole:
            memory.write(physical, pattern)
            return
        old = 0
        if not whole or uses_destination(job.rop):
            old = int.from_bytes(memory.read(physical, count), "little")
        ones = (1 << (8 * count)) - 1
        new = combine(
            job.rop,
            int.from_bytes(pattern, "little"),
            int.from_bytes(source, "little"),
            old,
            ones,
        )
        mask = int.from_bytes(_repeat(job.write_mask, done, count), "little")
        memory.write(physical, ((new & mask) | (old & ~mask)).to_bytes(count, "little"))
    except GuestAddressError:
        raise _fault(target, FaultKind.PAGE_NOT_IN_MEMORY, write=True) from None


def _read_row(space: Space, job: Blit, source: Surface, row: int) -> bytes:
    pieces = []
    done = 0
    while done < job.width:
        at, count = _locate(source, job.source_x + done, job.source_y + row, space.mask)
        count = min(count, job.width - done)
        pieces.append(_read(space, at, count))
        done += count
    return b"".join(pieces)


def _read(space: Space, address: int, count: int) -> bytes:
    physical, _writable = space.translate(address, write=False)
    try:
        return space.memory.read(physical, count)
    except GuestAddressError:
        raise _fault(address, FaultKind.PAGE_NOT_IN_MEMORY) from None


def _locate(surface: Surface, x: int, y: int, mask: int) -> tuple[int, int]:
    """(GPU address, contiguous bytes within its page) of byte column ``x`` of row ``y``."""
    match surface.tiling:
        case Tiling.LINEAR:
            address = surface.base + y * surface.pitch + x
            reach = PAGE_SIZE
        case Tiling.X:
            column, within = divmod(x, X_TILE_BYTES)
            band, line = divmod(y, X_TILE_ROWS)
            address = surface.base + band * surface.pitch * X_TILE_ROWS + column * PAGE_SIZE
            address += line * X_TILE_BYTES + within
            reach = X_TILE_BYTES - within
        case Tiling.Y:
            column, within = divmod(x, Y_TILE_BYTES)
            band, line = divmod(y, Y_TILE_ROWS)
            slab, within = divmod(within, Y_TILE_COLUMN_BYTES)
            address = surface.base + band * surface.pitch * Y_TILE_ROWS + column * PAGE_SIZE
            address += (
                slab * Y_TILE_COLUMN_BYTES * Y_TILE_ROWS + line * Y_TILE_COLUMN_BYTES + within
            )
            reach = Y_TILE_COLUMN_BYTES - within
    address &= mask
    return address, min(reach, PAGE_SIZE - (address & _OFFSET_MASK))


def _repeat(dword: int, done: int, count: int) -> bytes:
    """``count`` bytes of ``dword`` repeated, from byte ``done`` of the repetition on."""
    phase = done & 3
    return (dword.to_bytes(4, "little") * (count // 4 + 2))[phase : phase + count]


def _target(entry: int, address: int) -> int:
    if not entry & PRESENT:
        raise _fault(address, FaultKind.NOT_PRESENT)
    if entry & ADDRESS_BEYOND.mask:
        raise _fault(address, FaultKind.BEYOND_39_BITS)
    return entry & ADDRESS.mask


def _join(physical: int, address: int, shift: int) -> int:
    offset = (1 << shift) - 1
    return (physical & ~offset) | (address & offset)


def _fault(address: int, kind: FaultKind, *, write: bool = False) -> PageFault:
    return PageFault(address, write, FAULT_REASONS[kind])
