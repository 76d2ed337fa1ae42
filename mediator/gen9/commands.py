"""Every command a Gen9 command streamer accepts: name, header, length, engines, privilege.

Source: PRM SKL vol 2a (MI and render commands), vol 3 (memory interface), vol 7 "User Mode
Privileged Commands"; Linux i915 (i915_cmd_parser.c, gvt) for the length masks. Facts and the
parsing of a header; what a command does stands in the streamers.

Header types (bits 31:29): 0 MI, 2 two-dimensional blits, 3 render, media and video. A render or
video command without a name of its own is still parsed: its length follows from its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mediator.gen9.pipeline_commands import (
    BLIT_NAMES,
    ENHANCE_NAMES,
    RENDER_NAMES,
    VIDEO_NAMES,
)

RCS: Final = "RCS"
BCS: Final = "BCS"
VCS: Final = "VCS"
VECS: Final = "VECS"
ALL: Final = frozenset({RCS, BCS, VCS, VECS})
_RENDER: Final = frozenset({RCS})
_DISPLAY: Final = frozenset({RCS, BCS})

_MI_TYPE: Final = 0
_BLIT_TYPE: Final = 2
_PIPELINE_TYPE: Final = 3
_MI_OPCODE_SHIFT: Final = 23
_BLIT_OPCODE_SHIFT: Final = 22


@dataclass(frozen=True, slots=True)
class LengthRule:
    """Length in dwords of a command: ``(dw0 & mask) + bias``."""

    mask: int
    bias: int

    def length(self, dw0: int) -> int:
        """Length in dwords of the command with header ``dw0``, 1 or more."""
        return (dw0 & self.mask) + self.bias


ONE: Final = LengthRule(0, 1)
TWO: Final = LengthRule(0, 2)
BITS_5_0: Final = LengthRule(0x3F, 2)
BITS_7_0: Final = LengthRule(0xFF, 2)
BITS_8_0: Final = LengthRule(0x1FF, 2)
BITS_9_0: Final = LengthRule(0x3FF, 2)
BITS_10_0: Final = LengthRule(0x7FF, 2)
BITS_11_0: Final = LengthRule(0xFFF, 2)
BITS_15_0: Final = LengthRule(0xFFFF, 2)


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command. ``minimum``: the fewest dwords with which it means something."""

    name: str
    header: int
    """Header with all operand bits 0."""
    rule: LengthRule
    engines: frozenset[str] = ALL
    minimum: int = 1
    privileged: bool = False
    """Becomes a no-operation in a batch that is not privileged."""


def _mi(
    opcode: int,
    name: str,
    rule: LengthRule = ONE,
    minimum: int = 1,
    engines: frozenset[str] = ALL,
    *,
    privileged: bool = False,
) -> CommandRow:
    header = opcode << _MI_OPCODE_SHIFT
    return CommandRow(f"MI_{name}", header, rule, engines, minimum, privileged)


_MI_ROWS: Final = (
    _mi(0x00, "NOOP"),
    _mi(0x01, "SET_PREDICATE"),
    _mi(0x02, "USER_INTERRUPT"),
    _mi(0x03, "WAIT_FOR_EVENT", engines=_DISPLAY),
    _mi(0x04, "FLUSH"),
    _mi(0x05, "ARB_CHECK"),
    _mi(0x06, "RS_CONTROL", engines=_RENDER),
    _mi(0x07, "REPORT_HEAD"),
    _mi(0x08, "ARB_ON_OFF", privileged=True),
    _mi(0x09, "URB_ATOMIC_ALLOC", engines=_RENDER),
    _mi(0x0A, "BATCH_BUFFER_END"),
    _mi(0x0B, "SUSPEND_FLUSH"),
    _mi(0x0C, "PREDICATE", engines=_RENDER),
    _mi(0x0D, "TOPOLOGY_FILTER"),
    _mi(0x0E, "SET_APPID"),
    _mi(0x0F, "RS_CONTEXT", engines=_RENDER),
    _mi(0x12, "LOAD_SCAN_LINES_INCL", TWO, 2, _DISPLAY, privileged=True),
    _mi(0x13, "LOAD_SCAN_LINES_EXCL", TWO, 2, _DISPLAY, privileged=True),
    _mi(0x14, "DISPLAY_FLIP", BITS_7_0, 3, _DISPLAY, privileged=True),
    _mi(0x19, "URB_CLEAR", BITS_7_0, 2, _RENDER),
    _mi(0x1A, "MATH", BITS_7_0, 2),
    _mi(0x1B, "SEMAPHORE_SIGNAL", BITS_7_0, 2),
    _mi(0x1C, "SEMAPHORE_WAIT", BITS_7_0, 4),
    _mi(0x1D, "FORCE_WAKEUP", BITS_7_0, 2),
    _mi(0x20, "STORE_DATA_IMM", BITS_9_0, 4),
    _mi(0x21, "STORE_DATA_INDEX", BITS_7_0, 3, privileged=True),
    _mi(0x22, "LOAD_REGISTER_IMM", BITS_7_0, 3),
    _mi(0x23, "UPDATE_GTT", BITS_9_0, 4, privileged=True),
    _mi(0x24, "STORE_REGISTER_MEM", BITS_7_0, 4),
    _mi(0x26, "FLUSH_DW", BITS_5_0, 2),
    _mi(0x27, "CLFLUSH", BITS_9_0, 3),
    _mi(0x28, "REPORT_PERF_COUNT", BITS_5_0, 4),
    _mi(0x29, "LOAD_REGISTER_MEM", BITS_7_0, 4),
    _mi(0x2A, "LOAD_REGISTER_REG", BITS_7_0, 3),
    _mi(0x2B, "RS_STORE_DATA_IMM", BITS_7_0, 4, _RENDER),
    _mi(0x2C, "LOAD_URB_MEM", BITS_7_0, 4, _RENDER),
    _mi(0x2D, "STORE_URB_MEM", BITS_7_0, 4, _RENDER),
    _mi(0x2E, "COPY_MEM_MEM", BITS_7_0, 5),
    _mi(0x2F, "ATOMIC", BITS_7_0, 3),
    _mi(0x31, "BATCH_BUFFER_START", BITS_7_0, 3),
    _mi(0x36, "CONDITIONAL_BATCH_BUFFER_END", BITS_7_0, 4),
)

