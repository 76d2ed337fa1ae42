"""MI commands that write memory, one by one, in ring, secure batch and user batch."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    ABSENT,
    CONTEXT_PAGE,
    DATA,
    RING,
    STATUS_PAGE,
    CommandBench,
    make_bench,
)

GGTT = 1 << 22
SDI = 0x20 << 23
GPR0 = 0x2600
PPGTT_ONLY = DATA + 0x1000
"""Absent in the GGTT of a bench of `split`."""


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def split(bench: CommandBench) -> None:
    """Let GGTT address DATA mean the page after it, so that the spaces differ."""
    bench.host.ggtt.write_entry(8 * (DATA >> 12), (PPGTT_ONLY | 1).to_bytes(8, "little"))


def test_store_dword_uses_the_space_it_names(bench: CommandBench) -> None:
    split(bench)
    assert bench.run([SDI | 2, DATA, 0, 1, SDI | GGTT | 2, DATA, 0, 2]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [1]
    assert bench.get(PPGTT_ONLY) == [2]


def test_store_qword(bench: CommandBench) -> None:
    assert bench.run([SDI | 1 << 21 | 3, DATA, 0, 0x1111_2222, 0x3333_4444]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA) == 0x3333_4444_1111_2222


def test_store_qword_across_a_page(bench: CommandBench) -> None:
    assert bench.run([SDI | 1 << 21 | 3, DATA + 0xFFC, 0, 5, 6]) is Stop.RING_EMPTY
    assert bench.get(DATA + 0xFFC, 2) == [5, 6]


def test_store_qword_without_its_data_hangs(bench: CommandBench) -> None:
    assert bench.run([SDI | 1 << 21 | 2, DATA, 0, 1]) is Stop.HUNG


def test_addresses_are_canonical_and_dword_aligned(bench: CommandBench) -> None:
    assert bench.run([SDI | 2, DATA | 3, 0xFFFF_0000, 7]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [7]


def test_a_user_batch_stores_nothing_by_the_ggtt(bench: CommandBench) -> None:
    assert bench.batch([SDI | GGTT | 2, DATA, 0, 1]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0]
    assert bench.host.counters.dropped == {"MI_STORE_DATA_IMM GGTT": 1}


def test_store_data_index(bench: CommandBench) -> None:
    per_process = 0x21 << 23 | 1 << 21
    assert bench.run([per_process | 1, 0x80, 4, 0x21 << 23 | 2, 0x88, 5, 6, 0]) is Stop.RING_EMPTY
    assert bench.get(CONTEXT_PAGE + 0x80) == [4]
    assert bench.get(STATUS_PAGE + 0x88, 2) == [5, 6]


def test_a_user_batch_has_no_store_data_index(bench: CommandBench) -> None:
    assert bench.batch([0x21 << 23 | 1, 0x80, 4]) is Stop.RING_EMPTY
    assert bench.get(STATUS_PAGE + 0x80) == [0]
    assert bench.host.counters.dropped == {"MI_STORE_DATA_INDEX": 1}


def test_copy_mem_mem(bench: CommandBench) -> None:
    split(bench)
    bench.put(DATA + 8, [0xABCD])
    header = 0x2E << 23 | 3
    assert bench.run([header, DATA, 0, DATA + 8, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0xABCD]
    assert bench.run([header | 1 << 21, DATA, 0, DATA + 8, 0]) is Stop.RING_EMPTY
    assert bench.get(PPGTT_ONLY) == [0xABCD]
    bench.put(PPGTT_ONLY + 8, [0x99])
    assert bench.run([header | GGTT, DATA + 4, 0, DATA + 8, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA + 4) == [0x99]


@pytest.mark.parametrize("bit", [21, 22])
def test_a_user_batch_copies_nothing_by_the_ggtt(bench: CommandBench, bit: int) -> None:
    assert bench.batch([0x2E << 23 | 1 << bit | 3, DATA, 0, ABSENT, 0]) is Stop.RING_EMPTY
    assert bench.host.counters.dropped == {"MI_COPY_MEM_MEM GGTT": 1}


def atomic(code: int, size: int, *, inline: bool = True) -> int:
    header = 0x2F << 23 | size << 19 | (code | size << 5) << 8 | 1 << 16
    return header | (1 << 18 | 9 if inline else 1)


@pytest.mark.parametrize(
    ("code", "old", "operand", "new"),
    [
        (0x1, 0b1100, 0b1010, 0b1000),
        (0x2, 0b1100, 0b1010, 0b1110),
        (0x3, 0b1100, 0b1010, 0b0110),
        (0x4, 1, 9, 9),
        (0x5, 0xFFFF_FFFF, 0, 0),
        (0x6, 0, 0, 0xFFFF_FFFF),
        (0x7, 3, 4, 7),
        (0x8, 3, 4, 0xFFFF_FFFF),
        (0x9, 3, 4, 1),
        (0xA, 0xFFFF_FFFF, 1, 1),
        (0xB, 0xFFFF_FFFF, 1, 0xFFFF_FFFF),
        (0xC, 0xFFFF_FFFF, 1, 0xFFFF_FFFF),
        (0xD, 0xFFFF_FFFF, 1, 1),
    ],
)
def test_atomic_dword(bench: CommandBench, code: int, old: int, operand: int, new: int) -> None:
    bench.put(DATA, [old, 0x55])
    assert bench.run([atomic(code, 0), DATA, 0, operand, *[0] * 7]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [new, 0x55]
    assert bench.host.registers[GPR0 + 8 * 4] == old
    assert GPR0 + 8 * 4 + 4 not in bench.host.registers


@pytest.mark.parametrize(("expected", "new"), [(10, 20), (11, 10)])
def test_atomic_compare_and_write_qword(bench: CommandBench, expected: int, new: int) -> None:
    bench.put(DATA, [10, 10])
    inline = [expected, new, expected, new, 0, 0, 0, 0]
    assert bench.run([atomic(0xE, 1), DATA, 0, *inline]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [new, new]


def test_atomic_compare_and_write_octword(bench: CommandBench) -> None:
    bench.put(DATA, [1, 2, 3, 4])
    assert bench.run([atomic(0xE, 2), DATA, 0, 1, 5, 2, 6, 3, 7, 4, 8]) is Stop.RING_EMPTY
    assert bench.get(DATA, 4) == [5, 6, 7, 8]
    assert [bench.host.registers[GPR0 + 32 + 4 * i] for i in range(4)] == [1, 2, 3, 4]


def test_atomic_with_operands_in_gprs(bench: CommandBench) -> None:
    bench.put(DATA, [10, 1])
    bench.host.registers |= {GPR0: 10, GPR0 + 4: 1, GPR0 + 16: 77, GPR0 + 20: 88}
    assert bench.run([atomic(0xE, 1, inline=False), DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA, 2) == [77, 88]


def test_atomic_without_return_leaves_the_gprs(bench: CommandBench) -> None:
    assert bench.run([0x2F << 23 | 0x05 << 8 | 1, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [1]
    assert bench.host.registers == {}


@pytest.mark.parametrize("header", [0x0000, 3 << 19 | 0x500, 0x1000, 2 << 19 | 0x4700])
def test_an_atomic_that_is_none_hangs(bench: CommandBench, header: int) -> None:
    assert bench.run([0x2F << 23 | header | 1, DATA, 0]) is Stop.HUNG


def test_an_inline_atomic_without_data_hangs(bench: CommandBench) -> None:
    assert bench.run([0x2F << 23 | 1 << 18 | 0x500 | 1, DATA, 0]) is Stop.HUNG


def test_update_gtt_writes_entries(bench: CommandBench) -> None:
    entries = [0x1000 | 1, 0, 0x2000 | 1, 7]
    assert bench.run([0x23 << 23 | 4, 0x8000_0000, *entries]) is Stop.RING_EMPTY
    assert bench.host.ggtt.entry(0x80000) == 0x1001
    assert bench.host.ggtt.entry(0x80001) == 7 << 32 | 0x2001


def test_update_gtt_holds_for_the_next_command(bench: CommandBench) -> None:
    entry = [0x23 << 23 | 2, DATA, PPGTT_ONLY | 1, 0]
    bench.run([SDI | GGTT | 2, DATA, 0, 1, *entry, SDI | GGTT | 2, DATA, 0, 2])
    assert bench.get(DATA) == [1]
    assert bench.get(PPGTT_ONLY) == [2]


def test_update_gtt_errors(bench: CommandBench) -> None:
    assert bench.run([0x23 << 23 | 3, 0, 0, 0, 0]) is Stop.HUNG
    past_end = [0x23 << 23 | 4, 0xFFFF_F000, *[0] * 4]
    assert make_bench().run(past_end) is Stop.HUNG


def test_a_user_batch_has_no_update_gtt(bench: CommandBench) -> None:
    before = bench.host.ggtt.entry(RING >> 12)
    assert bench.batch([0x23 << 23 | 2, RING, 0, 0]) is Stop.RING_EMPTY
    assert bench.host.ggtt.entry(RING >> 12) == before
    assert bench.host.counters.dropped == {"MI_UPDATE_GTT": 1}


def test_report_perf_count(bench: CommandBench) -> None:
    bench.put(DATA, [0xFFFF_FFFF] * 65)
    assert bench.run([0x28 << 23 | 2, DATA | 1, 0, 0x1234, 0, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA, 65) == [0x1234, 0x8765_4321, *[0] * 62, 0xFFFF_FFFF]
    assert bench.batch([0x28 << 23 | 2, DATA + 0x200 | 1, 0, 1]) is Stop.RING_EMPTY
    assert bench.host.counters.dropped == {"MI_REPORT_PERF_COUNT GGTT": 1}


def test_report_head(bench: CommandBench) -> None:
    assert bench.run([0, 0, 0x07 << 23, 0]) is Stop.RING_EMPTY
    assert bench.get(CONTEXT_PAGE + 0x10) == [8]


def test_resource_streamer_store(bench: CommandBench) -> None:
    assert bench.run([0x2B << 23 | 2, DATA, 0, 3]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [3]


def test_clflush_has_no_effect(bench: CommandBench) -> None:
    assert bench.run([0x27 << 23 | 1, ABSENT, 0, 0]) is Stop.RING_EMPTY
