"""Which channels of an instruction are enabled.

Source: PRM SKL vol 7 "Predication", "Predicate Control"; the inversion comes after the combination
of flag bits.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mediator.softgpu.eu.isa.execution_type import IllegalOperation

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import Instruction

Lanes = NDArray[np.bool_]

SEQUENTIAL: Final = 1
ANY_VERTICAL: Final = 2
ALL_VERTICAL: Final = 3
_REGISTER: Final = 32
"""Bits of a flag register."""

GROUPS: Final = MappingProxyType(
    {
        4: (2, False),
        5: (2, True),
        6: (4, False),
        7: (4, True),
        8: (8, False),
        9: (8, True),
        10: (16, False),
        11: (16, True),
        12: (32, False),
        13: (32, True),
    }
)
"""Align1: of how many neighbouring flag bits any, or all, must be set."""
_ALIGN16_GROUPS: Final = MappingProxyType({6: (4, False), 7: (4, True)})
_REPLICATED: Final = MappingProxyType({2: 0, 3: 1, 4: 2, 5: 3})
"""Align16: which of each four flag bits counts."""


def check_predicate(instruction: Instruction) -> None:
    """Raise IllegalOperation for a reserved predicate control."""
    predicate = instruction.predicate
    if predicate is None or predicate.control == SEQUENTIAL:
        return
    if instruction.align16:
        known = predicate.control in _ALIGN16_GROUPS or predicate.control in _REPLICATED
    else:
        vertical = predicate.control in (ANY_VERTICAL, ALL_VERTICAL)
        known = vertical or predicate.control in GROUPS
    if not known:
        raise IllegalOperation(f"reserved predicate control {predicate.control}")


def predicate_lanes(
    instruction: Instruction, threads: Threads, rows: Rows, width: int
) -> Lanes | None:
    """The predicate's value for the first ``width`` channels; None without a predicate."""
    predicate = instruction.predicate
    if predicate is None:
        return None
    control, position = predicate.control, instruction.flag + instruction.channel
    if control == SEQUENTIAL:
        lanes = threads.flag_lanes(rows, position, width)
    elif instruction.align16:
        lanes = _align16(control, threads, rows, position, width)
    elif control in (ANY_VERTICAL, ALL_VERTICAL):
        # The same bits of f0 and f1.
        first = threads.flag_lanes(rows, position % _REGISTER, width)
        second = threads.flag_lanes(rows, position % _REGISTER + _REGISTER, width)
        lanes = first | second if control == ANY_VERTICAL else first & second
    else:
        size, every = GROUPS[control]
        lanes = _groups(threads, rows, position, width, size, every)
    return ~lanes if predicate.inverse else lanes


def enabled_lanes(instruction: Instruction, threads: Threads, rows: Rows) -> Lanes:
    """The channels of a branch or message that take part: active ones, unless it is NoMask, for
    which the predicate holds."""
    width = instruction.width
    predicate = predicate_lanes(instruction, threads, rows, width)
    if instruction.no_mask:
        if predicate is not None:
            return predicate
        return np.ones((len(threads.ip[rows]), width), np.bool_)
    lanes = active_lanes(instruction, threads, rows)
    return lanes if predicate is None else lanes & predicate


def active_lanes(instruction: Instruction, threads: Threads, rows: Rows) -> Lanes:
    """The active ones of an instruction's channels."""
    first = instruction.channel
    return threads.active[rows, first : first + instruction.width]


def _groups(
    threads: Threads, rows: Rows, position: int, width: int, size: int, every: bool
) -> Lanes:
    register = position // _REGISTER * _REGISTER
    bits = threads.flag_lanes(rows, register, _REGISTER)
    grouped = bits.reshape(len(bits), _REGISTER // size, size)
    found = (np.logical_and if every else np.logical_or).reduce(grouped, axis=2)
    members = (np.arange(position, position + width) - register) % _REGISTER // size
    lanes: Lanes = found[:, members]
    return lanes


def _align16(control: int, threads: Threads, rows: Rows, position: int, width: int) -> Lanes:
    if control in _ALIGN16_GROUPS:
        size, every = _ALIGN16_GROUPS[control]
        return _groups(threads, rows, position, width, size, every)
    bits = threads.flag_lanes(rows, position & -4, max(width, 4))
    chosen = np.arange(width) // 4 * 4 + _REPLICATED[control]
    lanes: Lanes = bits[:, chosen]
    return lanes
