"""State of a context that no register shows, as commands at the end of its image.

Whether it may be switched out, the clip rectangle of the blitter, predication. Where hardware keeps
these is not documented; like it, the model keeps them as commands that a restore carries out.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from mediator.gen9.blits import CORNERS_LAYOUT
from mediator.gen9.context_image import STATE_DWORDS
from mediator.softgpu.context_state import PredicateMode

_ARB_ON_OFF: Final = 0x08 << 23
_SETUP_CLIP: Final = 2 << 29 | 0x03 << 22 | 1
_SET_PREDICATE: Final = 0x01 << 23
_ON: Final = 1 << 0
_MODE: Final = 0xF
_LAYOUT: Final = struct.Struct("<II8s12xI")
"""MI_ARB_ON_OFF; XY_SETUP_CLIP_BLT; and last, since it governs what follows, MI_SET_PREDICATE."""

FIRST: Final = STATE_DWORDS - _LAYOUT.size // 4
"""Dword of an image's last page from which on they stand, up to its end."""


class HiddenState(NamedTuple):
    """The fields of a `ContextState` that these commands bring back."""

    arbitration: bool
    predicate: PredicateMode
    clip: tuple[int, int, int, int]


@lru_cache(1024)
def pack(state: HiddenState, *, clips: bool) -> bytes:
    """The commands for ``state``; ``clips``: with that of the clip rectangle."""
    corners = CORNERS_LAYOUT.pack(*state.clip)
    return _LAYOUT.pack(
        _ARB_ON_OFF | state.arbitration,
        _SETUP_CLIP if clips else 0,
        corners if clips else bytes(len(corners)),
        _SET_PREDICATE | state.predicate,
    )


@lru_cache(1024)
def parse(commands: bytes, *, clips: bool) -> HiddenState | None:
    """The state that ``commands`` bring back; None for others than `pack` makes."""
    arbitration, _, corners, predicate = _LAYOUT.unpack(commands)
    state = HiddenState(
        bool(arbitration & _ON),
        PredicateMode.of(predicate & _MODE),
        CORNERS_LAYOUT.unpack(corners),
    )
    return state if pack(state, clips=clips) == commands else None
