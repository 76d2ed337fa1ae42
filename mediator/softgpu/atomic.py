"""Arithmetic of MI_ATOMIC: what becomes of the old value. Pure; memory is the caller's affair.

Source: PRM SKL vol 2a MI_ATOMIC, "Atomic Opcode". The low five bits of an opcode name the
operation, bits 7:5 the operand size (0 dword, 1 qword, 2 octword); the command's own data-size
field says the same, and decides.
"""

from __future__ import annotations

from enum import IntEnum

SIZES = (4, 8, 16)
"""Operand sizes in bytes, by the command's data-size field."""


class AtomicOp(IntEnum):
    """Opcode bits 4:0."""

    AND = 0x01
    OR = 0x02
    XOR = 0x03
    MOVE = 0x04
    INCREMENT = 0x05
    DECREMENT = 0x06
    ADD = 0x07
    SUBTRACT = 0x08
    REVERSE_SUBTRACT = 0x09
    SIGNED_MAX = 0x0A
    SIGNED_MIN = 0x0B
    UNSIGNED_MAX = 0x0C
    UNSIGNED_MIN = 0x0D
    COMPARE_WRITE = 0x0E
    PRE_DECREMENT = 0x0F


OPERATION_MASK = 0x1F

_OCTWORD_OPERATIONS = frozenset({AtomicOp.COMPARE_WRITE})


def operation(op_code: int, size: int) -> AtomicOp | None:
    """The operation of ``op_code`` (8 bits) on ``size`` bytes; None when the PRM has none."""
    try:
        found = AtomicOp(op_code & OPERATION_MASK)
    except ValueError:
        return None
    if size == 16 and found not in _OCTWORD_OPERATIONS:
        return None
    return found


def apply(op: AtomicOp, size: int, old: int, operand1: int, operand2: int) -> int:
    """The new value of ``size`` bytes. Values are unsigned and wrap; operands are cut to size.

    COMPARE_WRITE writes ``operand2`` where the old value equals ``operand1``.
    """
    mask = (1 << (8 * size)) - 1
    operand1 &= mask
    operand2 &= mask
    match op:
        case AtomicOp.AND:
            new = old & operand1
        case AtomicOp.OR:
            new = old | operand1
        case AtomicOp.XOR:
            new = old ^ operand1
        case AtomicOp.MOVE:
            new = operand1
        case AtomicOp.INCREMENT:
            new = old + 1
        case AtomicOp.DECREMENT | AtomicOp.PRE_DECREMENT:
            new = old - 1
        case AtomicOp.ADD:
            new = old + operand1
        case AtomicOp.SUBTRACT:
            new = old - operand1
        case AtomicOp.REVERSE_SUBTRACT:
            new = operand1 - old
        case AtomicOp.SIGNED_MAX:
            new = max(_signed(old, size), _signed(operand1, size))
        case AtomicOp.SIGNED_MIN:
            new = min(_signed(old, size), _signed(operand1, size))
        case AtomicOp.UNSIGNED_MAX:
            new = max(old, operand1)
        case AtomicOp.UNSIGNED_MIN:
            new = min(old, operand1)
        case AtomicOp.COMPARE_WRITE:
            new = operand2 if old == operand1 else old
    return new & mask


def returned(op: AtomicOp, size: int, old: int, new: int) -> int:
    """What the command returns to the GPRs: the old value, but PRE_DECREMENT's new one."""
    return (new if op is AtomicOp.PRE_DECREMENT else old) & ((1 << (8 * size)) - 1)


def _signed(value: int, size: int) -> int:
    sign = 1 << (8 * size - 1)
    return (value ^ sign) - sign
