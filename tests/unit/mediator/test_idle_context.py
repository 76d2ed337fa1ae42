"""The state pages of the mediator's own contexts, dword by dword.

Source: PRM SKL vol 7 "Logical Ring Context Format"; Linux i915 gt/intel_lrc.c.
"""

from __future__ import annotations

from array import array

import pytest

from mediator.gen9.context_image import LAYOUTS, STATE_DWORDS
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.physical.idle_context import Ring, control, first_image, golden, idle_image

RING = Ring(start=0x8012_3000, size=0x4000, tail=0x58, root=0x7F_FFFF_F000)
SAYS = {
    0x05: 0,
    0x07: 0x58,
    0x09: 0x8012_3000,
    0x0B: 0x3001,
    0x31: 0x7F,
    0x33: 0xFFFF_F000,
}
"""What a page says of `RING`."""
FIRST_RUN, LATER_RUN = 0x000D_0009, 0x000D_0008
"""CONTEXT_CONTROL: restore inhibited or not, and no switch to a synchronous mode."""
OWN = {
    *(0x05, 0x07, 0x09, 0x0B, 0x0D, 0x0F, 0x11, 0x13, 0x15, 0x17, 0x19, 0x1B, 0x1D, 0x23),
    *range(0x25, 0x35, 2),
    *(0x5D, 0x65, 0xA9),
}
"""Dwords that say where a context stands, and what time and page tables it has."""
every_engine = pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)


def test_every_flag_of_control_is_written() -> None:
    assert [control(flags) for flags in (0, 1, 8, 9)] == [0xD_0000, 0xD_0001, LATER_RUN, FIRST_RUN]


@every_engine
def test_a_first_run_restores_ring_and_nothing_else(facts: EngineFacts) -> None:
    expected = dict.fromkeys(range(STATE_DWORDS), 0) | SAYS | {0x03: FIRST_RUN}
    blocks = [block for block in LAYOUTS[facts.engine_class].blocks if block.index <= 0x54]
    assert len(blocks) == 4
    for block in blocks:
        expected[block.index] = block.header
        for register in block.registers:
            address = register.offset + facts.mmio_base if register.relative else register.offset
            expected[register.index - 1] = address
    last = blocks[-1].registers[-1].index
    expected[last + 1] = 0x0A << 23
    assert dict(enumerate(first_image(facts, RING))) == expected


def test_golden_values_are_no_contexts() -> None:
    saved = array("I", range(0x1000, 0x1000 + STATE_DWORDS))
    expected = [0 if index in OWN else dword for index, dword in enumerate(saved)]
    assert list(golden(saved)) == expected
    assert saved[5] == 0x1005


def test_the_idle_context_has_golden_values_and_its_ring() -> None:
    page = array("I", range(0x1000, 0x1000 + STATE_DWORDS))
    expected = dict(enumerate(page)) | SAYS | {0x03: LATER_RUN}
    assert dict(enumerate(idle_image(page, RING))) == expected
    assert page[3] == 0x1003
