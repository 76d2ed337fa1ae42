"""The hot path in C: packs Python's objects into the C structures and faults into exceptions.

Same names, arguments and results as `reference` and `reference_shadow`. The caller is inside
``memory.using()``: C holds host addresses of the guest's memory.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Collection
from typing import Any

from mediator.hotpath._hotpath import ffi, lib
from mediator.hotpath.interface import (
    FAULT_REASONS,
    HEADERS,
    TABLES_FULL,
    Abort,
    Blit,
    FaultKind,
    Mapping,
    PageFault,
    ShadowTables,
    Space,
    Surface,
    TablesFull,
    never,
)
from mediator.native_sources import HOTPATH, check
from mmio_trap.guest_memory import PAGE_SHIFT, PAGE_SIZE, GuestAddressError, GuestMemory

check(HOTPATH, ffi, lib)

STREAM_BYTES = 8 << 20
"""From this size on a blit's destination bypasses the processor's caches, as memcpy's does."""

_RANGE_BYTES = 32
Pins = list[Any]
"""Buffers that C has pointers into."""


def _keeping(name: str, result: type[Any] | None, *arguments: type[Any]) -> Callable[..., Any]:
    """Routine ``name``, which keeps the interpreter: it takes microseconds.

    cffi lets go of it each time, which wakes whoever waits for it and takes it back before that one
    runs: a trap then waits for the engine's whole request (tests/bench/busy_traps.py).
    """
    place = int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))
    return ctypes.PYFUNCTYPE(result, *arguments)(place)


_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_size_t
_STORE_RUN = _keeping(
    *("hp_store_run", _COUNT, _POINTER, _COUNT),
    *(ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint64, _POINTER, _COUNT),
)
"""For a page at most."""
_SKIP_COMMANDS = _keeping(
    "hp_skip_commands", _COUNT, _POINTER, _COUNT, _COUNT, _POINTER, _POINTER, _POINTER
)
"""A look-up for each command of what one audit has read."""
_COMPARE_PAGES = _keeping("hp_compare_pages", None, _POINTER, _POINTER, _COUNT, _POINTER, _POINTER)
"""For the 20 pages of a render context at most."""


def translate(space: Mapping, address: int) -> tuple[int, bool]:
    """(guest physical address, writable) of ``address`` by a fresh walk. Raises PageFault."""
    address &= space.mask
    pins: Pins = []
    physical = ffi.new("uint64_t *")
    writable = ffi.new("int32_t *")
    try:
        memory = pack_memory(space.memory, pins)
        error = lib.hp_translate(memory, pack_space(space, pins), address, physical, writable)
    finally:
        release(pins)
    if error:
        raise PageFault(address, False, FAULT_REASONS[FaultKind(-error)])
    return physical[0], bool(writable[0])


def compare_exchange(
    memory: GuestMemory, address: int, size: int, expected: int, desired: int
) -> int:
    """Write ``desired`` at guest physical ``address`` if ``expected`` is there, atomically.

    Returns what was there. ``size`` is 4, 8 or 16 bytes, ``address`` a multiple of it. Raises
    GuestAddressError.
    """
    log = memory.dirty_bytes
    pins: Pins = []
    found = ffi.new("uint8_t[]", expected.to_bytes(size, "little"))
    new = desired.to_bytes(size, "little")
    try:
        done = lib.hp_compare_exchange(pack_memory(memory, pins), address, size, found, new)
    finally:
        release(pins)
    if done < 0:
        raise GuestAddressError(address, size, write=True)
    fresh = memory.dirty_bytes
    if done and fresh is not None and fresh is not log:  # recording began meanwhile
        fresh[address >> PAGE_SHIFT] = 1
    return int.from_bytes(ffi.buffer(found, size), "little")


def store_run(commands: memoryview, header: int, mask: int, page: int, target: memoryview) -> int:
    """Carry out the MI_STORE_DATA_IMM commands of ``header`` that stand first in ``commands``.

    Each writes one dword into the GPU page at ``page``, which is ``target`` (1024 dwords);
    addresses are taken modulo ``mask`` + 1. Stops before the first other command, or one that
    writes another page. Returns the number done.
    """
    pins: Pins = []
    try:
        source = ffi.from_buffer("uint32_t[]", commands)
        pins.append(source)
        place = ffi.from_buffer("uint32_t[]", target, require_writable=True)
        pins.append(place)
        done: int = _STORE_RUN(
            *(_place(source), len(commands), header, mask, page),
            *(_place(place), len(target)),
        )
        return done
    finally:
        release(pins)


