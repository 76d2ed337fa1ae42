"""Linear blit bandwidth against memcpy of the same size, both sides in one run.

One blit is a whole XY_SRC_COPY_BLT or XY_COLOR_BLT through `execute_blit`: decoding, page walks,
fault checks. Surfaces lie in a PPGTT whose pages are contiguous in guest RAM, or scattered over all
of it. memcpy and memset run between the same two areas of the same guest RAM. Sizes go from 64 KiB
to 64 MiB; rounds of
each side alternate, and the best call of each counts.

Run ``python -m tests.bench.blit_bandwidth``; aim: at least 0.6 of memcpy from 1 MiB up.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import sys
import time
from collections.abc import Callable

from mediator.softgpu.address_space import Ppgtt
from mediator.softgpu.blitter import execute_blit
from mmio_trap.guest_memory import GuestMemory

KIB = 1 << 10
MIB = 1 << 20
SIZES = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
_PAGE = 4096
_ROW = 16 * KIB
_SURFACE = 64 * MIB
_TABLES = 2 * MIB
_RAM_START = 0x1_0000_0000
_ROUNDS = 7
_ROUND_BYTES = 64 * MIB
_DEPTH_32 = 3 << 24


class _Ram:
    """Two surfaces of 64 MiB and their page tables in one memfd."""

    def __init__(self) -> None:
        size = 2 * _SURFACE + _TABLES
        fd = os.memfd_create("bench-ram")
        os.ftruncate(fd, size)
        self.memory = GuestMemory()
        self.memory.map(_RAM_START, size, fd, 0, True, True)
        self._view = mmap.mmap(fd, size)
        os.close(fd)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self._view))
        ctypes.memset(self.host, 0x5A, size - _TABLES)

    def space(self, *, scattered: bool) -> Ppgtt:
        """GPU address 0: the destination, 64 MiB: the source."""
        pages = list(range(2 * _SURFACE // _PAGE))
        if scattered:
            random.Random(1).shuffle(pages)
        table = _RAM_START + 2 * _SURFACE
        pml4, pdp, directory, first = (table + n * _PAGE for n in range(4))
        write = self.memory.write_u64
        write(pml4, pdp | 3)
        write(pdp, directory | 3)
        for number, page in enumerate(pages):
            entry = first + number // 512 * _PAGE
            write(directory + 8 * (number // 512), entry | 3)
            write(entry + 8 * (number % 512), (_RAM_START + page * _PAGE) | 3)
        space = Ppgtt(self.memory)
        space.load(pml4)
        return space


def _rectangle(size: int) -> tuple[int, int]:
    return 0, size // _ROW << 16 | _ROW // 4


def _copy_command(size: int) -> list[int]:
    header = 2 << 29 | 0x53 << 22 | 3 << 20 | 8
    corners = _rectangle(size)
    return [header, _DEPTH_32 | 0xCC << 16 | _ROW, *corners, 0, 0, 0, _ROW, _SURFACE, 0]


def _fill_command(size: int) -> list[int]:
    header = 2 << 29 | 0x50 << 22 | 3 << 20 | 5
    return [header, _DEPTH_32 | 0xF0 << 16 | _ROW, *_rectangle(size), 0, 0, 0x1234_5678]


def _never() -> bool:
    return False


def _compare(size: int, ours: Callable[[], object], theirs: Callable[[], object]) -> list[float]:
    """Bytes a second of each side's best call."""
    repeats = max(4, _ROUND_BYTES // size)
    best = [float("inf")] * 2
    for _ in range(_ROUNDS):
        for side, call in enumerate((ours, theirs)):
            for _ in range(repeats):
                begin = time.perf_counter()
                call()
                best[side] = min(best[side], time.perf_counter() - begin)
    return [size / seconds for seconds in best]


def _row(best: list[float]) -> dict[str, float]:
    return {
        "blit_gb_per_s": round(best[0] / 1e9, 3),
        "memory_gb_per_s": round(best[1] / 1e9, 3),
        "ratio": round(best[0] / best[1], 3),
    }


def measure() -> dict[str, dict[str, float]]:
    """Rows of bandwidths and ratios, and by page layout the smallest copy ratio from 1 MiB up."""
    ram = _Ram()
    rows: dict[str, dict[str, float]] = {}
    smallest: dict[str, float] = {}
    for pages in ("contiguous", "scattered"):
        space = ram.space(scattered=pages == "scattered")
        for size in SIZES:
            copy, fill = _copy_command(size), _fill_command(size)
            source = ram.host + _SURFACE
            with ram.memory.using():
                copied = _compare(
                    size,
                    lambda: execute_blit(copy, space, 0, _never),  # noqa: B023
                    lambda: ctypes.memmove(ram.host, source, size),  # noqa: B023
                )
                filled = _compare(
                    size,
                    lambda: execute_blit(fill, space, 0, _never),  # noqa: B023
                    lambda: ctypes.memset(ram.host, 0x5A, size),  # noqa: B023
                )
            rows[f"copy {pages} {size // KIB} KiB"] = _row(copied)
            rows[f"fill {pages} {size // KIB} KiB"] = _row(filled)
            if size >= MIB:
                ratio = round(copied[0] / copied[1], 3)
                smallest[pages] = min(smallest.get(pages, ratio), ratio)
    return {**rows, "smallest copy ratio from 1 MiB": smallest}


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
