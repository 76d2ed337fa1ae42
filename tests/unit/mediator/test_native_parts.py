"""Parts of the EU's runtime that no message shows: what it keeps, what it takes of budgets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from mediator.gen9.eu.messages import AtomicOperation, FloatAtomicOperation
from mediator.gen9.eu.surface_state import SurfaceType
from tests.property.page_world import MIDDLE, RAM, Pages, Ram
from tests.unit.mediator.message_bench import (
    ABSENT,
    BASE,
    BASES,
    PAGE,
    READ_ONLY,
    World,
    buffer_state,
    call,
    native_messages,
    world,
)

native: Any = pytest.importorskip("mediator.softgpu.eu.native.worker")
ffi, lib = native.ffi, native.lib
SAMPLER, GATEWAY, TARGET, PORT_1, SPAWNER = 2, 3, 5, 12, 7
SEND, SAMPLE, WRITE_TARGET, TEXELS, BYTE, WALK = 256, 8192, 2048, 8 * 64, 32, 256
"""In units of costs.py."""
WHOLE = 3
"""Of a page table's entry: present and writable."""


@pytest.fixture
def made() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture
def worker(made: World) -> Iterator[Any]:
    found = native.NativeWorker()
    found.attach(made.space, BASES)
    yield found.struct
    found.detach()


@pytest.mark.parametrize("dword", [0, 2, 3, 8, 9])
def test_each_bit_of_a_buffers_state_counts_as_it_says(dword: int, made: World) -> None:
    random = Random(dword)
    for bit in range(32):
        for kind in (SurfaceType.BUFFER, SurfaceType.STRUCTURED, SurfaceType.SCRATCH):
            dwords = [random.getrandbits(32) for _ in range(16)]
            dwords[0] = dwords[0] & (1 << 29) - 1 | kind << 29
            dwords[dword] ^= 1 << bit
            made.bind(7, struct.pack("<16I", *dwords))
            found = native.NativeWorker()
            found.attach(made.space, BASES)
            buffer = lib.eu_buffer_at(found.struct, 7)
            is_buffer = dwords[0] >> 29 in {4, 5, 6}
            last = dwords[2] & 0x7F | (dwords[2] >> 16 & 0x3FFF) << 7 | dwords[3] >> 21 << 21
            size = (last + 1) * ((dwords[3] & 0x3_FFFF) + 1)
            base = (dwords[9] << 32 | dwords[8]) & (1 << 48) - 1
            expected = (base, size) if is_buffer else (0, 0)
            assert (buffer.base, buffer.size, buffer.known) == (*expected, 1)
            found.detach()


@pytest.mark.parametrize(
    ("index", "known"),
    [
        (239, (BASE + 64, 96)),
        (240, (0, 0)),
        (251, (0, 0)),
        (253, (BASES.general, BASES.general_size)),
        (255, (BASES.general, BASES.general_size)),
    ],
)
def test_indices_are_of_the_table_up_to_239(
    worker: Any, made: World, index: int, known: tuple[int, int]
) -> None:
    made.put(BASES.binding_table + 4 * index, struct.pack("<I", 0x83F))
    made.put(BASES.surface + 0x800, buffer_state(BASE + 64, 96))
    for _ in range(2):  # looked up, and known
        buffer = lib.eu_buffer_at(worker, index)
        assert (buffer.base, buffer.size, buffer.known) == (*known, 1)
        made.put(BASES.surface + 0x800, bytes(64))
    lib.eu_forget(worker)
    assert not worker.buffers[index].known


