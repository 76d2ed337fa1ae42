"""What the packets of a draw say, field by field, without a draw."""

from __future__ import annotations

import pytest

from mediator.softgpu.pipeline_state import PipelineState
from mediator.softgpu.render.draw_state import (
    Attributes,
    Bounds,
    DrawState,
    Purpose,
    Shader,
    draw_state,
)
from mediator.softgpu.render.not_built import NotBuilt
from mediator.softgpu.render.vertices import Element
from tests.unit.mediator.render import draw_commands as dc

ONES = 0xFFFF_FFFF
WIDTHS = 3
"""Of the shader in `dc.packets`: 8 and 16."""
THREADS = 63 << 23


def state(packets: dc.Packets) -> DrawState:
    pipeline = PipelineState("RCS")
    for packet in packets.values():
        pipeline.latch(list(packet))
    return draw_state(pipeline.command)


def shader(name: str, *dwords: tuple[int, int]) -> Shader:
    packets = dc.packets()
    for dword, value in dwords:
        packets[name][dword] = value
    return state(packets).shader


def test_of_a_plain_draw() -> None:
    found = state(dc.packets())
    assert found.shader == Shader(
        kernel=0x800,
        simd=16,
        start=6,
        vector_mask=False,
        alternate_float=False,
        rounding=0,
        scratch_base=0,
        scratch_code=0,
        threads=64,
        table_entries=1,
        binding_table=dc.TABLE,
        samplers=0,
    )
    assert found.attributes == Attributes(2, 2)
    assert found.layers
    assert found.bounds == Bounds(0, 0, 0xFFFF, 0xFFFF)
    assert found.blend == dc.BLEND
    assert found.purpose is Purpose.DRAW
    assert [each.offset for each in found.layout] == [0, 0, 16, 32]


@pytest.mark.parametrize(
    ("dword", "value", "field", "expected"),
    [
        (3, 1 << 30, "vector_mask", True),
        (3, ONES & ~(1 << 30), "vector_mask", False),
        (3, 1 << 16, "alternate_float", True),
        (3, ONES & ~(1 << 16), "alternate_float", False),
        *((3, mode << 14, "rounding", mode) for mode in range(4)),
        (3, ONES & ~(3 << 14), "rounding", 0),
        (3, 255 << 18, "table_entries", 255),
        (3, ONES & ~(255 << 18), "table_entries", 0),
        (4, ONES & ~0xF, "scratch_base", 0xFFFF_FC00),
        (5, ONES, "scratch_base", 0xFFFF_0000_0000),
        (4, ONES & ~0xF, "scratch_code", 0),
        *((4, code, "scratch_code", code) for code in (1, 2, 11, 15)),
        (6, WIDTHS, "threads", 1),
        (6, 511 << 23 | WIDTHS, "threads", 512),
        (10, ONES, "kernel", 0xFFFF_FFC0),
        (11, ONES, "kernel", 0xFFFF_0000_0800),
    ],
)
def test_of_the_shader(dword: int, value: int, field: str, expected: object) -> None:
    assert getattr(shader("PS", (dword, value)), field) == expected


def test_of_the_shaders_tables() -> None:
    assert shader("BINDING_TABLE_PS", (1, ONES)).binding_table == 0xFFE0
    assert shader("SAMPLERS_PS", (1, ONES)).samplers == 0xFFFF_FFE0


@pytest.mark.parametrize(
    ("widths", "simd", "slot"),
    [(1, 8, 0), (2, 16, 0), (3, 16, 2), (4, 32, 0), (5, 8, 0), (6, 16, 2), (7, 16, 2)],
)
def test_of_the_widths_one_runs(widths: int, simd: int, slot: int) -> None:
    """A width that is alone has the first slot; else 8 has it, 32 the second and 16 the third."""
    slots = [(1, 0x1000), (2, 1), (8, 0x2000), (9, 2), (10, 0x3000), (11, 3)]
    starts = 5 << 16 | 6 << 8 | 7
    found = shader("PS", *slots, (6, THREADS | widths), (7, starts))
    assert (found.simd, found.kernel, found.start) == (
        simd,
        (slot + 1) << 32 | (slot + 1) << 12,
        5 + slot,
    )


@pytest.mark.parametrize(("widths", "slot"), [(1, 0), (3, 2)])
def test_of_its_start(widths: int, slot: int) -> None:
    """Seven bits for each slot."""
    field = 0x7F << 16 - 8 * slot
    assert shader("PS", (6, THREADS | widths), (7, field)).start == 0x7F
    assert shader("PS", (6, THREADS | widths), (7, ONES & ~field)).start == 0


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("dword", [0, 1, 2])
def test_of_push_constants(enabled: bool, dword: int) -> None:
    """Those that are enabled and have a length, in either dword of lengths, are not built."""
    packets = dc.packets()
    packets["PS"][6] |= enabled << 11
    if dword:
        packets["CONSTANT_PS"][dword] = 1 << 16
    packets["CONSTANT_PS"][3] = ONES
    if enabled and dword:
        with pytest.raises(NotBuilt, match="push constants"):
            state(packets)
    else:
        assert state(packets).shader.simd == 16


@pytest.mark.parametrize("clear", [0, 1])
@pytest.mark.parametrize("resolve", range(4))
def test_of_its_purpose(clear: int, resolve: int) -> None:
    packets = dc.changed("PS", 6, THREADS | clear << 8 | resolve << 6 | WIDTHS)
    expected = Purpose.RESOLVE if resolve else Purpose.DRAW
    assert state(packets).purpose is (Purpose.FAST_CLEAR if clear else expected)


