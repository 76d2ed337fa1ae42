"""Atomic operations. Twin of ``native/atomic.c``."""

from __future__ import annotations

from mediator.gen9.eu.messages import AtomicOperation, FloatAtomicOperation
from mediator.softgpu.atomic import AtomicOp, apply
from mediator.softgpu.eu.messages.lanes import Lanes
from mediator.softgpu.eu.messages.memory import ADDRESS_MASK
from mediator.softgpu.eu.messages.message import DWORD
from mediator.softgpu.eu.messages.target import Target

_MAGNITUDE = 0x7FFF_FFFF
_INFINITY = 0x7F80_0000

Operation = AtomicOperation | FloatAtomicOperation

_NO_OPERAND = {
    AtomicOperation.INCREMENT,
    AtomicOperation.DECREMENT,
    AtomicOperation.PRE_DECREMENT,
}


def operands(operation: Operation) -> int:
    """How many an operation takes."""
    if isinstance(operation, FloatAtomicOperation):
        return 2 if operation is FloatAtomicOperation.COMPARE_WRITE else 1
    if operation is AtomicOperation.COMPARE_WRITE:
        return 2
    return 0 if operation in _NO_OPERAND else 1


def atomic(
    target: Target,
    lanes: Lanes,
    size: int,
    operation: Operation,
    given: tuple[memoryview, memoryview],
    old: memoryview | None,
) -> None:
    """An operation on ``size`` bytes for each channel; ``old`` is filled if there is one."""
    for lane, at in lanes.active():
        first, second = (_operand(each, lane, size) for each in given)
        found = _change(target, at & -size, size, operation, first, second)
        if old is None:
            continue
        if size == 8:
            old[2 * lane], old[2 * lane + 1] = found & DWORD, found >> 32
        else:
            old[lane] = found


def _operand(data: memoryview, lane: int, size: int) -> int:
    if size == 8:
        return int(data[2 * lane] | data[2 * lane + 1] << 32)
    return int(data[lane])


def _change(
    target: Target, offset: int, size: int, operation: Operation, first: int, second: int
) -> int:
    """Carry an operation out; what the message gives back."""

    def new(old: int) -> int:
        if isinstance(operation, FloatAtomicOperation):
            return apply_float(operation, old, first, second)
        return apply(AtomicOp(operation), size, old, first, second)  # the codes of MI_ATOMIC

    offset = target.place(offset)
    if not target.inside(offset, size):
        return 0
    if target.local:
        old = target.load(offset, size)
        target.store(offset, size, new(old))
    else:
        old = target.unit.memory.change(target.base + offset & ADDRESS_MASK & -size, size, new)
    if operation is AtomicOperation.PRE_DECREMENT:
        return old - 1 & (1 << 8 * size) - 1
    return old


def apply_float(operation: FloatAtomicOperation, old: int, first: int, second: int) -> int:
    """What a float operation writes, all as bits. Of two NaNs or zeros the old one stays."""
    if operation is FloatAtomicOperation.COMPARE_WRITE:
        same = not _is_nan(old) and not _is_nan(first) and _order(old) == _order(first)
        return second if same else old
    if _is_nan(old):
        return first
    if _is_nan(first):
        return old
    if operation is FloatAtomicOperation.MAXIMUM:
        return first if _order(first) > _order(old) else old
    return first if _order(first) < _order(old) else old


def _is_nan(bits: int) -> bool:
    return bits & _MAGNITUDE > _INFINITY


def _order(bits: int) -> int:
    """An integer in the order of the floats; both zeros are 0."""
    magnitude = bits & _MAGNITUDE
    return -magnitude if bits >> 31 else magnitude
