"""What an engine's registers show of a running context, of none, and what writing them does.

Offsets and bits as in Linux i915 gt/intel_engine_regs.h.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.hotpath.interface import PageFault
from mediator.softgpu.context_state import BatchState, ContextState, RingState
from mediator.softgpu.engine import Engine
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.strictness import Strictness
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.gpu_driver import ENGINE_BASES
from tests.unit.mediator.soft_gpu_fixture import make_bench

ENGINES = list(ENGINE_BASES)
TAIL, HEAD, START, CTL = 0x30, 0x34, 0x38, 0x3C
ACTHD_UDW, DMA_FADD_UDW, IPEHR, ACTHD, DMA_FADD = 0x5C, 0x60, 0x68, 0x74, 0x78
MI_MODE, EIR, EMR, RESET_CTL = 0x9C, 0xB0, 0xB4, 0xD0
BB_STATE, SBB_ADDR, BB_ADDR, BB_ADDR_UDW = 0x110, 0x114, 0x140, 0x168
STATUS, STATUS_POINTER, CTX_TIMESTAMP = 0x234, 0x3A0, 0x3A8
PDP0, STATUS_BUFFER = 0x270, 0x370
FAULT, FAULT_DATA0, FAULT_DATA1 = 0x4094, 0x4B10, 0x4B14
STOP, IDLE, READY, CAT_ERROR = 1 << 8, 1 << 9, 1 << 1, 1 << 2


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gpu() -> SoftGpu:
    return SoftGpu(GuestMemory(), Interrupts((1, 1, 0, 0, 0)))


def running(gpu: SoftGpu, name: str) -> tuple[Engine, ContextState]:
    """An engine with a context in which everything is another number."""
    engine = gpu.engines[name]
    engine.context = ContextState(
        descriptor=0x77 << 32 | 0x0123_4000,
        ring=RingState(5 << 21 | 0x1230, 0x4560, 0x0789_A000, 0x7000 | 1),
        batch=BatchState(0x1234_5678_9AB0, True, True),
        second=BatchState(0x4321_8765_4320, False, False),
    )
    engine.lists.active = [engine.context.descriptor]
    return engine, engine.context


def test_a_running_context_shows(gpu: SoftGpu, name: str) -> None:
    base = ENGINE_BASES[name]
    _, context = running(gpu, name)

    def shown(*offsets: int) -> list[int]:
        return [gpu.read32(base + offset) for offset in offsets]

    assert shown(HEAD, TAIL, START, CTL) == [5 << 21 | 0x1230, 0x4560, 0x0789_A000, 0x7001]
    assert shown(ACTHD_UDW, ACTHD) == shown(DMA_FADD_UDW, DMA_FADD) == [0x1234, 0x5678_9AB0]
    assert shown(BB_ADDR_UDW, BB_ADDR, BB_STATE) == [0x1234, 0x5678_9AB1, 1 << 5]
    assert shown(SBB_ADDR) == [0x8765_4320]
    assert shown(STATUS, STATUS + 4) == [0x5_4010, 0x77]
    context.arbitration = False
    assert shown(STATUS) == [0x4_4010]
    context.second.active, context.batch.ppgtt, context.wait_reported = True, False, True
    assert shown(ACTHD_UDW, ACTHD) == [0x4321, 0x8765_4320]
    assert shown(SBB_ADDR, BB_STATE, CTL) == [0x8765_4321, 0, 0x7401]
    context.second.active = context.batch.active = False
    assert shown(BB_ADDR, SBB_ADDR) == [0x5678_9AB0, 0x8765_4320]
    assert shown(ACTHD_UDW, ACTHD) == [0, 0x0789_A000 + 0x1230]


def test_without_a_context_the_registers_show_what_was_stored(gpu: SoftGpu, name: str) -> None:
    base = ENGINE_BASES[name]
    for offset in (HEAD, TAIL, START, CTL, ACTHD):
        gpu.registers.values[(base + offset) >> 2] = 0x1000 + offset
        assert gpu.read32(base + offset) == 0x1000 + offset
    for offset in (BB_ADDR, SBB_ADDR, BB_ADDR_UDW, BB_STATE, STATUS + 4):
        assert gpu.read32(base + offset) == 0
    assert gpu.read32(base + STATUS) == 1 << 16
    gpu.engines[name].clock.counted = 0x55
    assert gpu.read32(base + CTX_TIMESTAMP) == 0x55


def test_the_page_directory_is_taken_at_each_write(gpu: SoftGpu, name: str) -> None:
    base = ENGINE_BASES[name]
    gpu.write32(base + PDP0, 0x1234_5000)
    assert gpu.engines[name].ppgtt.root == 0x1234_5000
    gpu.write32(base + PDP0 + 4, 0x7)
    assert gpu.engines[name].ppgtt.root == 0x7_1234_5000
    others = {other: engine.ppgtt.root for other, engine in gpu.engines.items() if other != name}
    assert set(others.values()) == {0}
    for n in range(2, 8):
        gpu.write32(base + PDP0 + 4 * n, 0x1111)
    assert gpu.engines[name].ppgtt.root == 0x7_1234_5000


def test_the_pages_of_an_engine(gpu: SoftGpu, name: str) -> None:
    engine = gpu.engines[name]
    gpu.write32(ENGINE_BASES[name] + 0x80, 0x0123_4FFF)
    assert engine.status_page == 0x0123_4000
    assert engine.context_page == 0
    running(gpu, name)
    assert engine.context_page == 0x0123_4000


# -- the status buffer ---------------------------------------------------------------------------


@pytest.mark.parametrize("write", range(8))
@pytest.mark.parametrize("read", range(8))
def test_both_status_pointers_can_be_set(gpu: SoftGpu, write: int, read: int) -> None:
    """Six entries: a write pointer past the last is the last."""
    pointer = ENGINE_BASES["bcs0"] + STATUS_POINTER
    gpu.write32(pointer, 0x0707 << 16 | read << 8 | write)
    lists = gpu.engines["bcs0"].lists
    assert (lists.write_pointer, lists.read_pointer) == (min(write, 5), read)
    assert gpu.read32(pointer) == read << 8 | min(write, 5)
    gpu.write32(pointer, 0x0700 << 16)
    assert gpu.read32(pointer) == min(write, 5)


def test_the_status_buffer_holds_event_and_context(gpu: SoftGpu, name: str) -> None:
    entries = gpu.engines[name].lists.entries
    for number, entry in enumerate(entries):
        entry.event, entry.context_id = 0x100 + number, 0x200 + number
    shown = [gpu.read32(ENGINE_BASES[name] + STATUS_BUFFER + 4 * n) for n in range(12)]
    assert shown == [high + n for n in range(6) for high in (0x100, 0x200)]


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("command", [None, 0x1234])
def test_an_illegal_command_is_told(masked: bool, command: int | None) -> None:
    bench = make_bench()
    engine, base, bank = bench.gpu.engines["vecs0"], ENGINE_BASES["vecs0"], 0x44338
    bench.gpu.write32(base + EMR, 0xFFFF_FFFF if masked else 0xFFFF_FFFE)
    bench.gpu.registers.values[(base + EIR) >> 2] = 0x10
    bench.gpu.write32(base + IPEHR, 0x55)
    engine.hang("a test", address=0, command=command, fault=None)
    assert engine.hung == "a test"
    assert bench.gpu.read32(base + EIR) == 0x11
    assert bench.gpu.read32(base + IPEHR) == (0x55 if command is None else command)
    assert bench.gpu.read32(bank) == (0 if masked else 1 << 3)
    assert bench.gpu.read32(FAULT) == 0
    bench.gpu.write32(base + EIR, 0x10)
    assert bench.gpu.read32(base + EIR) == 1


@pytest.mark.parametrize(
    ("engine_name", "fault_id"), [("rcs0", 0), ("vcs0", 1), ("vecs0", 3), ("bcs0", 4)]
)
def test_the_first_page_fault_is_told(gpu: SoftGpu, engine_name: str, fault_id: int) -> None:
    """i915 gen8_report_fault: the address' bits 43:12 and 47:44, and the engine's number."""
    first = PageFault(0xF234_5678_9ABC, True, "a test")
    gpu.engines[engine_name].hang("a test", address=0, command=7, fault=first)
    gpu.engines["vecs0"].hang(
        "another", address=0, command=7, fault=PageFault(0x1000, False, "another")
    )
    assert gpu.read32(FAULT) == fault_id << 12 | 1
    assert (gpu.read32(FAULT_DATA0), gpu.read32(FAULT_DATA1)) == (0x2345_6789, 0xF)
    assert gpu.read32(ENGINE_BASES[engine_name] + EIR) == 0
    gpu.write32(FAULT, 0)
    gpu.engines["vecs0"].hang(
        "another", address=0, command=7, fault=PageFault(0x1000, False, "another")
    )
    assert gpu.read32(FAULT) == 3 << 12 | 1
    assert (gpu.read32(FAULT_DATA0), gpu.read32(FAULT_DATA1)) == (1, 0)


# -- stop and reset ------------------------------------------------------------------------------


def test_a_ring_that_stands_is_idle(gpu: SoftGpu, name: str) -> None:
    mode = ENGINE_BASES[name] + MI_MODE
    assert gpu.read32(mode) & IDLE, "nothing to run"
    engine, _ = running(gpu, name)
    assert not gpu.read32(mode) & IDLE
    gpu.write32(mode, STOP << 16 | STOP)
    assert gpu.read32(mode) == STOP | IDLE
    engine.executing = True
    assert gpu.read32(mode) == STOP
    engine.executing = False
    gpu.write32(mode, IDLE << 16)
    assert gpu.read32(mode) & (STOP | IDLE) == STOP | IDLE, "the bit shows what is"
    gpu.write32(mode, STOP << 16)
    assert not engine.abandon
    assert not gpu.read32(mode) & (STOP | IDLE)


def test_a_bit_beside_stop_wakes_nobody(gpu: SoftGpu) -> None:
    engine = gpu.engines["bcs0"]
    engine._kicked = False
    gpu.write32(ENGINE_BASES["bcs0"] + MI_MODE, 1 << 16 | 1)
    assert not engine._kicked


def test_a_reset_is_made_ready_and_withdrawn(gpu: SoftGpu, name: str) -> None:
    base = ENGINE_BASES[name]
    control = base + RESET_CTL
    engine, _ = running(gpu, name)
    gpu.write32(control, 1 << 16 | 1)
    assert gpu.read32(control) == 1 | READY
    assert engine.abandon
    gpu.write32(control, CAT_ERROR << 16 | CAT_ERROR)
    assert gpu.read32(control) == 1 | READY, "an error is acknowledged by its bit"
    gpu.write32(control, 1 << 16)
    assert gpu.read32(control) == 0
    assert not engine.abandon
    gpu.write32(base + MI_MODE, STOP << 16 | STOP)
    gpu.write32(control, 1 << 16 | 1)
    gpu.write32(control, 1 << 16)
    assert engine.abandon, "its ring is stopped all the same"


def test_what_has_not_been_asked_is_there_at_once() -> None:
    """A GPU that takes its time answers what it was asked, not more."""
    gpu = SoftGpu(
        GuestMemory(), Interrupts((1, 1, 0, 0, 0)), strictness=Strictness(answer_looks=lambda: 2)
    )
    mode = ENGINE_BASES["rcs0"] + MI_MODE
    assert gpu.read32(mode) & IDLE
    gpu.write32(mode, STOP << 16 | STOP)
    assert [gpu.read32(mode) & IDLE for _ in range(3)] == [0, 0, IDLE]
    assert gpu.read32(ENGINE_BASES["bcs0"] + MI_MODE) & IDLE


@pytest.mark.parametrize("drop", [Engine.reset, Engine.flush_tlb])
def test_what_is_known_of_page_tables_is_dropped(drop: Callable[[Engine], None]) -> None:
    bench = make_bench()
    engine = bench.gpu.engines["bcs0"]
    tables = bench.driver.create_context("bcs0").tables
    first, second = (bench.driver.ram.allocate() for _ in range(2))
    bench.driver.ram.write_u32(first, 1)
    bench.driver.ram.write_u32(second, 2)
    tables.map(0x5000, first)
    engine.ppgtt.load(tables.root)
    assert engine.ppgtt.read_u32(0x5000) == 1
    tables.map(0x5000, second)
    assert engine.ppgtt.read_u32(0x5000) == 1
    with bench.gpu.lock:
        drop(engine)
    assert engine.ppgtt.read_u32(0x5000) == 2
