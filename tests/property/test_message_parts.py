"""Every format, every atomic operation and every routine by name: C against the Python twins."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest

from mediator.gen9.eu.formats import FORMATS, Format
from mediator.gen9.eu.messages import AtomicOperation, FloatAtomicOperation
from tests.unit.mediator.message_bench import (
    BASE,
    BASES,
    PAGE,
    call,
    native_messages,
    python_messages,
    world,
)

native: Any = pytest.importorskip("mediator.softgpu.eu.native.worker")
ffi, lib = native.ffi, native.lib
PORT_1, SLM = 12, 254
U = struct.pack("<8I", *range(8))
EDGES = (0, 1, 0x8000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0000, 0x7FC0_0001, 0xBF80_0000)


KIND_OF = {(False, 0): 0x02, (False, 1): 0x12, (True, 0): 0x1B, (True, 1): 0x1D}
"""An atomic message's type: of floats, global."""


def _words(random: Random, count: int) -> bytes:
    """Floats near the ends of what formats hold, whole numbers, and noise."""
    words = b""
    for _ in range(count):
        match random.randrange(5):
            case 0:
                words += struct.pack("<I", random.choice(EDGES))
            case 1:
                words += struct.pack(
                    "<f", random.choice([0.5, 1.0, -1.0, 2.5, 0.003, 65504.0, 1e-7])
                )
            case 2:
                words += struct.pack("<i", random.randrange(-200, 70000))
            case 3:
                words += struct.pack("<f", random.uniform(-1.5, 1.5))
            case _:
                words += random.randbytes(4)
    return words


def _state(format_: Format) -> bytes:
    dwords = [0] * 16
    dwords[0] = 1 << 29 | format_.code << 18
    dwords[2] = 7
    dwords[3] = 8 * format_.size - 1
    dwords[8], dwords[9] = BASE & 0xFFFF_FFFF, BASE >> 32
    return struct.pack("<16I", *dwords)


@pytest.mark.parametrize("group", range(8))
def test_every_format_is_read_and_written_alike(group: int) -> None:
    random = Random(group)
    for format_ in sorted(FORMATS.values(), key=lambda each: each.code)[group::8]:
        texels = b"".join(_words(random, 4) for _ in range(8))[: 8 * format_.size]
        given, off = _words(random, 32), random.choice([0, 0, 0, 0xE, 5])
        if off:
            given = given[: 32 * (4 - off.bit_count())]
        found = []
        for make in (native_messages, python_messages):
            with world() as made:
                made.put(BASE, texels + b"\x5a" * 16)
                made.bind(0, _state(format_))
                messages = make(made)
                read = call(PORT_1, 5 << 14 | 1 << 12, U, 4)
                assert messages.send(read) is None
                write = call(PORT_1, 13 << 14 | 1 << 12 | off << 8, U, more=given)
                assert messages.send(write) is None
                found.append((read.response.tobytes(), made.get(BASE, 8 * 16 + 16)))
        assert found[0] == found[1], (format_, texels.hex(), given.hex())


def _operations() -> list[tuple[str, int, bool, int]]:
    """(name, code, float, whether global)."""
    found = []
    for wide in (0, 1):
        found += [(each.name, int(each), False, wide) for each in AtomicOperation]
        found += [(each.name, int(each), True, wide) for each in FloatAtomicOperation]
    return found


@pytest.mark.parametrize(("name", "code", "floating", "wide"), _operations())
def test_every_atomic_operation_is_carried_out_alike(
    name: str, code: int, floating: bool, wide: int
) -> None:
    random = Random(f"{name}{wide}")
    kind = KIND_OF[floating, wide]
    for control in (0, 0x10, 0x20, 0x30):  # eight lanes or qwords; with old values
        memory = _words(random, 16)
        if wide:
            where = struct.pack("<8Q", *(BASE + 8 * random.randrange(8) for _ in range(8)))
        else:
            where = struct.pack("<16I", *(4 * random.randrange(16) for _ in range(16)))
        operands = _words(random, 64)
        if random.random() < 0.5:  # compare with what is there
            operands = memory * 4
        if not wide and control & 0x10:
            where = where[:32]
        found = []
        for make in (native_messages, python_messages):
            with world() as made:
                made.put(BASE, memory)
                made.bind(
                    3,
                    struct.pack(
                        "<16I",
                        4 << 29 | 0x1FF << 18,
                        0,
                        63,
                        0,
                        0,
                        0,
                        0,
                        0,
                        BASE & 0xFFFF_FFFF,
                        BASE >> 32,
                        *[0] * 6,
                    ),
                )
                messages = make(made)
                for index in (3, SLM):
                    function = kind << 14 | control << 8 | code << 8 | index
                    sent = call(PORT_1, function, where, 2, 0xF7FF, more=operands)
                    assert messages.send(sent) is None
                    found.append(sent.response.tobytes())
                found.append(made.get(BASE, 64))
        assert found[:3] == found[3:], (memory.hex(), where.hex(), operands.hex())


