"""A trace: what was noted, up to its room, and what a vGPU notes of itself."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import BCS0, RCS0
from mediator.gen9.interrupts import MASTER_ENABLE, MASTER_IRQ, EngineInterrupt
from mediator.vgpu.execlist import Element
from mediator.vgpu.interrupt import raise_engine_event
from mediator.vgpu.regions import GSM_OFFSET
from mediator.vgpu.trace import INSTANT, Record, Trace
from mmio_trap.irq import MSI
from tests.unit.mediator.dispatcher_bench import Bench, running

MS = 1_000_000


def test_records_are_taken_once_in_order() -> None:
    trace = Trace()
    trace.add("traps", "read RCS0_TAIL", 5, 7, "0x2030")
    trace.add("interrupts", "interrupt", 9)
    assert trace.take() == [
        Record("traps", "read RCS0_TAIL", 5, 7, "0x2030"),
        Record("interrupts", "interrupt", 9, INSTANT, ""),
    ]
    assert trace.take() == []


def test_what_has_no_room_is_counted() -> None:
    trace = Trace(room=2)
    for number in range(5):
        trace.add("slices", "slice", number)
    assert [record.start_ns for record in trace.take()] == [0, 1]
    assert trace.dropped == 3
    trace.add("slices", "slice", 9)
    assert [record.start_ns for record in trace.take()] == [9]


# -- of a vGPU, by a clock that stands still -------------------------------------------------------


@pytest.fixture(scope="module")
def still() -> Iterator[Bench]:
    with running(Bench()) as made:
        made.hold_clock()
        yield made


@pytest.fixture
def bench(still: Bench) -> Iterator[Bench]:
    still.a.vgpu.trace = Trace()
    yield still
    still.a.vgpu.trace = None


def noted(bench: Bench, *tracks: str) -> list[Record]:
    trace = bench.a.vgpu.trace
    assert trace is not None
    return [record for record in trace.take() if record.track in tracks]


@pytest.mark.parametrize(
    ("index", "offset", "name"),
    [
        (0, 0x2034, "RCS0_HEAD"),
        (0, 0x2036, "RCS0_HEAD"),
        (0, 0x4_7770, "unknown register 0x47770"),
        (0, GSM_OFFSET - 8, "unknown register 0x7ffff8"),
        (0, GSM_OFFSET, "gtt"),
        (2, 0x40, "aperture"),
        (7, 0x40, "config"),
    ],
)
def test_an_access_is_a_record(bench: Bench, index: int, offset: int, name: str) -> None:
    vgpu, now = bench.a.vgpu, bench.clock()
    times = vgpu.counters.trap_times
    before = times.count, times.total_ns
    vgpu.region_read(index, offset, 2)
    assert noted(bench, "traps") == [Record("traps", f"read {name}", now, 0, f"{offset:#x}")]
    vgpu.region_write(index, offset, bytes(2))
    assert noted(bench, "traps") == [Record("traps", f"write {name}", now, 0, f"{offset:#x}")]
    assert (times.count, times.total_ns) == (before[0] + 2, before[1])


def test_an_interrupt_is_a_record_when_the_line_rises(bench: Bench) -> None:
    vgpu, now = bench.a.vgpu, bench.clock()
    values = vgpu.registers.values
    values[MASTER_IRQ >> 2] = MASTER_ENABLE
    bank = RCS0.interrupt_bank
    values[bank.ier >> 2], values[bank.imr >> 2], values[bank.iir >> 2] = 0xFFFF_FFFF, 0, 0
    for facts in (RCS0, BCS0):
        values[(facts.mmio_base + reg.RING_IMR) >> 2] = 0
    eventfd = os.eventfd(0)
    vgpu.interrupts.set_triggers(MSI, 0, [eventfd])
    os.close(eventfd)
    raise_engine_event(vgpu, RCS0, EngineInterrupt.USER)
    rises = [Record("interrupts", "interrupt, master 0x1", now, INSTANT, "")]
    assert noted(bench, "interrupts") == rises
    raise_engine_event(vgpu, BCS0, EngineInterrupt.USER)
    assert noted(bench, "interrupts") == []


def test_a_slice_and_who_was_busy_in_it_are_records(bench: Bench) -> None:
    now = bench.clock()
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    bench.skip_ns += 3 * MS
    noted(bench)
    with bench.locked(bench.a):
        bench.dispatcher.world.withdraw(bench.a.vgpu)
    assert noted(bench, "slices", "vcs0 busy", "rcs0 busy") == [
        Record("vcs0 busy", "busy", now, 3 * MS, ""),
        Record("slices", "slice", now, 3 * MS, ""),
    ]


def test_the_end_of_a_request_is_a_record(bench: Bench) -> None:
    now = bench.clock()
    context = bench.run(bench.a, "bcs0", [])
    name = f"request of context {context.descriptor >> 32:#x}"
    assert noted(bench, "bcs0") == [Record("bcs0", name, now, 0, "")]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("began", [True, False])
def test_an_end_is_told_apart_from_a_wait(bench: Bench, waits: bool, began: bool) -> None:
    """What the hardware never had, as far as is known, is no record."""
    engine, now = bench.a.vgpu.engines["vecs0"], bench.clock()
    engine.lists.active = [Element(0x77 << 32 | 1, started_ns=(now - 5 * MS) * began)]
    with bench.locked(bench.a):
        engine.ended(waits=waits)
    detail = "waits for a semaphore" if waits else ""
    record = Record("vecs0", "request of context 0x77", now - 5 * MS, 5 * MS, detail)
    assert noted(bench, "vecs0") == [record] * began