def _place(buffer: Any) -> int:
    return int(ffi.cast("uintptr_t", buffer))


def read_space(space: Mapping, address: int, copy: memoryview) -> int:
    """Fill ``copy`` (bytes) with GPU memory from ``address`` on.

    Returns how many bytes could be read before the first page that cannot.
    """
    pins: Pins = []
    try:
        place = ffi.from_buffer("uint8_t[]", copy, require_writable=True)
        pins.append(place)
        memory = pack_memory(space.memory, pins)
        done: int = lib.hp_read_space(memory, pack_space(space, pins), address, place, len(place))
        return done
    finally:
        release(pins)


def skip_commands(
    dwords: array[int], at: int, entries: array[int], begins: bytearray
) -> tuple[int, int]:
    """Pass over the commands from dword ``at`` on that have an entry: `interface.pack_entry`.

    ``entries`` has `interface.HEADERS` of them, by bits 31:16 of the header. Stops at the first
    command without one, of a length that it does not allow, or that is cut off. Returns the dword
    where that one begins, and how many were passed that are not MI_NOOP. ``begins``, as long as
    ``dwords``, becomes 1 where each begins.
    """
    assert len(begins) == len(dwords), "a byte for each dword"
    assert len(entries) == HEADERS, "an entry for each header"
    pins: Pins = []
    passed = ffi.new("size_t *")
    try:
        commands = ffi.from_buffer("uint32_t[]", dwords)
        pins.append(commands)
        table = ffi.from_buffer("uint64_t[]", entries)
        pins.append(table)
        marks = ffi.from_buffer("uint8_t[]", begins, require_writable=True)
        pins.append(marks)
        end: int = _SKIP_COMMANDS(
            *(_place(commands), len(dwords), at),
            *(_place(table), _place(marks), _place(passed)),
        )
        return end, passed[0]
    finally:
        release(pins)


def compare_pages(memory: GuestMemory, pages: array[int], copy: memoryview) -> bytes:
    """A byte for each of the guest physical ``pages``: 1 where ``copy`` has something else there.

    ``copy`` has as many pages as bytes; a page that is no readable memory differs.
    """
    pins: Pins = []
    differs = ffi.new("uint8_t[]", len(pages))
    try:
        wanted = ffi.from_buffer("uint64_t[]", pages)
        pins.append(wanted)
        own = ffi.from_buffer("uint8_t[]", copy)
        pins.append(own)
        assert len(own) == PAGE_SIZE * len(pages), "a page of copy for each"
        packed = pack_memory(memory, pins)
        _COMPARE_PAGES(_place(packed), _place(wanted), len(pages), _place(own), _place(differs))
        return bytes(ffi.buffer(differs))
    finally:
        release(pins)


def shadow_sync(memory: GuestMemory, shadow: ShadowTables, pml4: int) -> int:
    """Bring the shadow of the tables under guest physical ``pml4`` up to date: its PML4's slot.

    Raises PageFault when the PML4 is not in guest memory, TablesFull.
    """
    pins: Pins = []
    try:
        slot: int = lib.hp_shadow_sync(pack_memory(memory, pins), _shadow(shadow), pml4)
    finally:
        release(pins)
    if slot == TABLES_FULL:
        raise TablesFull
    if slot < 0:
        raise PageFault(0, False, FAULT_REASONS[FaultKind(-slot)])
    return slot


def shadow_keep(shadow: ShadowTables, roots: Collection[int]) -> None:
    """Free every slot that the shadows of the PML4s at guest physical ``roots`` do not reach."""
    pins: Pins = []
    try:
        given = ffi.from_buffer("uint64_t[]", array("Q", roots))
        pins.append(given)
        lib.hp_shadow_keep(_shadow(shadow), given, len(roots))
    finally:
        release(pins)