@pytest.mark.parametrize("lanes", [8, 16])
def test_routines_by_name_do_what_the_messages_do(lanes: int) -> None:
    random = Random(lanes)
    mode, mask = (2 if lanes == 8 else 1), random.getrandbits(lanes)
    offsets = [random.choice([0, 4, 60, 61, 64, 200, PAGE]) for _ in range(lanes)]
    narrow = struct.pack(f"<{lanes}I", *offsets)
    wide = struct.pack(f"<{lanes}Q", *(BASE + each for each in offsets))
    data = random.randbytes(4 * lanes * 4)
    buffer = struct.pack(
        "<16I",
        4 << 29 | 0x1FF << 18,
        0,
        80,
        0,
        0,
        0,
        0,
        0,
        BASE & 0xFFFF_FFFF,
        BASE >> 32,
        *[0] * 6,
    )
    a32, a64 = ffi.from_buffer("uint32_t[]", narrow), ffi.from_buffer("uint64_t[]", wide)
    given = ffi.from_buffer("uint32_t[]", data)
    dwords = 4 * lanes
    simd, bit = mode << 12, (lanes == 16) << 12

    def by_message(function: int, sfid: int = PORT_1, *, payload: bytes, write: bool) -> bytes:
        with world() as made:
            made.put(BASE, bytes(range(256)) * 17)
            made.bind(0, buffer)
            rlen = 0 if write else 4 * lanes // 8
            more = data if write else b""
            sent = call(sfid, function, payload, rlen, mask, more=more)
            assert native_messages(made).send(sent) is None
            return sent.response.tobytes() + made.get(BASE, 2 * PAGE)

    def by_name(name: str, *arguments: Any, write: bool) -> bytes:
        with world() as made:
            made.put(BASE, bytes(range(256)) * 17)
            made.bind(0, buffer)
            worker = native.NativeWorker()
            worker.attach(made.space, BASES)
            group = ffi.new("struct eu_group *")
            fixed = [worker.struct] + ([] if name.startswith("eu_global") else [group, 0])
            found = ffi.new("uint32_t[]", [0xEEEE_EEEE] * dwords)
            getattr(lib, name)(*fixed, *arguments, given if write else found)
            assert worker.struct.fault == 0
            worker.detach()
            response = b"" if write else bytes(ffi.buffer(found))
            return response + made.get(BASE, 2 * PAGE)

    pairs = [
        ("eu_untyped_read", (a32, lanes, 3, mask), 1 << 14 | 8 << 8 | simd, PORT_1, narrow, False),
        ("eu_untyped_write", (a32, lanes, 2, mask), 9 << 14 | 12 << 8 | simd, PORT_1, narrow, True),
        ("eu_global_read", (a64, lanes, 4, mask), 0x11 << 14 | simd, PORT_1, wide, False),
        ("eu_global_write", (a64, lanes, 1, mask), 0x19 << 14 | 14 << 8 | simd, PORT_1, wide, True),
        (
            "eu_scattered_read",
            (a32, lanes, 2, mask),
            4 << 14 | 4 << 8 | bit >> 4,
            10,
            narrow,
            False,
        ),
        ("eu_scattered_write", (a32, lanes, 1, mask), 12 << 14 | bit >> 4, 10, narrow, True),
        (
            "eu_global_scattered_read",
            (a64, lanes, 8, mask),
            0x10 << 14 | 2 << 8 | bit,
            PORT_1,
            wide,
            False,
        ),
        (
            "eu_global_scattered_write",
            (a64, lanes, 4, mask),
            0x1A << 14 | 8 << 8 | bit,
            PORT_1,
            wide,
            True,
        ),
    ]
    for name, arguments, function, sfid, payload, write in pairs:
        found = by_name(name, *arguments, write=write)
        assert found == by_message(function, sfid, payload=payload, write=write), name
    block = by_name("eu_block_read", 16, 8, write=False)
    assert block[:32] == bytes(range(16, 48))
    assert by_name("eu_global_block_write", BASE + 4, 8, write=True)[:40] == (
        bytes(range(4)) + data[:32] + bytes(range(36, 40))
    )
