"""Which channels an instruction's predicate and mask leave, bit by bit as the manual has it."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.interpreter.predication import (
    check_predicate,
    enabled_lanes,
    predicate_lanes,
)
from mediator.softgpu.eu.interpreter.threads import ALL, Threads
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import Instruction, Predicate
from tests.unit.mediator.eu_instruction_bench import instruction

PLACES = [
    (width, channel)
    for width in (1, 2, 4, 8, 16, 32)
    for channel in range(0, 32, 4)
    if channel + width <= 32 and channel % min(width, 16) == 0
]


def _threads(seed: int) -> tuple[Threads, list[int]]:
    """Threads with flags, among them none and all."""
    random = Random(seed)
    words = [0, (1 << 64) - 1]
    for _ in range(10):  # runs of bits, so that groups are whole now and then
        words.append(sum(random.choice([0, 0xF, 0xF, 0xE, 1]) << 4 * n for n in range(16)))
        words.append(sum(random.choice([0, 0xFFFF, 0xFFFF]) << 16 * n for n in range(4)))
    threads = Threads(len(words))
    threads.blocks["dispatch_mask"] = [random.getrandbits(32) for _ in words]
    threads.start()
    threads.flags[:] = np.array(words, np.uint64)
    return threads, words


def _what(
    control: int, inverse: bool, flag: int, width: int, channel: int, align16: bool
) -> Instruction:
    return instruction(
        Opcode.MOV,
        predicate=Predicate(control, inverse),
        flag=flag,
        width=width,
        channel=channel,
        align16=align16,
    )


def _holds(flags: int, control: int, position: int, lane: int, align16: bool) -> bool:
    """PRM SKL vol 7 "Predication": the predicate of one channel, before it is inverted."""
    at = position + lane
    register = at // 32 * 32
    if control == 1:
        return bool(flags >> at & 1)
    if align16 and control < 6:
        return bool(flags >> at // 4 * 4 + control - 2 & 1)
    if control in (2, 3) and not align16:
        pair = flags >> at % 32 & 1, flags >> at % 32 + 32 & 1
        return any(pair) if control == 2 else all(pair)
    size = 4 if align16 else 2 << (control - 4) // 2
    first = register + (at - register) // size * size
    bits = [flags >> first + n & 1 for n in range(size)]
    return all(bits) if control % 2 else any(bits)


@pytest.mark.parametrize(
    ("control", "align16"),
    [
        *((control, False) for control in range(1, 14)),
        *((control, True) for control in range(1, 8)),
    ],
)
def test_a_predicate_is_of_the_channels_own_flags(control: int, align16: bool) -> None:
    threads, words = _threads(control)
    ways = list(product(PLACES, (0, 16, 32, 48), (False, True)))
    for (width, channel), flag, inverse in Random(control).sample(ways, 50):
        if flag % 32 + channel + width > 32:
            continue  # it would go on in the other register
        what = _what(control, inverse, flag, width, channel, align16)
        check_predicate(what)
        found = predicate_lanes(what, threads, ALL, width)
        assert found is not None
        for thread, flags in enumerate(words):
            expected = [
                _holds(flags, control, flag + channel, lane, align16) is not inverse
                for lane in range(width)
            ]
            assert found[thread].tolist() == expected, (width, channel, flag, inverse)


@pytest.mark.parametrize("predicated", [False, True])
@pytest.mark.parametrize("no_mask", [False, True])
def test_channels_take_part_that_are_active_and_whose_predicate_holds(
    predicated: bool, no_mask: bool
) -> None:
    threads, words = _threads(1)
    masks = threads.blocks["dispatch_mask"].tolist()
    for width, channel in PLACES:
        what = instruction(
            Opcode.SEND,
            predicate=Predicate(1, False) if predicated else None,
            width=width,
            channel=channel,
            no_mask=no_mask,
        )
        found = enabled_lanes(what, threads, ALL)
        for thread, (flags, mask) in enumerate(zip(words, masks, strict=True)):
            lanes = (1 << 32) - 1
            lanes &= lanes if no_mask else mask
            lanes &= flags if predicated else lanes
            expected = [bool(lanes >> channel + n & 1) for n in range(width)]
            assert found[thread].tolist() == expected


@pytest.mark.parametrize(
    ("control", "align16", "legal"),
    [
        *((control, False, 1 <= control <= 13) for control in range(1, 16)),
        *((control, True, 1 <= control <= 7) for control in range(1, 16)),
    ],
)
def test_other_controls_are_reserved(control: int, align16: bool, legal: bool) -> None:
    what = _what(control, False, 0, 8, 0, align16)
    if legal:
        check_predicate(what)
    else:
        with pytest.raises(IllegalOperation, match=f"control {control}"):
            check_predicate(what)
