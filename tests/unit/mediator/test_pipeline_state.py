"""The pages of an image that keep the pipeline's state: which bits may differ, and which may not.

What is not as the state itself would write it is carried out command by command, by the streamer,
which knows what else may stand there.
"""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.pipeline_state import IMAGE_BYTES, PipelineState

PAGE = 4096
SELECT, BASES = 0x6904, 0x6101
MODIFY_WORDS = {1, 4, 6, 8, 10, 12, 13, 14, 15, 16}
"""STATE_BASE_ADDRESS: dwords whose bit 0 puts a field in force."""


@pytest.fixture(scope="module")
def image() -> bytes:
    return PipelineState("RCS").image


def commands(image: bytes) -> list[tuple[int, int]]:
    """Bits 31:16 of each command in the first page, and its first dword's number."""
    words = struct.unpack("<1024I", image[:PAGE])
    found = []
    at = 0
    while words[at]:
        key = words[at] >> 16
        found.append((key, at))
        at += 1 if key == SELECT else (words[at] & 0xFF) + 2
    return found


def takes(image: bytes, bit: int) -> bool:
    changed = bytearray(image)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return PipelineState("RCS").restore(bytes(changed))


def test_every_bit_of_a_command_is_fixed_but_its_operands(image: bytes) -> None:
    found = commands(image)
    assert [key for key, _ in found][:4] == [0x6101, 0x6102, 0x6104, SELECT]
    state = PipelineState("RCS")
    pages = image[:PAGE]
    rest = image[PAGE:]
    for key, at in found:
        for bit in range(32):
            word = bytearray(pages)
            word[4 * at + (bit >> 3)] ^= 1 << (bit & 7)
            free = (key == SELECT and bit < 8) or (key == 0x780C and 8 <= bit < 12)
            assert state.restore(bytes(word) + rest) == free, (hex(key), bit)
    base = next(at for key, at in found if key == BASES)
    for dword in range(1, 19):
        assert takes(image, 32 * (base + dword)) == (dword not in MODIFY_WORDS), dword
        assert takes(image, 32 * (base + dword) + 12), dword


def test_what_lies_behind_is_nothing(image: bytes) -> None:
    key, at = commands(image)[-1]
    assert key == 0x7900
    end = 32 * (at + 4)
    assert takes(image, end - 1)
    for bit in (end, end + 31, 8 * PAGE - 1):
        assert not takes(image, bit), bit


def test_loads_are_as_long_as_they_say(image: bytes) -> None:
    state = PipelineState("RCS")
    state.load_descriptors(bytes(range(64)))
    state.load_constants(b"\x5a" * 4096)
    kept = PipelineState("RCS")
    assert kept.restore(state.image)
    assert (kept.descriptors, kept.constants) == (bytes(range(64)), b"\x5a" * 4096)
    assert kept.image == state.image
    for page in (PAGE, 2 * PAGE):
        for dword in (0, 1, 2, 3):
            assert not takes(state.image, 8 * page + 32 * dword), dword
        assert takes(state.image, 8 * page + 32 * 4)
    assert not takes(state.image, 8 * (PAGE + 16 + 64))
    assert not takes(state.image, 8 * IMAGE_BYTES - 1)


def test_a_refused_image_changes_nothing(image: bytes) -> None:
    state = PipelineState("RCS")
    state.load_constants(b"\x5a" * 32)
    before = state.image
    other = bytearray(image)
    other[0] ^= 1
    assert not state.restore(bytes(other))
    assert state.image == before


def test_other_engines_have_none() -> None:
    assert PipelineState("BCS").image == b""
