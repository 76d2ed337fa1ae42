"""Hardware that does not answer: the mediator's driver says what is wrong, in bounded time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import BCS0, RCS0, VCS0
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.physical import host_engine
from mediator.physical.compute_work import ComputeWork
from mediator.physical.gpu import DmaSpace
from mediator.physical.host import HardwareError, HostEngine, HostGpu
from mediator.physical.soft import SoftDmaSpace

MASKED = frozenset({reg.RING_MI_MODE, reg.RING_RESET_CTL, reg.RING_MODE})


class FakeGpu:
    """Registers that are plain storage, and the answers that a test lets the GPU give.

    ``answers`` makes a register's value from what is stored; without one a reset is answered and
    nothing submitted ever runs.
    """

    identity = KABY_LAKE_GT2

    def __init__(self) -> None:
        self.interrupt_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.values: dict[int, int] = {}
        self.written: list[tuple[int, int]] = []
        self.answers: dict[int, Callable[[int], int]] = {}
        for engine in (RCS0, BCS0, VCS0):
            base = engine.mmio_base
            self.answers[base + reg.RING_MI_MODE] = lambda v: v | (v & 1 << 8) << 1
            self.answers[base + reg.RING_RESET_CTL] = lambda v: v | (v & 1) << 1
            self.answers[base + reg.RING_EIR] = lambda _value: 0
        self.answers[reg.GDRST] = lambda _value: 0
        for request, ack in (
            (reg.FORCEWAKE_RENDER, reg.FORCEWAKE_ACK_RENDER),
            (reg.FORCEWAKE_GT, reg.FORCEWAKE_ACK_GT),
            (reg.FORCEWAKE_MEDIA, reg.FORCEWAKE_ACK_MEDIA),
        ):
            self.answers[ack] = lambda _value, at=request: self.values.get(at, 0) & 0xFFFF  # type: ignore[misc]

    def read32(self, offset: int) -> int:
        value = self.values.get(offset, 0)
        answer = self.answers.get(offset)
        return value if answer is None else answer(value)

    def write32(self, offset: int, value: int) -> None:
        self.written.append((offset, value))
        if offset & 0xFFF in MASKED:
            enabled = value >> 16
            value = self.values.get(offset, 0) & ~enabled | value & enabled
        self.values[offset] = value

    def write_ggtt(self, page: int, entries: bytes | bytearray | memoryview) -> None:
        """No GGTT."""

    def create_space(self) -> DmaSpace:
        return SoftDmaSpace()

    @property
    def compute_work(self) -> ComputeWork:
        return ComputeWork()

    def attach_space(self, space: DmaSpace) -> None:
        """No DMA."""

    def reset(self) -> None:
        self.values.clear()

    def close(self) -> None:
        os.close(self.interrupt_fd)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    monkeypatch.setattr(host_engine, "GOLDEN_TIMEOUT_S", 0.01)
    made = FakeGpu()
    yield made
    made.close()


@pytest.fixture
def host(gpu: FakeGpu) -> Iterator[HostGpu]:
    made = HostGpu(gpu)
    yield made
    made.close()


@pytest.fixture
def engine(host: HostGpu) -> HostEngine:
    return host.engines["bcs0"]


def never(gpu: FakeGpu, offset: int, value: int = 0) -> None:
    gpu.answers[offset] = lambda _value: value


def test_forcewake_that_is_never_acknowledged(gpu: FakeGpu, host: HostGpu) -> None:
    never(gpu, reg.FORCEWAKE_ACK_MEDIA, 0x80)
    with pytest.raises(HardwareError, match="media domain: ack is 0x80"):
        host.initialise(gpu.create_space())


def test_an_engine_that_never_runs_its_first_context(gpu: FakeGpu, host: HostGpu) -> None:
    never(gpu, RCS0.mmio_base + reg.RING_EXECLIST_STATUS_LO, 0x18)
    with pytest.raises(HardwareError, match=r"rcs0: .*does not end.*0x18"):
        host.initialise(gpu.create_space())


def test_a_first_context_that_ends_without_effect(
    monkeypatch: pytest.MonkeyPatch, engine: HostEngine
) -> None:
    monkeypatch.setattr(engine, "events", lambda: [(0x1, 0), (0x18, host_engine.IDLE_CONTEXT_ID)])
    with pytest.raises(HardwareError, match="bcs0: the first context ran without effect"):
        engine.record_golden()


def test_reset_that_is_answered(gpu: FakeGpu, engine: HostEngine) -> None:
    assert engine.reset()
    base = BCS0.mmio_base
    order = [offset for offset, _ in gpu.written]
    stop, request = base + reg.RING_MI_MODE, base + reg.RING_RESET_CTL
    assert order[:3] == [stop, request, reg.GDRST]
    assert (request, 1 << 16) in gpu.written, "the request is withdrawn"
    assert gpu.read32(stop) & reg.MI_MODE_STOP_RING == 0
    assert gpu.read32(base + reg.RING_MODE) & reg.GFX_RUN_LIST_ENABLE


def test_reset_that_never_gets_ready(gpu: FakeGpu, engine: HostEngine) -> None:
    request = BCS0.mmio_base + reg.RING_RESET_CTL
    never(gpu, request, 1)
    assert not engine.reset()
    assert reg.GDRST not in [offset for offset, _ in gpu.written], "nothing was reset"
    assert gpu.written[-1] == (request, 1 << 16), "the request is withdrawn"


def test_reset_that_never_ends(gpu: FakeGpu, engine: HostEngine) -> None:
    never(gpu, reg.GDRST, BCS0.reset_bit)
    assert not engine.reset()
    with pytest.raises(HardwareError, match="bcs0: GDRST stays 0x8"):
        engine.require_reset()


def test_a_ring_that_does_not_stop_is_reset_all_the_same(gpu: FakeGpu, engine: HostEngine) -> None:
    never(gpu, BCS0.mmio_base + reg.RING_MI_MODE)
    assert not engine.stop()
    assert engine.reset()


def test_a_catastrophic_error_is_cleared_instead_of_waiting(
    gpu: FakeGpu, engine: HostEngine
) -> None:
    offset = BCS0.mmio_base + reg.RING_RESET_CTL
    gpu.values[offset] = reg.RESET_CTL_CAT_ERROR
    gpu.answers[offset] = lambda value: 0 if (offset, 0x4_0004) in gpu.written else value
    assert engine.reset()
    assert (offset, 0x4_0004) in gpu.written
    assert (offset, 0x1_0001) not in gpu.written


def test_a_fault_is_that_of_the_engine_it_names(gpu: FakeGpu, host: HostGpu) -> None:
    gpu.values[reg.GEN8_RING_FAULT_REG] = VCS0.fault_id << 12 | 1
    assert [name for name, engine in host.engines.items() if engine.hung()] == ["vcs0"]
    assert host.engines["bcs0"].reset()
    assert host.engines["vcs0"].hung(), "another engine's reset leaves the fault"
    assert host.engines["vcs0"].reset()
    assert not host.engines["vcs0"].hung()


def test_the_user_mask_never_hides_what_the_mediator_needs(
    gpu: FakeGpu, engine: HostEngine
) -> None:
    engine.set_user_mask(0xFFFF_0000)
    assert gpu.read32(BCS0.mmio_base + reg.RING_IMR) == 0xFFFF_0000 & ~(0x108 << 16)


def test_a_submission_is_four_dwords_second_context_first(gpu: FakeGpu, engine: HostEngine) -> None:
    engine.submit(0x1_0000_0002, 0x3_0000_0004)
    port = BCS0.mmio_base + reg.RING_ELSP
    assert gpu.written == [(port, value) for value in (3, 4, 1, 2)]


def test_events_are_read_in_order_and_once(gpu: FakeGpu, host: HostGpu) -> None:
    engine = host.engines["rcs0"]
    engine.initialise()
    page = (gpu.read32(RCS0.mmio_base + reg.RING_HWS_PGA) - host.slab.ggtt) // 4
    numbers = iter(range(1, 100))
    index = 5
    for count in (1, 3, 5, 0, 2, 4):
        expected = []
        for _ in range(count):
            index = (index + 1) % 6
            number = next(numbers)
            host.slab.u32[page + 0x10 + 2 * index] = number
            host.slab.u32[page + 0x11 + 2 * index] = 1000 + number
            expected.append((number, 1000 + number))
        host.slab.u32[page + 0x1F] = index
        assert engine.events() == expected
    assert engine.events() == []
