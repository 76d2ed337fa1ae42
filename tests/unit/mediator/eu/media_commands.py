"""Media and GPGPU commands as a driver writes them, from PRM SKL vol 2a alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence

ALL = 0xFFFF_FFFF


def base_address(
    *,
    general: int | None = None,
    surface: int | None = None,
    dynamic: int | None = None,
    indirect: int | None = None,
    instruction: int | None = None,
    size: int | None = 0xFFFFF,
) -> list[int]:
    """STATE_BASE_ADDRESS that changes the bases that are given; ``size`` in pages, of all."""
    bases: list[int] = []
    for base in (general, None, surface, dynamic, indirect, instruction):
        if len(bases) == 2:
            bases.append(0)  # stateless MOCS
            continue
        bases += [0, 0] if base is None else [base & ALL | 1, base >> 32]
    sizes = [0 if size is None else size << 12 | 1] * 4
    return [0x6101_0011, *bases, *sizes, 0, 0, 0]


def front_end(*, threads: int = 168, scratch: int = 0, scratch_code: int = 0) -> list[int]:
    """MEDIA_VFE_STATE."""
    return [
        *(0x7000_0007, scratch & ALL | scratch_code, scratch >> 32),
        *((threads - 1) << 16 | 2 << 8, 0, 2 << 16 | 64, 0, 0, 0),
    ]


def curbe_load(start: int, size: int) -> list[int]:
    return [0x7001_0002, 0, size, start]


def descriptor_load(start: int, size: int = 32) -> list[int]:
    return [0x7002_0002, 0, size, start]


def descriptor(
    *,
    kernel: int = 0,
    threads: int = 1,
    own: int = 0,
    shared: int = 0,
    offset: int = 0,
    slm_code: int = 0,
    barrier: bool = False,
    samplers: int = 0,
    table: int = 0,
    flags: int = 0,
    rounding: int = 0,
) -> bytes:
    """INTERFACE_DESCRIPTOR_DATA."""
    return struct.pack(
        "<8I",
        *(kernel & ALL, kernel >> 32, flags, samplers, table, own << 16 | offset),
        threads | slm_code << 16 | barrier << 21 | rounding << 22,
        shared,
    )


def walker(
    groups: Sequence[int],
    *,
    start: Sequence[int] = (0, 0, 0),
    simd_code: int = 1,
    width: int = 1,
    height: int = 1,
    depth: int = 1,
    right: int = ALL,
    bottom: int = ALL,
    index: int = 0,
    indirect: tuple[int, int] = (0, 0),
    flags: int = 0,
) -> list[int]:
    """GPGPU_WALKER; ``indirect``: start and bytes; ``flags`` of its header."""
    at, size = indirect
    shape = simd_code << 30 | (depth - 1) << 16 | (height - 1) << 8 | (width - 1)
    (x, y, z), (first_x, first_y, first_z) = groups, start
    return [
        *(0x7105_000D | flags, index, size, at, shape),
        *(first_x, 0, x, first_y, 0, y, first_z, z, right, bottom),
    ]


def media_object(
    inline: Sequence[int] = (), *, index: int = 0, indirect: tuple[int, int] = (0, 0)
) -> list[int]:
    """MEDIA_OBJECT."""
    at, size = indirect
    return [0x7100_0004 + len(inline), index, size, at, 0, 0, *inline]
