"""The file behind a test's guest memory, and how many files are open."""

from __future__ import annotations

import gc
from pathlib import Path

from mmio_trap.guest_memory import PAGE_SIZE

SIZE = 64 * PAGE_SIZE
"""Bytes of the file."""


def open_fds() -> int:
    """How many descriptors this process has."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
