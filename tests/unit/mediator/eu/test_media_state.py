"""What media commands and descriptors say, bit by bit, from PRM SKL vol 2a and 2d alone."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.eu.dispatch import media_state
from mediator.softgpu.eu.dispatch.media_state import BadState, Base, Bases
from tests.unit.mediator.eu import media_commands as mc

ONES = 0xFFFF_FFFF
NO_LIMIT = 1 << 48


def _bases(dwords: dict[int, int]) -> Bases:
    return media_state.bases(tuple(dwords.get(n, 0) for n in range(19)))


@pytest.mark.parametrize(
    ("name", "base", "size"),
    [
        ("general", 1, 12),
        ("surface", 4, None),
        ("dynamic", 6, 13),
        ("indirect", 8, 14),
        ("instruction", 10, 15),
    ],
)
def test_a_base_has_48_bits_in_pages_and_its_size_too(
    name: str, base: int, size: int | None
) -> None:
    found = _bases({base: 0x2345_6FFF, base + 1: 0xABCD_8001})
    expected = Base(0x8001_2345_6000, NO_LIMIT if size is None else 0)
    assert getattr(found, name) == expected
    others = {"general", "surface", "dynamic", "indirect", "instruction"} - {name}
    assert all(getattr(found, each).address == 0 for each in others)
    if size is not None:
        assert getattr(_bases({size: 0x0012_3FFF}), name) == Base(0, 0x12_3000)
        assert getattr(_bases({size: ONES}), name) == Base(0, 0xFFFF_F000)


def test_bindless_states_are_counted_in_64_bytes_less_one() -> None:
    found = _bases({16: 0x2345_6001, 17: 0x8001, 18: 0x0000_2FFF}).bindless
    assert found == Base(0x8001_2345_6000, 3 * 64)
    assert _bases({}).bindless == Base(0, 64)
    assert _bases({18: ONES}).bindless.size == 1 << 26


@pytest.mark.parametrize("code", [0, 1, 5, 11])
def test_a_front_end_has_scratch_space_and_threads(code: int) -> None:
    found = media_state.front_end((0, 0x2345_6400 | 0x3F0 | code, 0xABCD_8001, 0x0037_FFFF))
    assert (found.scratch_base, found.scratch_code) == (0x8001_2345_6400, code)
    assert found.scratch_bytes == 1024 << code
    assert found.threads == 0x38


FIELDS = [
    # name, dword, bits, value
    ("kernel", 0, ONES, 0xFFFF_FFC0),
    ("kernel", 1, ONES, 0xFFFF_0000_0000),
    ("alternate_float", 2, 1 << 16, True),
    ("single_program_flow", 2, 1 << 18, True),
    ("keeps_denormals", 2, 1 << 19, True),
    ("samplers", 3, ONES, 0xFFFF_FFE0),
    ("binding_table", 4, ONES, 0xFFE0),
    ("constant_offset", 5, 0xFFFF, 0xFFFF * 32),
    ("own_length", 5, 0xFFFF_0000, 0xFFFF),
    ("threads", 6, 0xFC00 | 0x3FF, 0x3FF),
    ("slm_bytes", 6, 1 << 16, 1024),
    ("barrier", 6, 1 << 21, True),
    ("rounding", 6, 0xC0_0000, 3),
    ("shared_length", 7, ONES, 0xFF),
]


@pytest.mark.parametrize(("name", "dword", "bits", "value"), FIELDS)
def test_each_field_of_a_descriptor_stands_alone(
    name: str, dword: int, bits: int, value: int
) -> None:
    words = [0] * 8
    nothing = media_state.descriptor(bytes(32))
    words[dword] = bits
    found = media_state.descriptor(struct.pack("<8I", *words))
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value)
    changed = [each for each, *_ in FIELDS if getattr(found, each) != getattr(nothing, each)]
    assert set(changed) == {name}


@pytest.mark.parametrize("code", range(32))
def test_local_memory_comes_in_powers_of_two_up_to_64_kib(code: int) -> None:
    data = mc.descriptor(slm_code=code)
    if code > 7:
        with pytest.raises(BadState, match=f"code {code} is reserved"):
            media_state.descriptor(data)
    else:
        assert media_state.descriptor(data).slm_bytes == (512 << code if code else 0)


def test_addresses_wrap_at_48_bits() -> None:
    assert media_state.wrap((1 << 48) + 5) == 5
    assert media_state.wrap((1 << 48) - 1) == (1 << 48) - 1
