"""The GPU as bad as hardware may be: sleeping registers, late answers, stale translations."""

from __future__ import annotations

import pytest

from mediator.gen9.forcewake import GT, MEDIA, RENDER, domains
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.strictness import Strictness, strict
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.gpu_driver import ENGINE_BASES
from tests.unit.mediator.soft_gpu_fixture import make_bench

FORCEWAKE = {RENDER: (0xA278, 0xD84), GT: (0xA188, 0x130044), MEDIA: (0xA270, 0xD88)}
KERNEL = 0x0001_0001
SLEEPY = Strictness(needs_forcewake=True)


def make_gpu(strictness: Strictness) -> SoftGpu:
    """A cold GPU without memory."""
    return SoftGpu(GuestMemory(), Interrupts((1, 1, 0, 0, 0)), strictness=strictness)


@pytest.mark.parametrize(
    ("offset", "wanted"),
    [
        (0x2080, RENDER),
        (0x26FC, RENDER),
        (0x2700, GT),
        (0x12080, MEDIA),
        (0x1A080, MEDIA),
        (0x22080, GT),
        (0x941C, RENDER | MEDIA),
        (0x4094, GT),
        (0x3FFFC, MEDIA),
        (0x40000, 0),
        (0x44200, 0),
        (0x101008, 0),
        (0xD84, 0),
        (0xA278, 0),
    ],
)
def test_which_registers_sleep(offset: int, wanted: int) -> None:
    assert domains(offset, write=False) == wanted
    assert domains(offset, write=True) == wanted


def test_ring_tails_and_frequency_requests_are_kept_while_asleep() -> None:
    for offset in (*(base + 0x30 for base in ENGINE_BASES.values()), 0xA008, 0xA00C):
        assert domains(offset, write=True) == 0
        assert domains(offset, write=False) != 0


@pytest.mark.parametrize("domain", list(FORCEWAKE))
def test_a_domain_that_sleeps_reads_0_and_loses_writes(domain: int) -> None:
    offset = {RENDER: 0x2098, GT: 0x22098, MEDIA: 0x12098}[domain]
    gpu = make_gpu(SLEEPY)
    request, ack = FORCEWAKE[domain]
    gpu.write32(offset, 5)
    assert gpu.read32(offset) == 0
    gpu.write32(request, KERNEL)
    gpu.write32(offset, 5)
    assert gpu.read32(offset) == 0, "it was not waited for"
    assert gpu.read32(ack) == 1
    gpu.write32(offset, 5)
    assert gpu.read32(offset) == 5
    gpu.write32(request, 0x0001_0000)
    assert gpu.read32(offset) == 0
    gpu.write(offset, bytes(4))
    assert gpu.read(offset, 4) == bytes(4)
    gpu.write32(request, KERNEL)
    gpu.read32(ack)
    assert gpu.read32(offset) == 5


def test_answers_take_as_many_looks_as_they_take() -> None:
    gpu = make_gpu(Strictness(answer_looks=lambda: 3))
    gpu.write32(0xA278, KERNEL)
    assert [gpu.read32(0xD84) for _ in range(4)] == [0, 0, 0, 1]
    gpu.write32(0x209C, 1 << 24 | 1 << 8)
    assert [gpu.read32(0x209C) >> 9 & 1 for _ in range(4)] == [0, 0, 0, 1]
    gpu.write32(0x20D0, 1 << 16 | 1)
    assert [gpu.read32(0x20D0) >> 1 & 1 for _ in range(4)] == [0, 0, 0, 1]


def test_a_reset_is_done_when_it_is_seen_to_be() -> None:
    gpu = make_gpu(Strictness(answer_looks=lambda: 2))
    gpu.write32(0x2098, 7)
    gpu.write32(0x941C, 1 << 1)
    assert [gpu.read32(0x941C) for _ in range(2)] == [2, 2]
    assert gpu.read32(0x2098) == 7
    assert gpu.read32(0x941C) == 0
    assert gpu.read32(0x2098) != 7


def test_a_ggtt_entry_holds_after_a_flush() -> None:
    bench = make_bench(Strictness(stale_translations=True))
    driver, first, second = bench.driver, *(bench.driver.ram.allocate() for _ in range(2))
    driver.ram.write_u32(first, 1)
    driver.ram.write_u32(second, 2)
    address = driver.ggtt_map(first)
    entry = (8 << 20) + 8 * (address >> 12)
    for register in (0x101008, 0x4260):
        assert bench.gpu.read_aperture(address, 4) == b"\1\0\0\0"
        bench.gpu.write(entry, (second | 1).to_bytes(8, "little"))
        assert bench.gpu.read_aperture(address, 4) == b"\1\0\0\0"
        driver.write32(register, 1)
        assert bench.gpu.read_aperture(address, 4) == b"\2\0\0\0"
        driver.ggtt_write(address, first | 1)
    bench.gpu.write(entry, (second | 1).to_bytes(8, "little"))
    driver.write32(0x941C, 1)
    assert bench.gpu.read_aperture(address, 4) == b"\1\0\0\0", "a reset is no flush"


def test_one_seed_gives_one_behaviour() -> None:
    draws = []
    for seed in (1, 1, 2):
        chosen = strict(seed)
        assert chosen.list_delay is not None
        assert chosen.answer_looks is not None
        delays = [chosen.list_delay("rcs0") for _ in range(50)]
        draws.append((delays, [chosen.answer_looks() for _ in range(50)]))
    assert draws[0] == draws[1] != draws[2]
    assert {0, -1} < set(draws[0][0])
