"""The EU's messages in C: single cases, by hand."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.mediator.message_bench import (
    ABSENT,
    BASE,
    BASES,
    PAGE,
    READ_ONLY,
    World,
    buffer_state,
    world,
)

native = pytest.importorskip("mediator.softgpu.eu.native.worker")
ffi, lib = native.ffi, native.lib

PORT_0, PORT_1, CONSTANT = 10, 12, 9
SLM, STATELESS = 254, 253
ILLEGAL = 16


class Thread:
    """A worker, a group and a thread in a `World`."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.worker = native.NativeWorker()
        self.worker.attach(made.space, BASES)
        self.slm = ffi.new("uint8_t[]", 65536)
        self.group = ffi.new("struct eu_group *", {"slm": self.slm, "threads": 2})
        self.thread = ffi.new("struct eu_thread *")

    @property
    def fault(self) -> tuple[int, int, bool]:
        """Kind, address, whether a write."""
        worker = self.worker.struct
        return worker.fault, worker.fault_address, bool(worker.fault_write)

    def send(
        self,
        sfid: int,
        function: int,
        payload: bytes,
        *,
        rlen: int = 0,
        mask: int = 0xFFFF,
        header: bool = False,
        more: bytes = b"",
        response: bytes | None = None,
    ) -> bytes:
        """Send; the response."""
        descriptor = function | header << 19 | rlen << 20 | len(payload) // 32 << 25
        found = ffi.new("uint8_t[]", response or b"\xee" * 32 * rlen)
        lib.eu_send(
            self.worker.struct,
            self.group,
            self.thread,
            sfid,
            descriptor,
            len(more) // 32 << 6,
            ffi.from_buffer("uint8_t[]", payload) if payload else ffi.NULL,
            ffi.from_buffer("uint8_t[]", more) if more else ffi.NULL,
            found if rlen else ffi.NULL,
            mask,
        )
        return bytes(ffi.buffer(found, 32 * rlen))


@pytest.fixture
def thread() -> Iterator[Thread]:
    with world() as made:
        one = Thread(made)
        yield one
        one.worker.detach()


