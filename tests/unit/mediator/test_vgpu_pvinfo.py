"""The PVINFO page as a guest reads and writes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mediator.errors import Reason
from tests.unit.mediator.vgpu_fake import FakeVgpu

_ONES = 0xFFFF_FFFF


@pytest.fixture
def vgpu() -> FakeVgpu:
    return FakeVgpu()


def test_the_page_tells_the_guest_its_part(vgpu: FakeVgpu) -> None:
    read = vgpu.registers.read
    assert int.from_bytes(read(0x78000, 8), "little") == 0x4776_5447_7654_4776
    assert (read(0x78008, 2), read(0x7800A, 2)) == (b"\x01\x00", b"\x00\x00")
    assert vgpu.read(0x7800C) == 3
    assert vgpu.read(0x78010) == 0b11100
    assert [vgpu.read(0x78040 + 4 * n) for n in range(4)] == [64 << 20, 64 << 20, 1 << 29, 1 << 29]
    assert vgpu.read(0x78050) == 32


@pytest.mark.parametrize("count", [0, 4, 32])
def test_the_page_tells_the_fences_of_the_type(vgpu: FakeVgpu, count: int) -> None:
    vgpu.type = replace(vgpu.type, fences=count)
    assert vgpu.read(0x78050) == count


def test_the_guest_writes_only_its_own_fields(vgpu: FakeVgpu) -> None:
    for offset in (*range(0x78000, 0x78014, 4), 0x78040, 0x7804C, 0x78050):
        before = vgpu.read(offset)
        vgpu.write(offset, ~before & _ONES)
        assert vgpu.read(offset) == before
    for offset in (0x78804, 0x78830, 0x78834, *range(0x78838, 0x78860, 4)):
        vgpu.write(offset, 0x1234)
        assert vgpu.read(offset) == 0x1234
    assert vgpu.read(0x78FFC) == 0
    assert vgpu.rejected == []


def test_notifications_are_checked_and_counted(vgpu: FakeVgpu) -> None:
    for code in (2, 3, 4, 5, 6, 7):
        vgpu.write(0x78818, code)
    assert vgpu.counters.notifications == 6
    vgpu.write(0x78818, 0)
    vgpu.write(0x78818, 8)
    vgpu.write(0x78808, 1)
    assert vgpu.counters.notifications == 6
    assert vgpu.rejected == [Reason.REGISTER] * 3


def test_a_whole_gpu_has_no_page() -> None:
    vgpu = FakeVgpu(private_ggtt=True)
    for offset in range(0x78000, 0x79000, 4):
        vgpu.write(offset, 0x4)
        assert vgpu.read(offset) == 0
    assert vgpu.counters.notifications == 0
    assert vgpu.rejected == []


def test_a_guest_with_one_slice_has_no_other() -> None:
    vgpu = FakeVgpu()
    vgpu.plan.part = (range(1 << 20),)
    assert [vgpu.read(0x78040 + 4 * n) for n in range(4)] == [0, 1 << 20, 256 << 20, 0]
