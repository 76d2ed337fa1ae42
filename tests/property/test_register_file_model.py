"""Register accesses of any size and place against plain bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmio_trap.register_map import Access, Register, RegisterFile, RegisterMap

SIZE = 64
HOLES = {0x10, 0x14, 0x3C}
"""Offsets without a register."""
READ_ONLY = 0x20

ROWS: list[Register[None]] = [
    Register(f"R{offset:x}", offset, Access.RO if offset == READ_ONLY else Access.RW)
    for offset in range(0, SIZE, 4)
    if offset not in HOLES
]

places = st.integers(0, SIZE - 1)
writes = st.tuples(places, st.binary(min_size=1, max_size=20)).map(
    lambda place: (place[0], place[1][: SIZE - place[0]])
)


@given(st.lists(writes, max_size=20), places, st.integers(1, SIZE))
def test_plain_registers_are_memory(
    accesses: list[tuple[int, bytes]], offset: int, count: int
) -> None:
    registers = RegisterFile(RegisterMap(ROWS, SIZE), None)
    model = bytearray(SIZE)
    for at, data in accesses:
        registers.write(at, data)
        for i, byte in enumerate(data, at):
            if i & ~3 not in HOLES and i & ~3 != READ_ONLY:
                model[i] = byte
    count = min(count, SIZE - offset)
    assert registers.read(offset, count) == model[offset : offset + count]
    assert registers.values.tobytes() == model


@given(places, st.integers(1, SIZE))
def test_each_dword_is_read_once_and_in_order(offset: int, count: int) -> None:
    seen: list[int] = []

    def handler(_: None, register: Register[None]) -> int:
        seen.append(register.offset)
        return register.offset * 0x01010101

    rows = [Register(f"R{at:x}", at, Access.RO, read=handler) for at in range(0, SIZE, 4)]
    registers = RegisterFile(RegisterMap(rows, SIZE), None)
    count = min(count, SIZE - offset)
    got = registers.read(offset, count)
    assert seen == list(range(offset & ~3, offset + count, 4))
    assert got == bytes(at & ~3 for at in range(offset, offset + count))


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=10), st.integers(0, 0xFFFF))
def test_masked_register_changes_enabled_bits_only(values: list[int], reset: int) -> None:
    rows: list[Register[None]] = [Register("M", 0, Access.MASKED, reset)]
    registers = RegisterFile(RegisterMap(rows, 4), None)
    model = reset
    for value in values:
        registers.write32(0, value)
        for bit in range(16):
            if value >> (16 + bit) & 1:
                model = model & ~(1 << bit) | (value & 1 << bit)
        assert registers.read32(0) == model