def _dwords(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _qwords(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def _header(**dwords: int) -> bytes:
    return _dwords(*(dwords.get(f"d{n}", 0) for n in range(8)))


def test_untyped_read_packs_enabled_channels_and_bounds_each_dword(thread: Thread) -> None:
    thread.world.put(BASE, _dwords(*range(100, 200)))
    thread.world.bind(3, buffer_state(BASE, 40))
    offsets = _dwords(0, 4, 8, 33, 36, 40, 0xFFFF_FFFF, 28)
    found = thread.send(PORT_1, 1 << 14 | 2 << 12 | 0xA << 8 | 3, offsets, rlen=2, mask=0xFF)
    assert struct.unpack("<16I", found) == (
        *(100, 101, 102, 108, 109, 0, 0, 107),
        *(102, 103, 104, 0, 0, 0, 0, 109),
    )
    assert thread.fault[0] == 0


def test_lanes_that_are_not_active_keep_what_they_hold(thread: Thread) -> None:
    thread.world.bind(0, buffer_state(BASE, 64))
    found = thread.send(PORT_1, 1 << 14 | 2 << 12 | 0xE << 8, _dwords(*[0] * 8), rlen=1, mask=0x55)
    assert found == (bytes(4) + b"\xee" * 4) * 4


def test_global_accesses_reach_canonical_addresses_and_fault_where_nothing_is(
    thread: Thread,
) -> None:
    canonical = BASE | 0xFFFF << 48
    addresses = _qwords(*(canonical + 8 * lane for lane in range(16)))
    thread.send(PORT_1, 0x19 << 14 | 1 << 12 | 0xE << 8 | 0xFD, addresses + _dwords(*range(16)))
    assert thread.world.get(BASE, 128)[::8] == bytes(range(16))
    assert thread.fault[0] == 0
    hole = BASE + ABSENT * PAGE
    addresses = _qwords(BASE, hole + 8, *[hole] * 14)
    found = thread.send(
        PORT_1, 0x11 << 14 | 1 << 12 | 0xE << 8 | 0xFD, addresses, rlen=2, mask=0xFFFE
    )
    assert found[4:] == bytes(60)
    assert thread.fault == (1, hole + 8, False)


def test_writes_to_a_read_only_page_are_discarded(thread: Thread) -> None:
    target = BASE + READ_ONLY * PAGE
    thread.world.put(target, b"\x11" * 64)
    addresses = _qwords(*[target] * 8)
    thread.send(PORT_1, 0x19 << 14 | 2 << 12 | 0xE << 8 | 0xFD, addresses + b"\xff" * 32)
    old = thread.send(
        PORT_1, 0x12 << 14 | 1 << 13 | 7 << 8 | 0xFD, addresses, more=b"\xff" * 32, rlen=1
    )
    assert old == b"\x11" * 32
    assert thread.world.get(target, 64) == b"\x11" * 64
    assert thread.fault[0] == 0
    assert thread.worker.struct.statistics[lib.EU_DISCARDED_WRITES] == 16


def test_block_reads_keep_the_other_half_and_read_0_past_the_end(thread: Thread) -> None:
    thread.world.put(BASE, _dwords(*range(1, 33)))
    thread.world.bind(1, buffer_state(BASE, 24))
    low = thread.send(PORT_0, 1 << 14 | 0 << 8 | 1, _header(d2=16), rlen=1, header=True, mask=1)
    assert low == _dwords(5, 6, 0, 0) + b"\xee" * 16
    high = thread.send(CONSTANT, 0 << 14 | 1 << 8 | 1, _header(d2=1), rlen=1, header=True, mask=1)
    assert high == b"\xee" * 16 + _dwords(5, 6, 0, 0)
    assert thread.send(PORT_0, 1 << 14 | 2 << 8 | 1, _header(), rlen=1, header=True, mask=0) == (
        b"\xee" * 32
    )


def test_shared_local_memory_ends_at_its_size(thread: Thread) -> None:
    thread.group.slm_size = 1024
    offsets = _dwords(0, 1020, 1024, 65532, 0xFFFF_FFFC, 0x1000_0004, 8, 12)
    thread.send(PORT_1, 9 << 14 | 2 << 12 | 0xE << 8 | SLM, offsets, more=_dwords(*range(1, 9)))
    found = thread.send(PORT_1, 1 << 14 | 2 << 12 | 0xE << 8 | SLM, offsets, rlen=1)
    assert struct.unpack("<8I", found) == (1, 2, 0, 0, 0, 6, 7, 8)
    assert bytes(ffi.buffer(thread.slm))[1024:] == bytes(65536 - 1024)


def test_scratch_messages_stay_within_the_threads_space(thread: Thread) -> None:
    header = _header(d3=0, d5=PAGE | 0x1FF)
    data = bytes(range(32)) * 4
    function = 1 << 18 | 1 << 17 | 2 << 12 | 30
    thread.send(PORT_0, function, header, more=data, header=True)
    assert thread.world.get(BASE + PAGE + 960, 192) == data[:64] + bytes(128)
    found = thread.send(PORT_0, 1 << 18 | 2 << 12 | 30, header, rlen=4, header=True)
    assert found == data[:64] + bytes(64)


def test_a_barrier_counts_the_thread_and_an_unknown_message_is_a_fault(thread: Thread) -> None:
    thread.send(3, 4, bytes(32), mask=1)
    assert (thread.group.arrived, thread.thread.arrived) == (1, 1)
    thread.send(7, 0x10, bytes(32))
    assert thread.fault[0] == 0
    thread.send(6, 5, bytes(32))
    assert thread.fault == (ILLEGAL, 6 << 32 | 1 << 25 | 5, False)


def test_a_short_response_is_filled_as_far_as_it_goes(thread: Thread) -> None:
    thread.world.put(BASE, _dwords(*range(64)))
    thread.world.bind(0, buffer_state(BASE, 256))
    offsets = _dwords(*range(0, 256, 16))
    found = thread.send(PORT_1, 1 << 14 | 1 << 12 | 0 << 8, offsets, rlen=1, mask=0xF0F0)
    assert found == b"\xee" * 16 + _dwords(16, 20, 24, 28)


def test_every_routine_has_an_address() -> None:
    found = native.routine_addresses()
    assert set(found) == set(native.ROUTINES)
    load: Any = ctypes.CFUNCTYPE(
        ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
    )(found["eu_load"])
    with world() as made:
        thread = Thread(made)
        made.put(BASE + PAGE - 3, b"abcdef")
        where = int(ffi.cast("uintptr_t", thread.worker.struct))
        assert load(where, BASE + PAGE - 3, 4) == int.from_bytes(b"abcd", "little")
        thread.worker.detach()


def test_pages_ahead_are_looked_up_as_those_that_are_asked_for(thread: Thread) -> None:
    """From the second of a row on; what is absent or read-only is found when it is touched."""
    worker = thread.worker.struct
    for page in range(ABSENT):
        thread.world.put(BASE + PAGE * page + 8, bytes([page]))
    places = [lib.eu_readable(worker, BASE + PAGE * page + 8) for page in range(ABSENT)]
    assert [place[0] for place in places] == list(range(ABSENT))
    assert worker.statistics[lib.EU_WALKS] == 2
    assert thread.fault == (0, 0, False)
    assert lib.eu_readable(worker, BASE + PAGE * ABSENT) == ffi.NULL
    assert thread.fault == (1, BASE + PAGE * ABSENT, False)


def test_pages_ahead_are_written_only_where_that_is_allowed(thread: Thread) -> None:
    worker = thread.worker.struct
    for page in range(READ_ONLY):
        assert lib.eu_writable(worker, BASE + PAGE * page) != ffi.NULL
    assert worker.statistics[lib.EU_WALKS] == 2
    assert lib.eu_writable(worker, BASE + PAGE * READ_ONLY) == ffi.NULL
    assert thread.fault == (0, 0, False)
    assert worker.statistics[lib.EU_DISCARDED_WRITES] == 1
