"""An interrupted walker in its image: dword by dword, and what does not count as one."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.eu.dispatch.interrupted import (
    NO_TOKEN,
    NOTHING,
    Interrupted,
    of_command,
    pack,
    parse,
)

PAGES = 4096
DWORDS = 14
HEADER = 0x7105 << 16 | DWORDS - 2
TOKEN = bytes(range(0x81, 0x91))
WHOLE = Interrupted((0x40, 0x1_2345_6000, 0x7_0000_0008), (5, 6, 7), TOKEN)


def words(pages: bytes) -> list[int]:
    return list(struct.unpack_from(f"<{DWORDS}I", pages))


def test_it_is_a_walker_of_a_length_that_no_batch_has() -> None:
    token = struct.unpack("<4I", TOKEN)
    expected = [HEADER, 1, 5, 6, 7, 0x40, 0x2345_6000, 1, 8, 7, *token]
    packed = pack(WHOLE)
    assert words(packed) == expected
    assert packed[4 * DWORDS :] == bytes(PAGES - 4 * DWORDS)
    assert bytes(PAGES) == NOTHING


@pytest.mark.parametrize(
    "interrupted",
    [
        WHOLE,
        Interrupted((0, 0, 0), None),
        Interrupted((0x40, 0x1000, 0), (0, 0, 0)),
        Interrupted((0xFFFF_FFFF, (1 << 64) - 1, 1), ((1 << 32) - 1, 0, 1), TOKEN),
        Interrupted((8, 0, 0), None, TOKEN),
    ],
)
def test_what_was_packed_comes_back(interrupted: Interrupted) -> None:
    assert parse(pack(interrupted)) == interrupted
    assert of_command(words(pack(interrupted))) == interrupted


@pytest.mark.parametrize("at", [0, 1, 3, 4 * DWORDS, PAGES - 1])
def test_pages_that_nobody_packed_are_no_walker(at: int) -> None:
    changed = bytearray(pack(WHOLE))
    changed[at] ^= 1
    assert parse(bytes(changed)) is None
    assert parse(NOTHING) is None


@pytest.mark.parametrize("flags", [2, 3, 0x8000_0001])
def test_other_flags_are_no_walker(flags: int) -> None:
    changed = bytearray(pack(WHOLE))
    struct.pack_into("<I", changed, 4, flags)
    assert parse(bytes(changed)) is None


def test_a_group_without_its_flag_is_no_walker() -> None:
    changed = bytearray(pack(Interrupted((8, 0, 0), None, NO_TOKEN)))
    changed[8] = 1
    assert parse(bytes(changed)) is None


def test_commands_of_another_length_bring_nothing_back() -> None:
    found = words(pack(WHOLE))
    assert of_command(found[:-1]) is None
    assert of_command([*found, 0]) is None
    assert of_command([found[0] ^ 1, *found[1:]]) is None
