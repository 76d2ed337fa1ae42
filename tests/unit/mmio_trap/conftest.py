"""Guest memory without ranges, and a file to map."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mmio_trap.guest_memory import GuestMemory
from tests.unit.mmio_trap.guest_file import SIZE


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    made = GuestMemory()
    yield made
    made.close()


@pytest.fixture
def fd() -> Iterator[int]:
    made = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(made, SIZE)
    yield made
    os.close(made)