def _slot(page: int) -> int:
    """As abi.h says it: compiled code looks there too."""
    return int((page + page // 1024 * lib.EU_TLB_SPREAD) % lib.EU_TLB_ENTRIES)


def _known(entries: Any) -> set[int]:
    return {entry.page for entry in entries if entry.page != (1 << 64) - 1}


@pytest.mark.parametrize("step", [1, 2])
def test_each_page_has_its_place(worker: Any, step: int) -> None:
    for page in range(0, READ_ONLY, step):
        address = BASE + page * PAGE + 12
        host = int(ffi.cast("uintptr_t", lib.eu_readable(worker, address)))
        assert int(ffi.cast("uintptr_t", lib.eu_writable(worker, address))) == host
        for entries in (worker.reads, worker.writes):
            entry = entries[_slot(address // PAGE)]
            assert entry.page == address // PAGE
            assert entry.delta + address & (1 << 64) - 1 == host
    lib.eu_forget(worker)
    assert _known(worker.reads) == _known(worker.writes) == set()
    assert worker.fault == worker.fault_address == worker.fault_write == 0


@pytest.mark.parametrize("write", [False, True])
def test_so_many_pages_are_found_ahead(write: bool) -> None:
    """15 behind one whose neighbour is known, and none of another page table."""
    pages = Pages(tuple(RAM + n % 16 * PAGE | WHOLE for n in range(48)), "ppgtt", MIDDLE - 24)
    ram = Ram()
    with ram.memory.using():
        found = native.NativeWorker()
        found.attach(pages.space(ram), BASES)
        worker = found.struct
        entries = worker.writes if write else worker.reads
        touch = lib.eu_writable if write else lib.eu_readable
        expected: set[int] = set()
        for page, known in ((0, 0), (2, 2), (3, 18), (17, 18), (18, 18), (19, 31), (32, 47)):
            assert touch(worker, pages.base + page * PAGE) != ffi.NULL
            first = page if page not in expected else known
            expected |= set(range(first, known + 1))
            assert _known(entries) == {pages.first + each for each in expected}, page
        assert not _known(worker.reads if write else worker.writes)
        found.detach()
    ram.close()


def test_what_is_ahead_is_only_what_may_be_written(worker: Any) -> None:
    for page in (READ_ONLY - 2, READ_ONLY - 1):
        assert lib.eu_writable(worker, BASE + page * PAGE) != ffi.NULL
    first = BASE // PAGE
    assert _known(worker.writes) == {first + READ_ONLY - 2, first + READ_ONLY - 1}
    for page in (READ_ONLY - 2, READ_ONLY - 1):
        assert lib.eu_readable(worker, BASE + page * PAGE) != ffi.NULL
    assert _known(worker.reads) == {first + page for page in range(READ_ONLY - 2, ABSENT)}


def test_while_pages_written_are_recorded_none_is_kept_for_writing() -> None:
    made = World()
    made.memory.start_recording()
    with made.memory.using():
        found = native.NativeWorker()
        found.attach(made.space, BASES)
        worker = found.struct
        assert lib.eu_writable(worker, BASE) == ffi.NULL
        lib.eu_store(worker, BASE + 2 * PAGE - 2, 4, 0x0403_0201)
        lib.eu_store(worker, BASE + 5 * PAGE + 4, 4, 1)
        assert not _known(worker.writes)
        found.detach()
        first = made.space.translate(BASE, write=True)[0] // PAGE
    assert {page - first for page in made.memory.take_dirty()} == {1, 2, 5}
    assert made.get(BASE + 2 * PAGE - 2, 4) == b"\1\2\3\4"
    made.close()


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("back", range(-1, 10))
def test_values_lie_across_pages(worker: Any, made: World, size: int, back: int) -> None:
    at, value = BASE + 3 * PAGE - back, 0x8877_6655_4433_2211
    made.put(BASE + 3 * PAGE - 16, bytes(range(200, 232)))
    old = made.get(at, size)
    assert lib.eu_load(worker, at, size) == int.from_bytes(old, "little")
    assert lib.eu_load(worker, at | 0xFFFF << 48, size) == int.from_bytes(old, "little")
    lib.eu_store(worker, at, size, value)
    expected = bytearray(range(200, 232))
    expected[16 - back : 16 - back + size] = value.to_bytes(8, "little")[:size]
    assert made.get(BASE + 3 * PAGE - 16, 32) == expected


@pytest.mark.parametrize(
    ("sfid", "function", "header", "cost"),
    [
        (GATEWAY, 3, b"", SEND),
        (PORT_1, 1 << 14 | 1 << 12, b"", SEND),
        (PORT_1, 5 << 14 | 1 << 12, b"", SEND + TEXELS),
        (PORT_1, 13 << 14 | 1 << 12, b"", SEND + TEXELS),
        (PORT_1, 6 << 14 | 7 << 8, b"", SEND + TEXELS),
        (PORT_1, 4 << 14, struct.pack("<8I", 0, 0, 2 << 16 | 5, *[0] * 5), SEND + 3 * 8 * BYTE),
        (PORT_1, 10 << 14, struct.pack("<8I", 0, 0, 31, *[0] * 5), SEND + 32 * BYTE),
        (SAMPLER, 1 << 17 | 10 << 12, b"", SEND + SAMPLE),
        (TARGET, 12 << 14, b"", SEND + WRITE_TARGET),
        (6, 0, b"", SEND),
        (SPAWNER, 0, b"", 0),
        (0, 0, b"", 0),
    ],
)
def test_a_message_costs(
    worker: Any, made: World, sfid: int, function: int, header: bytes, cost: int
) -> None:
    made.bind(
        0,
        struct.pack(
            "<16I", 1 << 29 | 0xD7 << 18, *[0] * 7, BASE & 0xFFFF_FFFF, BASE >> 32, *[0] * 6
        ),
    )
    group, thread = ffi.new("struct eu_group *"), ffi.new("struct eu_thread *")
    thread.pixel_mask = 1
    payload = header + bytes(4 * 32)
    descriptor = function | bool(header) << 19 | 4 << 20 | len(payload) // 32 << 25
    response = ffi.new("uint8_t[]", 4 * 32)

    def send(mask: int) -> int:
        before = worker.budget
        given = ffi.from_buffer("uint8_t[]", payload)
        lib.eu_send(worker, group, thread, sfid, descriptor, 0, given, ffi.NULL, response, mask)
        return int(before - worker.budget)

    send(0xFF)  # what it needs of pages is known then
    assert send(0xFF) == cost
    assert send(0) == 0


def test_a_walk_costs_and_what_is_known_does_not(worker: Any) -> None:
    for touch in (lib.eu_readable, lib.eu_writable):
        for cost, walks in ((WALK, 1), (0, 0)):
            before, counted = worker.budget, worker.statistics[lib.EU_WALKS]
            touch(worker, BASE)
            assert before - worker.budget == cost
            assert worker.statistics[lib.EU_WALKS] - counted == walks


def test_a_clear_costs_as_a_write_does(worker: Any) -> None:
    worker.buffers[0].known = 0
    group, thread = ffi.new("struct eu_group *"), ffi.new("struct eu_thread *")
    lib.eu_clear(thread, group, worker)
    before = worker.budget
    assert lib.eu_clear(thread, group, worker) == lib.EU_ENDED
    assert before - worker.budget == WRITE_TARGET


def _operations() -> list[tuple[int, bool]]:
    found = [(int(each), False) for each in AtomicOperation]
    return found + [(int(each), True) for each in FloatAtomicOperation]


@pytest.mark.parametrize(("lanes", "size"), [(8, 0), (16, 0), (8, 4), (8, 8)])
def test_atomic_routines_by_name_do_what_the_messages_do(lanes: int, size: int) -> None:
    """``size`` 0: of a buffer; else of memory at large, in eight lanes."""
    random = Random(lanes + size)
    for code, floating in _operations():
        if floating and size == 8:
            continue
        data = random.randbytes(128)
        places = [8 * random.randrange(12) for _ in range(lanes)]
        where = struct.pack(
            f"<{lanes}{'Q' if size else 'I'}", *(BASE * bool(size) + n for n in places)
        )
        first, second = random.randbytes(8 * lanes), random.randbytes(8 * lanes)
        width = (size or 4) * lanes
        mask = random.getrandbits(lanes) | 1
        kind = {(False, False): 2, (False, True): 0x12, (True, False): 0x1B, (True, True): 0x1D}
        function = kind[floating, bool(size)] << 14 | 1 << 13 | code << 8
        function |= (size == 8 or (not size and lanes == 8)) << 12
        found = []
        for name in ("eu_global_atomic" if size else "eu_untyped_atomic", ""):
            with world() as made:
                made.put(BASE, data)
                made.bind(0, buffer_state(BASE, 80))
                old = ffi.new("uint8_t[]", b"\xee" * width)
                if name:
                    one = native.NativeWorker()
                    one.attach(made.space, BASES)
                    given = [ffi.from_buffer(each) for each in (where, first, second)]
                    fixed = (
                        [ffi.cast("uint64_t *", given[0]), lanes, size]
                        if size
                        else [
                            ffi.new("struct eu_group *"),
                            0,
                            ffi.cast("uint32_t *", given[0]),
                            lanes,
                        ]
                    )
                    getattr(lib, name)(
                        one.struct, *fixed, code, floating, mask, given[1], given[2], old
                    )
                    one.detach()
                else:
                    more = first[:width] + second[:width]
                    sent = call(PORT_1, function, where, width // 32, mask, more=more)
                    assert native_messages(made).send(sent) is None
                    ffi.memmove(old, sent.response.tobytes(), width)
                found.append((bytes(ffi.buffer(old)), made.get(BASE, 128)))
        assert found[0] == found[1], (code, floating)
