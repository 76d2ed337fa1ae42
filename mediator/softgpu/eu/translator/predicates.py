"""Predicates: flag bits, alone or combined over groups of channels, as a mask.

Source: PRM SKL vol 2d "PredCtrl".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.translator.text import Value, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.translator.state import State

_SEQUENTIAL: Final = 1
_ANY_VERTICAL, _ALL_VERTICAL = 2, 3
_GROUPS: Final = {4: (2, "any"), 5: (2, "all"), 6: (4, "any"), 7: (4, "all"), 8: (8, "any")} | {
    9: (8, "all"),
    10: (16, "any"),
    11: (16, "all"),
    12: (32, "any"),
    13: (32, "all"),
}
"""Channels of a group and what is asked of them, by the control's code in align1."""
_ALIGN16_GROUPS: Final = {6: (4, "any"), 7: (4, "all")}
_ALIGN16_CHANNELS: Final = {2: 0, 3: 1, 4: 2, 5: 3}
_SECOND_REGISTER: Final = 32


def predicate_mask(state: State, instruction: Instruction) -> Value:
    """Which channels the predicate of an instruction lets pass."""
    text, predicate = state.text, instruction.predicate
    assert predicate is not None, "the caller has looked"
    mask = _passing(state, instruction, predicate.control)
    return text.invert(mask) if predicate.inverse else mask


def _passing(state: State, instruction: Instruction, control: int) -> Value:
    text, width = state.text, instruction.width
    first = instruction.flag + instruction.channel
    if control == _SEQUENTIAL:
        return state.flag_bits(first, width)
    if instruction.align16 and control in _ALIGN16_CHANNELS:
        bits = state.flag_bits(first & -4, max(width, 4))
        chosen = _ALIGN16_CHANNELS[control]
        return text.shuffle(bits, [lane // 4 * 4 + chosen for lane in range(width)])
    if not instruction.align16 and control in (_ANY_VERTICAL, _ALL_VERTICAL):
        upper = state.flag_bits(first % _SECOND_REGISTER, width)
        lower = state.flag_bits(first % _SECOND_REGISTER + _SECOND_REGISTER, width)
        return text.binary("or" if control == _ANY_VERTICAL else "and", upper, lower)
    size, question = (_ALIGN16_GROUPS if instruction.align16 else _GROUPS)[control]
    return _grouped(state, first, width, size, question)


def _grouped(state: State, first: int, width: int, size: int, question: str) -> Value:
    """One answer for each group of bits of a flag register, to all channels of the group."""
    text = state.text
    register = first // _SECOND_REGISTER * _SECOND_REGISTER
    lanes = []
    answers: dict[int, Value] = {}
    for position in range(first - register, first - register + width):
        group = position % _SECOND_REGISTER // size
        if group not in answers:
            bits = state.flag_bits(register + group * size, size)
            number = text.bitcast(bits, f"i{size}", 1)
            if question == "any":
                answers[group] = text.compare("ne", number, zero(number.element))
            else:
                answers[group] = text.compare("eq", number, Value("-1", number.element))
        lanes.append(answers[group])
    if len(answers) == 1:
        return text.splat(lanes[0], len(lanes))
    return text.concat(lanes)
