"""Slabs: the mediator's memory that the GPU reaches, and that forgets for good."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mediator.physical import memory
from mediator.physical.memory import Slab
from mediator.physical.partition import PAGE

SIZE = 16 * PAGE
IOVA = 0x12_3456_7000


@pytest.fixture
def slab() -> Iterator[Slab]:
    made = Slab(SIZE, IOVA, 0x8000_0000, 4 * PAGE)
    yield made
    made.close()


def test_a_slab_is_zero_and_takes_no_memory_at_first(slab: Slab) -> None:
    assert os.fstat(slab.fd).st_blocks == 0
    assert bytes(slab.bytes) == bytes(SIZE)


def test_all_views_are_of_the_same_bytes(slab: Slab) -> None:
    slab.bytes[8:16] = struct.pack("<Q", 0x1122_3344_5566_7788)
    assert slab.u32[2] == 0x5566_7788
    assert slab.u64[1] == 0x1122_3344_5566_7788
    with mmap.mmap(slab.fd, SIZE) as other:
        assert other[8:16] == slab.bytes[8:16]


def test_entries_map_its_ggtt_part(slab: Slab) -> None:
    expected = [IOVA + n * PAGE | 1 for n in range(4)]
    assert slab.entries() == struct.pack("<4Q", *expected)


def test_entries_of_a_stretch(slab: Slab) -> None:
    assert slab.entries(6 * PAGE, 2) == struct.pack("<2Q", IOVA + 6 * PAGE | 1, IOVA + 7 * PAGE | 1)


@pytest.mark.parametrize("kept", ["through its views", "by another mapping"])
def test_scrub_makes_zero_and_gives_memory_back(slab: Slab, kept: str) -> None:
    slab.bytes[:] = b"\xa5" * SIZE
    with mmap.mmap(slab.fd, SIZE) as other:
        slab.scrub()
        seen = slab.bytes if kept == "through its views" else other
        assert bytes(seen[:]) == bytes(SIZE)
    slab.scrub()
    assert os.fstat(slab.fd).st_size == SIZE


def test_scrubbed_pages_take_no_memory(slab: Slab) -> None:
    slab.bytes[:] = b"\xa5" * SIZE
    before = os.fstat(slab.fd).st_blocks
    slab.scrub(0, 12 * PAGE)
    assert os.fstat(slab.fd).st_blocks <= before - 12 * PAGE // 512


@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("punches", [True, False])
def test_scrub_goes_to_the_end_also_where_no_hole_can_be_made(
    slab: Slab, first: int, punches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not punches:
        monkeypatch.setattr(memory, "_LIBC", SimpleNamespace(fallocate=lambda *_: -1))
    slab.bytes[:] = b"\xa5" * SIZE
    slab.scrub(first * PAGE)
    assert slab.bytes[:] == b"\xa5" * (first * PAGE) + bytes(SIZE - first * PAGE)


def test_scrub_of_a_stretch_leaves_the_rest(slab: Slab) -> None:
    slab.bytes[:] = b"\xa5" * SIZE
    slab.scrub(2 * PAGE, 3 * PAGE)
    assert slab.bytes[: 2 * PAGE] == b"\xa5" * (2 * PAGE)
    assert slab.bytes[2 * PAGE : 5 * PAGE] == bytes(3 * PAGE)
    assert slab.bytes[5 * PAGE :] == b"\xa5" * (11 * PAGE)


@pytest.mark.parametrize("size", [0, SIZE - PAGE, SIZE + PAGE])
def test_nobody_changes_its_size(slab: Slab, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(slab.fd, size)


def test_close_leaves_nothing_to_others() -> None:
    slab = Slab(SIZE, IOVA, 0x8000_0000, PAGE)
    slab.bytes[:] = b"\xa5" * SIZE
    with mmap.mmap(slab.fd, SIZE) as other:
        slab.close()
        assert other[:] == bytes(SIZE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(slab.fd)


def test_a_slab_for_which_memory_is_short_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[int] = []
    real = os.ftruncate

    def fail(fd: int, _size: int) -> None:
        files.append(fd)
        raise OSError("memory is short")

    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(OSError, match="memory is short"):
        Slab(SIZE, IOVA, 0, PAGE)
    monkeypatch.setattr(os, "ftruncate", real)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(files[0])
