"""The file behind a test's guest memory, and where it is mapped."""

from __future__ import annotations

from pathlib import Path

from mmio_trap.guest_memory import PAGE_SIZE

SIZE = 64 * PAGE_SIZE
"""Bytes of the file."""


def mappings(name: str) -> int:
    """How many mappings of memfds called ``name`` this process has."""
    maps = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    return sum(line.split(maxsplit=5)[-1].startswith(f"/memfd:{name} ") for line in maps)


def mapped_bytes(name: str) -> int:
    """How much of this process's address space they take."""
    total = 0
    for line in Path("/proc/self/maps").read_text(encoding="ascii").splitlines():
        if line.split(maxsplit=5)[-1].startswith(f"/memfd:{name} "):
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            total += end - start
    return total
