"""The commands that bring back what no register shows, dword for dword."""

from __future__ import annotations

import struct

import pytest

from mediator.gen9.context_image import STATE_DWORDS
from mediator.softgpu.context_state import PredicateMode
from mediator.softgpu.hidden_state import FIRST, HiddenState, pack, parse

CLIP = (-1, 2, 300, 400)
CORNERS = [2 << 16 | 0xFFFF, 400 << 16 | 300]


@pytest.mark.parametrize("arbitration", [False, True])
@pytest.mark.parametrize("predicate", list(PredicateMode))
@pytest.mark.parametrize("clips", [False, True])
def test_the_commands(arbitration: bool, predicate: PredicateMode, clips: bool) -> None:
    state = HiddenState(arbitration, predicate, CLIP if clips else (0, 0, 0, 0))
    packed = pack(state, clips=clips)
    dwords = list(struct.unpack(f"<{len(packed) // 4}I", packed))
    clip = [0x40C0_0001, *CORNERS] if clips else [0, 0, 0]
    assert dwords == [
        0x0400_0000 | arbitration,
        *(clip),
        *(0, 0, 0),
        0x0080_0000 | predicate,
    ]
    assert FIRST + len(dwords) == STATE_DWORDS
    assert parse(packed, clips=clips) == state


@pytest.mark.parametrize("dword", range(8))
def test_other_commands_bring_back_nothing(dword: int) -> None:
    packed = bytearray(pack(HiddenState(True, PredicateMode.of(0), CLIP), clips=True))
    packed[4 * dword + 3] ^= 0x80
    found = parse(bytes(packed), clips=True)
    assert found is None or (dword in (2, 3) and found.clip != CLIP)