def blit(space: Space, job: Blit, abort: Abort = never) -> int:
    """Do ``job`` row by row, run by run; the rows done.

    ``abort`` is asked before each piece of ``job.band_rows`` rows. Raises PageFault; what was
    written before it stays.
    """
    band = job.band_rows
    packed = _job(job)
    scratch = ffi.new("uint8_t[]", job.width if job.staged else 0)
    pins: Pins = []
    try:
        packed_space = pack_space(space, pins)
        log = space.memory.dirty_bytes
        memory = pack_memory(space.memory, pins)
        for done in range(0, job.height, band):
            if abort():
                return done
            rows = min(band, job.height - done)
            first = job.height - done - rows if job.upwards else done
            packed.y, packed.source_y, packed.height = job.y + first, job.source_y + first, rows
            try:
                _blit_band(memory, packed_space, packed, scratch)
            finally:
                if space.memory.dirty_bytes is not log:  # recording began or ended meanwhile
                    log = space.memory.dirty_bytes
                    memory = pack_memory(space.memory, pins)
                    packed.mark_only = 1
                    _blit_band(memory, packed_space, packed, scratch)
                    packed.mark_only = 0
    finally:
        release(pins)
    return job.height


def _blit_band(memory: Any, space: Any, packed: Any, scratch: Any) -> None:
    fault = ffi.new("struct hp_fault *")
    done = lib.hp_blit(memory, space, packed, scratch, len(scratch), fault)
    if done < 0:
        reason = FAULT_REASONS[FaultKind(-done)]
        raise PageFault(fault.address, bool(fault.write), reason)


def pack_memory(memory: GuestMemory, pins: Pins) -> Any:
    """``struct hp_memory *``, valid until ``pins`` are released."""
    table = ffi.from_buffer("uint64_t[]", memory.table)
    pins.append(table)
    log = memory.dirty_bytes
    dirty: Any = ffi.NULL
    if log is not None:
        dirty = ffi.from_buffer("uint8_t[]", log, require_writable=True)
        pins.append(dirty)
    ranges = len(memory.table) * memory.table.itemsize // _RANGE_BYTES
    return ffi.new("struct hp_memory *", (table, ranges, dirty, 0 if log is None else len(log)))


def pack_space(space: Mapping, pins: Pins) -> Any:
    """``struct hp_space *``, valid until ``pins`` are released."""
    entries = space.entries
    if entries is None:
        return ffi.new("struct hp_space *", (ffi.NULL, 0, space.root, space.mask))
    table = ffi.from_buffer("uint64_t[]", entries)
    pins.append(table)
    return ffi.new("struct hp_space *", (table, len(entries), 0, space.mask))


def _shadow(shadow: ShadowTables) -> Any:
    """``struct hp_shadow``, made once: its memory neither moves nor goes while ``shadow`` lives."""
    if shadow.packed is None:
        tables, copies, nodes, counts = (
            _address("uint64_t *", words)
            for words in (shadow.tables, shadow.copies, shadow.nodes, shadow.counts)
        )
        index = _address("uint32_t *", shadow.index)
        sizes = shadow.slots, index, len(shadow.index), counts
        window = shadow.iova, shadow.window_base, shadow.window_size
        shadow.packed = ffi.new(
            "struct hp_shadow *",
            (tables, copies, nodes, *sizes, *window, shadow.multiplier, shadow.rescan),
        )
    shadow.packed.slots = shadow.slots  # the one thing that changes
    return shadow.packed


def _address(kind: str, words: memoryview | array[int]) -> Any:
    """A pointer to ``words`` that does not hold them."""
    with ffi.from_buffer(words, require_writable=True) as buffer:
        return ffi.cast(kind, int(ffi.cast("uintptr_t", buffer)))


def release(pins: Pins) -> None:
    """Let go of the buffers now, whatever the garbage collector finds later.

    A fault's traceback keeps this module's frames. CPython 3.11 crashes when it collects a
    memoryview before the cffi buffer that pins it.
    """
    for pin in pins:
        ffi.release(pin)


def _job(job: Blit) -> Any:
    source = job.source
    return ffi.new(
        "struct hp_blit *",
        (
            _surface(job.destination),
            (0, 0, 0) if source is None else _surface(source),
            job.x,
            job.y,
            job.source_x,
            job.source_y,
            job.width,
            job.height,
            job.pattern,
            job.write_mask,
            job.rop,
            source is not None,
            job.upwards,
            job.staged,
            job.width * job.height >= STREAM_BYTES,
        ),
    )


def _surface(surface: Surface) -> tuple[int, int, int]:
    return surface.base, surface.pitch, surface.tiling
