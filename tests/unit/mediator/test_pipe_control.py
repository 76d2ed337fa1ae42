"""PIPE_CONTROL and MI_FLUSH_DW: post-sync operations, notification, TLB."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    ABSENT,
    CONTEXT_PAGE,
    DATA,
    STATUS_PAGE,
    CommandBench,
    make_bench,
)

HEADER = 0x7A00_0004
IMMEDIATE, DEPTH, TIMESTAMP = 1 << 14, 2 << 14, 3 << 14
NOTIFY = 1 << 8
TLB = 1 << 18
INDEX = 1 << 21
REGISTER = 1 << 23
GGTT = 1 << 24


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def test_flushes_write_nothing(bench: CommandBench) -> None:
    assert bench.run([HEADER, 0x1F0_3CFF & ~GGTT & ~NOTIFY, DATA, 0, 1, 2]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == 0
    assert bench.host.interrupts == []


@pytest.mark.parametrize("space", [0, GGTT])
def test_immediate_qword(bench: CommandBench, space: int) -> None:
    assert bench.run([HEADER, IMMEDIATE | space, DATA | 7, 0, 1, 2]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == 2 << 32 | 1


def test_timestamp_and_depth_count(bench: CommandBench) -> None:
    bench.host.registers |= {0x2350: 5, 0x2354: 6}
    commands = [HEADER, TIMESTAMP, DATA, 0, 0, 0, HEADER, DEPTH, DATA + 8, 0, 0, 0]
    assert bench.run(commands) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == bench.host.ticks
    assert bench.get_u64(DATA + 8) == 6 << 32 | 5


@pytest.mark.parametrize(("space", "page"), [(0, CONTEXT_PAGE), (GGTT, STATUS_PAGE)])
def test_store_index(bench: CommandBench, space: int, page: int) -> None:
    assert bench.run([HEADER, IMMEDIATE | INDEX | space, 0xD0, 0, 7, 0]) is Stop.RING_EMPTY
    assert bench.get_u64(page + 0xD0) == 7


def test_memory_is_written_before_the_notification(bench: CommandBench) -> None:
    assert bench.run([HEADER, IMMEDIATE | NOTIFY, DATA, 0, 7, 0]) is Stop.RING_EMPTY
    ((bit, seen),) = bench.host.notified
    assert bit == 4
    assert seen[:8] == (7).to_bytes(8, "little")


def test_register_write(bench: CommandBench) -> None:
    assert bench.run([HEADER, REGISTER, 0x7034, 0, 0x55, 0]) is Stop.RING_EMPTY
    assert bench.host.registers == {0x7034: 0x55}


def test_tlb_invalidation(bench: CommandBench) -> None:
    assert bench.run([HEADER, TLB, 0, 0, 0, 0]) is Stop.RING_EMPTY
    assert bench.host.tlb_flushes == 1


def test_a_user_batch_loses_the_ggtt_but_not_the_notification(bench: CommandBench) -> None:
    assert bench.batch([HEADER, IMMEDIATE | GGTT | NOTIFY, DATA, 0, 7, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0]
    assert bench.host.interrupts == [4]
    assert bench.host.counters.dropped == {"PIPE_CONTROL GGTT": 1}


def test_a_user_batch_writes_user_registers_only(bench: CommandBench) -> None:
    body = [HEADER, REGISTER, 0x7034, 0, 1, 0, HEADER, REGISTER, 0x2080, 0, 2, 0]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.host.registers == {0x7034: 1}
    assert bench.host.counters.dropped == {"register 0x2080": 1}


def test_a_user_batch_has_no_status_page(bench: CommandBench) -> None:
    assert bench.batch([HEADER, IMMEDIATE | INDEX | NOTIFY, 0x40, 0, 7, 0]) is Stop.RING_EMPTY
    assert bench.get(CONTEXT_PAGE + 0x40) == [0]
    assert bench.host.interrupts == [4]
    assert bench.host.counters.dropped == {"PIPE_CONTROL GGTT": 1}


def test_a_short_form_has_zeros(bench: CommandBench) -> None:
    bench.put(DATA, [1, 1])
    assert bench.run([0x7A00_0002, IMMEDIATE, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == 0


def test_a_fault_raises_no_notification(bench: CommandBench) -> None:
    assert bench.run([HEADER, IMMEDIATE | NOTIFY, ABSENT, 0, 7, 0]) is Stop.HUNG
    assert bench.host.interrupts == []


FLUSH = 0x26 << 23
FLUSH_GGTT = 1 << 2


@pytest.mark.parametrize("engine", ["BCS", "VCS", "VECS"])
def test_flush_dw_writes_a_dword_then_notifies(engine: str) -> None:
    bench = make_bench(engine)
    bench.put(DATA, [0, 9])
    flush = [FLUSH | IMMEDIATE | NOTIFY | 2, DATA | FLUSH_GGTT, 0, 7]
    assert bench.run(flush) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [7, 9]
    ((bit, seen),) = bench.host.notified
    assert bit == 4
    assert seen[:4] == (7).to_bytes(4, "little")


def test_flush_dw_of_five_dwords_writes_a_qword() -> None:
    bench = make_bench("BCS")
    assert bench.run([FLUSH | IMMEDIATE | 3, DATA, 0, 7, 8]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [7, 8]


def test_the_video_cache_bit_is_not_length() -> None:
    bench = make_bench("VCS")
    assert bench.run([FLUSH | 1 << 7 | 2, 0, 0, 0, 0x02 << 23, 0]) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0]


def test_flush_dw_timestamp_and_tlb() -> None:
    bench = make_bench("BCS")
    assert bench.run([FLUSH | TIMESTAMP | TLB | 2, DATA, 0, 0]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == bench.host.ticks
    assert bench.host.tlb_flushes == 1


@pytest.mark.parametrize(("space", "page"), [(0, CONTEXT_PAGE), (FLUSH_GGTT, STATUS_PAGE)])
def test_flush_dw_store_index(space: int, page: int) -> None:
    bench = make_bench("BCS")
    assert bench.run([FLUSH | IMMEDIATE | INDEX | 2, 0xD0 | space, 0, 3]) is Stop.RING_EMPTY
    assert bench.get(page + 0xD0) == [3]


def test_flush_dw_in_a_user_batch() -> None:
    bench = make_bench("BCS")
    assert bench.batch([FLUSH | IMMEDIATE | NOTIFY | 2, DATA | FLUSH_GGTT, 0, 7]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0]
    assert bench.host.interrupts == [4]


def test_flush_dw_with_an_unknown_operation_hangs() -> None:
    assert make_bench("BCS").run([FLUSH | DEPTH | 2, DATA, 0, 7]) is Stop.HUNG


def test_flush_dw_in_a_user_batch_has_no_status_page() -> None:
    bench = make_bench("BCS")
    assert bench.batch([FLUSH | IMMEDIATE | INDEX | 2, 0xD0, 0, 3]) is Stop.RING_EMPTY
    assert bench.get(CONTEXT_PAGE + 0xD0) == [0]
    assert bench.host.counters.dropped == {"MI_FLUSH_DW GGTT": 1}
