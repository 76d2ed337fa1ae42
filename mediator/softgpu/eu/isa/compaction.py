"""Compacted instruction words to native ones and back.

Source: PRM SKL vol 7 "EU Compact Instruction Format".
"""

from __future__ import annotations

from typing import Final

from mediator.gen9.eu import compaction as facts
from mediator.gen9.eu import fields
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.gen9.field import Field

_Copies = tuple[tuple[Field, Field], ...]
_Indexes = tuple[tuple[Field, int, dict[int, int]], ...]
"""Index field, bits of the native word that its table gives, and the index by those bits."""

_THREE_SOURCE: Final = frozenset(
    opcode.code for opcode in Opcode if opcode.form is Form.THREE_SOURCE
)


def _expansion(table: facts.Table) -> tuple[int, ...]:
    return tuple(table.native(entry) for entry in table.entries)


def _reverse(expansion: tuple[int, ...]) -> dict[int, int]:
    return {native: index for index, native in reversed(tuple(enumerate(expansion)))}


_CONTROL: Final = _expansion(facts.CONTROL)
_DATATYPE: Final = _expansion(facts.DATATYPE)
_SUBREGISTER: Final = _expansion(facts.SUBREGISTER)
_SOURCE0: Final = _expansion(facts.SOURCE0)
_SOURCE1: Final = _expansion(facts.SOURCE1)
_THREE_CONTROL: Final = _expansion(facts.THREE_SOURCE_CONTROL)
_THREE_SOURCE_INDEX: Final = _expansion(facts.THREE_SOURCE_SOURCE)

_INDEXES: Final = (
    (facts.CONTROL_INDEX, facts.CONTROL.mask, _reverse(_CONTROL)),
    (facts.DATATYPE_INDEX, facts.DATATYPE.mask, _reverse(_DATATYPE)),
    (facts.SOURCE0_INDEX, facts.SOURCE0.mask, _reverse(_SOURCE0)),
)
_SOURCE1_INDEX: Final = (facts.SOURCE1_INDEX, facts.SOURCE1.mask, _reverse(_SOURCE1))
_SUBREGISTERS: Final = _reverse(_SUBREGISTER)
_SUBREGISTERS_BEFORE_IMMEDIATE: Final = _reverse(
    tuple(native & ~fields.SOURCE1.subregister.mask for native in _SUBREGISTER)
)
_THREE_INDEXES: Final = (
    (facts.THREE_SOURCE_CONTROL_INDEX, facts.THREE_SOURCE_CONTROL.mask, _reverse(_THREE_CONTROL)),
    (
        facts.THREE_SOURCE_SOURCE_INDEX,
        facts.THREE_SOURCE_SOURCE.mask,
        _reverse(_THREE_SOURCE_INDEX),
    ),
)
_IMMEDIATE_REPEATED: Final = Field(127, 109)


def has_immediate(word: int) -> bool:
    """Whether the native one- or two-source ``word`` has an immediate operand."""
    immediate = fields.FILE_IMMEDIATE
    return fields.SOURCE0.file.get(word) == immediate or fields.SOURCE1.file.get(word) == immediate


def expand(compacted: int) -> int:
    """The native word of a compacted one. Every 64-bit word has one: the tables are full."""
    if fields.OPCODE.get(compacted) in _THREE_SOURCE:
        return (
            _copied(compacted, facts.THREE_SOURCE_COPIED)
            | _THREE_CONTROL[facts.THREE_SOURCE_CONTROL_INDEX.get(compacted)]
            | _THREE_SOURCE_INDEX[facts.THREE_SOURCE_SOURCE_INDEX.get(compacted)]
        )
    word = (
        _copied(compacted, facts.COPIED)
        | _CONTROL[facts.CONTROL_INDEX.get(compacted)]
        | _DATATYPE[facts.DATATYPE_INDEX.get(compacted)]
        | _SOURCE0[facts.SOURCE0_INDEX.get(compacted)]
    )
    subregisters = _SUBREGISTER[facts.SUBREGISTER_INDEX.get(compacted)]
    if has_immediate(word):
        word |= subregisters & ~fields.SOURCE1.subregister.mask
        word |= _copied(compacted, facts.IMMEDIATE)
        return word | (facts.IMMEDIATE_SIGN.get(compacted) * _IMMEDIATE_REPEATED.mask)
    word |= subregisters | _SOURCE1[facts.SOURCE1_INDEX.get(compacted)]
    return word | _copied(compacted, (facts.SOURCE1_REGISTER,))


def compact(word: int) -> int | None:
    """The compacted form of a native word, None if it has none."""
    three_source = fields.OPCODE.get(word) in _THREE_SOURCE
    compacted = _compact_three_source(word) if three_source else _compact(word)
    # Bits that no field of the compacted form carries are lost: the way back tells.
    if compacted is None or expand(compacted) != word:
        return None
    return compacted


def _compact(word: int) -> int | None:
    immediate = has_immediate(word)
    mask = facts.SUBREGISTER.mask
    indexes: _Indexes
    copies: _Copies
    if immediate:
        mask &= ~fields.SOURCE1.subregister.mask
        indexes = ((facts.SUBREGISTER_INDEX, mask, _SUBREGISTERS_BEFORE_IMMEDIATE),)
        copies = (*facts.COPIED, *facts.IMMEDIATE)
    else:
        indexes = ((facts.SUBREGISTER_INDEX, mask, _SUBREGISTERS), _SOURCE1_INDEX)
        copies = (*facts.COPIED, facts.SOURCE1_REGISTER)
    compacted = fields.COMPACT.mask | _gathered(word, copies)
    return _indexed(compacted, word, (*_INDEXES, *indexes))


def _compact_three_source(word: int) -> int | None:
    compacted = fields.COMPACT.mask | _gathered(word, facts.THREE_SOURCE_COPIED)
    return _indexed(compacted, word, _THREE_INDEXES)


def _indexed(compacted: int, word: int, indexes: _Indexes) -> int | None:
    for field, mask, entries in indexes:
        index = entries.get(word & mask)
        if index is None:
            return None
        compacted |= field.put(index)
    return compacted


def _copied(compacted: int, copies: _Copies) -> int:
    word = 0
    for there, here in copies:
        word |= there.get(compacted) << here.lo
    return word


def _gathered(word: int, copies: _Copies) -> int:
    compacted = 0
    for there, here in copies:
        compacted |= here.get(word) << there.lo
    return compacted
