"""MI_ATOMIC's arithmetic, one row for each operation."""

from __future__ import annotations

import pytest

from mediator.softgpu.atomic import AtomicOp, apply, operation, returned

M = 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("op", "old", "first", "second", "new"),
    [
        (AtomicOp.AND, 0b1100, 0b1010, 0, 0b1000),
        (AtomicOp.OR, 0b1100, 0b1010, 0, 0b1110),
        (AtomicOp.XOR, 0b1100, 0b1010, 0, 0b0110),
        (AtomicOp.MOVE, 1, 2, 3, 2),
        (AtomicOp.INCREMENT, M, 9, 9, 0),
        (AtomicOp.DECREMENT, 0, 9, 9, M),
        (AtomicOp.PRE_DECREMENT, 5, 9, 9, 4),
        (AtomicOp.ADD, M, 3, 9, 2),
        (AtomicOp.SUBTRACT, 1, 3, 9, M - 1),
        (AtomicOp.REVERSE_SUBTRACT, 1, 3, 9, 2),
        (AtomicOp.SIGNED_MAX, M, 1, 9, 1),
        (AtomicOp.SIGNED_MIN, M, 1, 9, M),
        (AtomicOp.UNSIGNED_MAX, M, 1, 9, M),
        (AtomicOp.UNSIGNED_MIN, M, 1, 9, 1),
        (AtomicOp.COMPARE_WRITE, 7, 7, 9, 9),
        (AtomicOp.COMPARE_WRITE, 6, 7, 9, 6),
    ],
)
def test_a_dword(op: AtomicOp, old: int, first: int, second: int, new: int) -> None:
    assert apply(op, 4, old, first, second) == new
    assert returned(op, 4, old, new) == (new if op is AtomicOp.PRE_DECREMENT else old)


def test_a_qword_and_an_octword() -> None:
    assert apply(AtomicOp.ADD, 8, (1 << 64) - 1, 2, 0) == 1
    assert apply(AtomicOp.SIGNED_MIN, 8, 1, 1 << 63, 0) == 1 << 63
    assert apply(AtomicOp.COMPARE_WRITE, 16, 5, 5, 1 << 127) == 1 << 127


@pytest.mark.parametrize(
    ("code", "size", "found"),
    [
        (0x00, 4, None),
        (0x07, 4, AtomicOp.ADD),
        (0x2E, 8, AtomicOp.COMPARE_WRITE),
        (0x4E, 16, AtomicOp.COMPARE_WRITE),
        (0x47, 16, None),
        (0x10, 4, None),
    ],
)
def test_opcodes(code: int, size: int, found: AtomicOp | None) -> None:
    assert operation(code, size) == found