_LONG_LENGTHS: Final = MappingProxyType(
    {
        0x7839: BITS_10_0,  # 3DSTATE_DX9_CONSTANTF_VS, _PS
        0x783A: BITS_10_0,
        0x7843: BITS_8_0,  # 3DSTATE_BINDING_TABLE_EDIT_*
        0x7844: BITS_8_0,
        0x7845: BITS_8_0,
        0x7846: BITS_8_0,
        0x7847: BITS_8_0,
        0x7917: BITS_8_0,  # 3DSTATE_SO_DECL_LIST
        0x7105: BITS_7_0,  # GPGPU_WALKER, among the media commands of 16 bits
        0x780B: ONE,  # 3DSTATE_VF_STATISTICS in its pipelined place
    }
)
"""Render commands whose length rule differs from that of their class, by header bits 31:16."""

_SINGLE_DWORD: Final = 1
_MEDIA: Final = 2
REGISTER_MASK: Final = 0x7FFFFC
"""Bits of a command's register operand: a BAR0 offset."""
RENDER_PIPE_CONTROL: Final = 0x7A00
"""Header bits 31:16 of PIPE_CONTROL."""
_MFX_WAIT: Final = 0x6800
"""MFX_WAIT has a length field with a bias of its own; it is always one dword."""

_MI: Final = MappingProxyType({row.header >> _MI_OPCODE_SHIFT: row for row in _MI_ROWS})
_BLITS: Final = MappingProxyType(
    {
        opcode: CommandRow(
            name,
            _BLIT_TYPE << 29 | opcode << _BLIT_OPCODE_SHIFT,
            BITS_7_0,
            frozenset({BCS}),
            2,
        )
        for opcode, name in BLIT_NAMES.items()
    }
)


def decode(dw0: int, engine_class: str) -> tuple[CommandRow, int] | None:
    """The command with header ``dw0`` on an engine of ``engine_class``, and its dwords.

    None for a header that no command of that engine has.
    """
    row = _row(dw0, engine_class)
    if row is None or engine_class not in row.engines:
        return None
    return row, row.rule.length(dw0)


def _row(dw0: int, engine_class: str) -> CommandRow | None:
    kind = dw0 >> 29
    if kind == _MI_TYPE:
        return _MI.get(dw0 >> _MI_OPCODE_SHIFT)
    if kind == _BLIT_TYPE:
        return _BLITS.get(dw0 >> _BLIT_OPCODE_SHIFT & 0x7F)
    if kind != _PIPELINE_TYPE:
        return None
    key = dw0 >> 16
    if engine_class == RCS:
        return _render_row(key)
    if engine_class == VCS:
        return _video_row(key, VIDEO_NAMES, VCS)
    if engine_class == VECS:
        return _video_row(key, ENHANCE_NAMES, VECS)
    return None


def _render_row(key: int) -> CommandRow:
    subtype = key >> 11 & 3
    rule = BITS_7_0
    if subtype == _SINGLE_DWORD:
        rule = ONE
    elif subtype == _MEDIA:
        rule = BITS_15_0
    rule = _LONG_LENGTHS.get(key, rule)
    minimum = 2 if key == RENDER_PIPE_CONTROL else 1
    name = RENDER_NAMES.get(key, f"RENDER_{key:04X}")
    return CommandRow(name, key << 16, rule, frozenset({RCS}), minimum)


def _video_row(key: int, names: MappingProxyType[int, str], engine: str) -> CommandRow | None:
    if key == _MFX_WAIT:
        return CommandRow("MFX_WAIT", key << 16, ONE, frozenset({engine}))
    if key >> 11 & 3 != _MEDIA:
        return None
    name = names.get(key, f"{engine}_{key:04X}")
    return CommandRow(name, key << 16, BITS_11_0, frozenset({engine}))
