"""A rectangle as a driver draws it, from PRM SKL vol 2a and 2d alone: packets, tables, a shader.

Everything lies one to one in the RAM of a `CommandBench`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.register import grf, immediate
from tests.unit.mediator.eu import media_commands as mc

VERTICES, DYNAMIC, SURFACE, KERNELS, TARGET = 0x5_0000, 0x5_1000, 0x5_2000, 0x5_3000, 0x6_0000
INPUTS = VERTICES + 0x100
BLEND = 0x40
TABLE = 0x20
R32G32B32A32_UINT = 0x002
R32_UINT = 0x0D7
LINEAR, TILE_X, TILE_Y = 0, 2, 3
WIDTH, HEIGHT = 40, 24
"""Of the target, in pixels."""

Packets = dict[str, list[int]]


def packets() -> Packets:
    """All that a draw needs, as Mesa's BLORP has it: each packet by its name."""
    return {
        "VF": [0x780C_0000, 0],
        "VERTEX_BUFFERS": [
            *(0x7808_0007, 1 << 14 | 12, VERTICES, 0, 36),
            *(1 << 26 | 1 << 14, INPUTS, 0, 48),
        ],
        "VERTEX_ELEMENTS": [
            *(0x7809_0007, 1 << 26 | 1 << 25, 0x1222_0000),
            *(0x40 << 16 | 1 << 25, 0x1113_0000),
            *(1 << 26 | 1 << 25 | 16, 0x1111_0000),
            *(1 << 26 | 1 << 25 | 32, 0x1111_0000),
        ],
        **{f"VF_INSTANCING {n}": [0x7849_0001, n, 0] for n in range(4)},
        "VF_SGVS": [0x784A_0000, 1 << 31 | 1 << 29],
        "VF_TOPOLOGY": [0x784B_0000, 0xF],
        "VS": [0x7810_0007, *[0] * 8],
        "HS": [0x781B_0007, *[0] * 8],
        "TE": [0x781C_0002, 0, 0, 0],
        "DS": [0x781D_0009, *[0] * 10],
        "GS": [0x7811_0008, *[0] * 9],
        "STREAMOUT": [0x781E_0003, *[0] * 4],
        "CLIP": [0x7812_0002, 0, 1 << 9, 0],
        "SF": [0x7813_0002, 0, 0, 0],
        "RASTER": [0x7850_0003, 1 << 16, 0, 0, 0],
        "SBE": [0x781F_0004, 3 << 28 | 2 << 22 | 1 << 11 | 1 << 5, 0, 3, 0xF, 0],
        "WM": [0x7814_0000, 0],
        "PS": [
            *(0x7820_000A, 0x800, 0, 1 << 18, 0, 0, 63 << 23 | 3),
            *(4 << 16 | 6, 0, 0, 0x800, 0),
        ],
        "CONSTANT_PS": [0x7817_0009, *[0] * 10],
        "PS_EXTRA": [0x784F_0000, 1 << 31 | 1 << 8],
        "PS_BLEND": [0x784D_0000, 1 << 30],
        "WM_DEPTH_STENCIL": [0x784E_0002, 0, 0, 0],
        "WM_HZ_OP": [0x7852_0003, 0, 0, 0, 0],
        "MULTISAMPLE": [0x780D_0000, 0],
        "SAMPLE_MASK": [0x7818_0000, 1],
        "BLEND_STATE_POINTERS": [0x7824_0000, BLEND | 1],
        "BINDING_TABLE_PS": [0x782A_0000, TABLE],
        "SAMPLERS_PS": [0x782F_0000, 0],
        "DRAWING_RECTANGLE": [0x7900_0002, 0, 0xFFFF_FFFF, 0],
        "BASES": mc.base_address(dynamic=DYNAMIC, surface=SURFACE, instruction=KERNELS),
    }


def changed(name: str, dword: int, value: int) -> Packets:
    """All packets, with one dword of one of them as given."""
    found = packets()
    found[name][dword] = value
    return found


def flat(given: Mapping[str, Sequence[int]]) -> list[int]:
    """The dwords of packets, one after the other."""
    return [word for packet in given.values() for word in packet]


def primitive(
    *, instances: int = 1, first: int = 0, flags: int = 0, vertices: int = 3
) -> list[int]:
    """3DPRIMITIVE."""
    return [0x7B00_0005 | flags, 0xF, vertices, first, instances, 0, 0]


def corners(left: float, top: float, right: float, bottom: float) -> bytes:
    """Three vertices of a rectangle."""
    return struct.pack("<9f", right, bottom, 0, left, bottom, 0, left, top, 0)


def surface(
    code: int = R32G32B32A32_UINT,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    depth: int = 1,
    kind: int = 1,
    tiling: int = LINEAR,
    pitch: int = 16 * WIDTH,
    address: int = TARGET,
    level: int = 0,
    first: int = 0,
    extent: int | None = None,
    qpitch: int = 0,
) -> bytes:
    """RENDER_SURFACE_STATE of a render target; an array if it has several layers."""
    dwords = [0] * 16
    array = depth > 1 and kind == 1
    dwords[0] = kind << 29 | array << 28 | code << 18 | 1 << 16 | 1 << 14 | tiling << 12
    dwords[1] = qpitch // 4
    dwords[2] = height - 1 << 16 | width - 1
    dwords[3] = depth - 1 << 21 | pitch - 1
    dwords[4] = first << 18 | (depth if extent is None else extent) - 1 << 7
    dwords[5] = level
    dwords[8], dwords[9] = address & 0xFFFF_FFFF, address >> 32
    return struct.pack("<16I", *dwords)


def telling_shader(simd: int) -> bytes:
    """Writes where each pixel is: x, y, the first attribute's second component, r0.0."""
    grfs = simd // 8
    start = {8: 4, 16: 6}[simd]
    asm = Assembler(simd)
    words = grf(2, Type.UW)
    source = grf(1, Type.UW)[4].by(1, 4, 0)
    asm.add(words, source, immediate(0x1100_1010, Packed.V), width=2 * simd, no_mask=True)
    colours = [grf(20 + n * grfs, Type.UD) for n in range(4)]
    asm.mov(colours[0], words.by(8, 4, 1))
    asm.mov(colours[1], words[4].by(8, 4, 1))
    asm.mov(colours[2], grf(start, Type.UD)[7].scalar)
    asm.mov(colours[3], grf(0, Type.UD).scalar)
    kind = {8: 4, 16: 0}[simd]
    asm.send(None, 20, 5, target_write(kind, 4 * grfs), end_of_thread=True)
    return asm.code()


def target_write(kind: int, grfs: int, *, header: bool = False, upper: bool = False) -> int:
    """The descriptor of a render target write."""
    return grfs << 25 | header << 19 | 12 << 14 | 1 << 12 | upper << 11 | kind << 8