def test_of_its_blend_state() -> None:
    assert state(dc.changed("BLEND_STATE_POINTERS", 1, ONES)).blend == 0xFFFF_FFC0
    with pytest.raises(NotBuilt, match="no BLEND_STATE"):
        state(dc.changed("BLEND_STATE_POINTERS", 1, ONES - 1))


def test_of_its_bounds() -> None:
    packets = dc.packets()
    packets["DRAWING_RECTANGLE"][1:] = [0x0002_0001, 0x0004_0003, 0]
    assert state(packets).bounds == Bounds(1, 2, 3, 4)
    for origin in (1, 1 << 31):
        packets["DRAWING_RECTANGLE"][3] = origin
        with pytest.raises(NotBuilt, match="origin"):
            state(packets)


@pytest.mark.parametrize("sgvs", [0, 1 << 31 | 1 << 29])
@pytest.mark.parametrize("forced", [0, 1 << 5])
def test_of_its_layers(sgvs: int, forced: int) -> None:
    packets = dc.changed("VF_SGVS", 1, sgvs)
    packets["CLIP"][3] = forced
    assert state(packets).layers is (bool(sgvs) and not forced)


def attributes(count: int, *, elements: int = 40, offset: int = 1) -> dc.Packets:
    """A draw with so many, which are flat and whole: no bit more than they need is set."""
    packets = dc.packets()
    element = [1 << 26 | 1 << 25 | 16, 0x1111_0000]
    packets["VERTEX_ELEMENTS"] = [0x7809_0000 | 2 * elements - 1, *element * elements]
    components = (1 << 2 * count) - 1
    packets["SBE"][1:] = [
        3 << 28 | count << 22 | -(-count // 2) << 11 | offset << 5,
        *(0, (1 << count) - 1, components & ONES, components >> 32),
    ]
    return packets


COUNTS = pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 31, 32])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 26])
@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_vertices_have_what_is_read_and_their_place(count: int, offset: int) -> None:
    """Two slots for each unit of the offset; elements behind what is read do not matter."""
    needed = max(2 * offset + count, 2)
    for elements in (needed, needed + 1, 34):
        found = state(attributes(count, elements=elements, offset=offset))
        assert found.attributes == Attributes(count, 2 * offset)
        assert found.attributes.slots == slice(2 * offset, 2 * offset + count)
        assert found.layout == (Element(1, 16, 4, (1, 1, 1, 1)),) * needed  # type: ignore[arg-type]
    for elements in (needed - 1, 1):
        with pytest.raises(NotBuilt, match=f"vertices of {elements} elements"):
            state(attributes(count, elements=elements, offset=offset))


@COUNTS
def test_each_attribute_is_flat(count: int) -> None:
    packets = attributes(count, elements=34)
    every = packets["SBE"][3]
    assert state(packets).attributes.count == count
    packets["SBE"][3] = ONES
    packets["SBE"][2] = ONES & ~every
    assert state(packets).attributes.count == count
    for dword, value in ((3, ONES & ~(1 << count - 1)), (3, ONES - 1), (2, 1 << count - 1), (2, 1)):
        changed = attributes(count, elements=34)
        changed["SBE"][dword] = value
        with pytest.raises(NotBuilt, match="interpolated"):
            state(changed)


@COUNTS
def test_each_attribute_has_all_its_components(count: int) -> None:
    packets = attributes(count, elements=34)
    assert state(packets).attributes.count == count
    for bit in (0, 1, 2 * count - 2, 2 * count - 1):
        changed = attributes(count, elements=34)
        changed["SBE"][4 + bit // 32] &= ~(1 << bit % 32)
        with pytest.raises(NotBuilt, match="without all components"):
            state(changed)


@COUNTS
def test_each_attribute_is_read(count: int) -> None:
    packets = attributes(count, elements=34)
    packets["SBE"][1] -= 1 << 11
    with pytest.raises(NotBuilt, match="not read"):
        state(packets)


def test_there_are_32_attributes_at_most() -> None:
    packets = attributes(32, elements=34)
    packets["SBE"][1] += 1 << 22
    packets["SBE"][1] |= 31 << 11
    with pytest.raises(NotBuilt, match="33 attributes"):
        state(packets)


@pytest.mark.parametrize(
    ("bits", "what"),
    [
        *((forced << 28, "lengths of the stage before") for forced in range(3)),
        (3 << 28 | 1 << 21, "another order"),
        *((3 << 28 | 1 << bit, "primitive ids") for bit in range(16, 20)),
    ],
)
def test_attributes_are_as_they_are(bits: int, what: str) -> None:
    packets = dc.packets()
    packets["SBE"][1] = packets["SBE"][1] & ~(3 << 28) | bits
    with pytest.raises(NotBuilt, match=what):
        state(packets)


def test_what_does_not_count_is_not_looked_at() -> None:
    """Other bits of the words whose bits are looked at: the draw stays what it was."""
    packets = dc.packets()
    packets["SAMPLE_MASK"][1] = 0xFFFF
    packets["WM_DEPTH_STENCIL"][1] = ONES & ~0xF
    packets["WM_HZ_OP"][1] = (1 << 27) - 1
    packets["PS_BLEND"][1] = ONES & ~(1 << 31 | 1 << 29 | 1 << 8)
    packets["SBE"][1] |= 1 << 20 | 1 << 4 | 0xF
    packets["CLIP"][3] = ONES & ~(1 << 5)
    assert state(packets) == state(dc.packets())
