"""The software GPU as a function: which region is what, with a client and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.softgpu.function import SoftGpuFunction
from mediator.softgpu.gpu import GSM_OFFSET
from mmio_trap.device import RegionIndex
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.unclosed import nothing_unclosed

IMR = 0x2000 + reg.RING_IMR
COMMAND = 4
SILENT = [RegionIndex.BAR1, RegionIndex.BAR3, RegionIndex.BAR4, RegionIndex.BAR5, RegionIndex.ROM]


@pytest.fixture
def powered() -> Iterator[SoftGpuFunction]:
    function = SoftGpuFunction(KABY_LAKE_GT2)
    function.attach(GuestMemory(), Interrupts(function.irq_counts))
    yield function
    function.detach()


def put(function: SoftGpuFunction, index: int, offset: int, value: int) -> None:
    function.region_write(index, offset, value.to_bytes(4, "little"))


def get(function: SoftGpuFunction, index: int, offset: int) -> int:
    return int.from_bytes(function.region_read(index, offset, 4), "little")


def test_sizes_and_interrupts() -> None:
    function = SoftGpuFunction(KABY_LAKE_GT2)
    sizes = [region.size for region in function.regions]
    assert sizes == [16 << 20, 0, 256 << 20, 0, 64, 0, 0, 256, 0]
    assert list(function.irq_counts) == [1, 1, 0, 1, 1]


def test_each_region_is_its_own(powered: SoftGpuFunction) -> None:
    put(powered, RegionIndex.BAR0, IMR, 0x1234)
    put(powered, RegionIndex.BAR0, GSM_OFFSET + 8, 0x5001)
    put(powered, RegionIndex.CONFIG, COMMAND, 6)
    assert get(powered, RegionIndex.BAR0, IMR) == 0x1234
    assert get(powered, RegionIndex.BAR0, GSM_OFFSET + 8) == 0x5001
    assert get(powered, RegionIndex.CONFIG, COMMAND) & 0xFFFF == 6
    assert get(powered, RegionIndex.BAR2, 0) == 0xFFFF_FFFF, "no page is there"
    for index in SILENT:
        put(powered, index, IMR % 64, 0x7777)
        put(powered, index, 0, 0x7777)
        assert get(powered, index, 0) == 0
    gpu = powered.gpu
    assert gpu is not None
    assert gpu.counters.aperture_accesses == 1
    put(powered, RegionIndex.BAR2, 0, 1)
    assert gpu.counters.aperture_accesses == 2
    assert gpu.counters.ggtt_writes == 1


def test_without_a_client_there_is_configuration_space_alone() -> None:
    function = SoftGpuFunction(KABY_LAKE_GT2)
    assert get(function, RegionIndex.CONFIG, 0) == 0x5912_8086
    for index in (RegionIndex.BAR0, RegionIndex.BAR2, *SILENT):
        put(function, index, 0, 0x7777)
        assert function.region_read(index, 0, 12) == bytes(12)
    put(function, RegionIndex.CONFIG, COMMAND, 6)
    function.reset()
    assert get(function, RegionIndex.CONFIG, COMMAND) & 0xFFFF == 0
    assert function.gpu is None
    function.detach()


def test_a_reset_makes_another_gpu_of_the_same_world(powered: SoftGpuFunction) -> None:
    old = powered.gpu
    assert old is not None
    put(powered, RegionIndex.BAR0, IMR, 0x1234)
    put(powered, RegionIndex.CONFIG, COMMAND, 6)
    old.interrupts.set_level(True)
    powered.reset()
    new = powered.gpu
    assert new is not None
    assert new is not old
    assert (new.memory, new.interrupts, new.identity) == (old.memory, old.interrupts, old.identity)
    assert not new.interrupts._level
    assert get(powered, RegionIndex.BAR0, IMR) == 0xFFFF_FFFF
    assert get(powered, RegionIndex.CONFIG, COMMAND) & 0xFFFF == 0
    assert all(engine._thread is None for engine in old.engines.values())
    assert all(engine._thread is not None for engine in new.engines.values())


def test_who_leaves_takes_the_state_along() -> None:
    told: list[dict[str, float]] = []
    function = SoftGpuFunction(KABY_LAKE_GT2, told.append)
    with nothing_unclosed():
        for count in (1, 2):
            function.attach(GuestMemory(), Interrupts(function.irq_counts))
            assert get(function, RegionIndex.BAR0, IMR) == 0xFFFF_FFFF
            put(function, RegionIndex.BAR0, IMR, 5)
            put(function, RegionIndex.CONFIG, COMMAND, 6)
            function.detach()
            assert function.gpu is None
            assert len(told) == count
        function.detach()
    assert [(row["reads"], row["writes"]) for row in told] == [(1, 1)] * 2
    function.attach(GuestMemory(), Interrupts(function.irq_counts))
    assert get(function, RegionIndex.CONFIG, COMMAND) & 0xFFFF == 0
    function.detach()
