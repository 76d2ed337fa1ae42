"""The context image layout against the dword numbers that i915 uses."""

from __future__ import annotations

import itertools

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import (
    FLEXIBLE_EU_INDEX,
    LAYOUTS,
    OA_INDEX,
    STATE_DWORDS,
    ImageIndex,
    Layout,
)

_LAYOUTS = list(LAYOUTS.items())


@pytest.mark.parametrize(("name", "layout"), _LAYOUTS)
def test_blocks_follow_each_other_and_end_within_the_page(name: str, layout: Layout) -> None:
    ends = [block.index + 1 + 2 * len(block.registers) for block in layout.blocks]
    starts = [block.index for block in layout.blocks[1:]]
    assert all(end <= start for end, start in zip(ends, [*starts, layout.end], strict=True)), name
    assert layout.end < STATE_DWORDS


@pytest.mark.parametrize(("name", "layout"), _LAYOUTS)
def test_headers_count_their_registers(name: str, layout: Layout) -> None:
    for block in layout.blocks:
        assert block.header >> 23 == 0x22, name
        assert (block.header & 0xFF) + 2 == 1 + 2 * len(block.registers)


def test_head_is_what_i915_builds() -> None:
    for layout in LAYOUTS.values():
        assert [hex(block.index) for block in layout.blocks[:4]] == ["0x1", "0x21", "0x41", "0x51"]
        assert layout.blocks[0].header == 0x1100_101B
        assert layout.blocks[1].header == 0x1100_1011
        assert layout.blocks[3].header == 0x1100_1057
    assert LAYOUTS["RCS"].blocks[2].header == 0x1100_0001
    assert LAYOUTS["BCS"].blocks[2].header == 0x1100_1001


@pytest.mark.parametrize(
    ("index", "offset"),
    [
        (ImageIndex.CONTEXT_CONTROL, reg.RING_CONTEXT_CONTROL),
        (ImageIndex.RING_HEAD, reg.RING_HEAD),
        (ImageIndex.RING_TAIL, reg.RING_TAIL),
        (ImageIndex.RING_START, reg.RING_START),
        (ImageIndex.RING_CTL, reg.RING_CTL),
        (ImageIndex.BB_STATE, reg.RING_BB_STATE),
        (ImageIndex.SBB_STATE, reg.RING_SBB_STATE),
        (ImageIndex.BB_PER_CTX_PTR, reg.RING_BB_PER_CTX_PTR),
        (ImageIndex.INDIRECT_CTX, reg.RING_INDIRECT_CTX),
        (ImageIndex.INDIRECT_CTX_OFFSET, reg.RING_INDIRECT_CTX_OFFSET),
        (ImageIndex.CTX_TIMESTAMP, reg.RING_CTX_TIMESTAMP),
        (ImageIndex.PDP3_UDW, reg.RING_PDP0_UDW + 24),
        (ImageIndex.PDP0_UDW, reg.RING_PDP0_UDW),
        (ImageIndex.PDP0_LDW, reg.RING_PDP0_LDW),
        (ImageIndex.MI_MODE, reg.RING_MI_MODE),
        (ImageIndex.INSTPM, reg.RING_INSTPM),
        (ImageIndex.TIMESTAMP, reg.RING_TIMESTAMP),
        (ImageIndex.BB_OFFSET, reg.RING_BB_OFFSET),
        (ImageIndex.PREDICATE_RESULT_1, reg.MI_PREDICATE_RESULT_1),
        (ImageIndex.CS_GPR0, reg.RING_CS_GPR),
        (ImageIndex.IPEHR, reg.RING_IPEHR),
    ],
)
def test_named_dwords_hold_their_registers(index: ImageIndex, offset: int) -> None:
    for layout in LAYOUTS.values():
        [register] = [register for register in layout.registers if register.index == index]
        assert (register.offset, register.relative) == (offset, True)


def test_the_power_state_dword_depends_on_the_class() -> None:
    at = {
        name: register.offset
        for name, layout in LAYOUTS.items()
        for register in layout.registers
        if register.index == ImageIndex.POWER_STATE
    }
    assert at["RCS"] == reg.RING_R_PWR_CLK_STATE
    assert {at["BCS"], at["VCS"], at["VECS"]} == {reg.RING_SWCTRL}


def test_the_render_image_keeps_what_perf_looks_for() -> None:
    at = {register.index - 1: register.offset for register in LAYOUTS["RCS"].registers}
    assert at[OA_INDEX] == 0x2360
    assert at[FLEXIBLE_EU_INDEX] == 0xE458


@pytest.mark.parametrize(("name", "layout"), _LAYOUTS)
def test_no_register_is_there_twice(name: str, layout: Layout) -> None:
    base = 0x2000 if name == "RCS" else 0x12000
    offsets = sorted(register.address(base) for register in layout.registers)
    assert all(low != high for low, high in itertools.pairwise(offsets))
