"""Operands of MI commands up to their last bit: fields, addresses, sizes, places of a page.

Fields as in PRM SKL vol 2a and Linux i915 gt/intel_gpu_commands.h.
"""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    CONTEXT_PAGE,
    DATA,
    PML4,
    RING,
    STATUS_PAGE,
    USER_BATCH,
    USER_BATCH_START,
    CommandBench,
    make_bench,
)

PAGE = 4096
GGTT = 1 << 22
GPR0 = 0x2600
ONES = 0xFFFF_FFFF
HIGH = 0x8000_0000_0000 | DATA
"""An address with bit 47 set; `bench` maps its page like that of DATA."""


@pytest.fixture
def bench() -> CommandBench:
    made = make_bench()
    pointers, directory, table = PML4 + PAGE, PML4 + 2 * PAGE, PML4 + 3 * PAGE
    assert made.memory.read_u64(pointers) == directory | 3
    assert made.memory.read_u64(directory) == table | 3
    made.memory.write_u64(PML4 + 8 * 256, pointers | 3)
    return made


def split(address: int) -> list[int]:
    return [address & ONES, address >> 32 | 0xABCD_0000]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([0x20 << 23 | 2, *split(HIGH | 0xFFB), 7], (0xFF8, 7)),
        ([0x20 << 23 | 1 << 21 | 3, *split(HIGH | 0xFFB), 7, 8], (0xFF8, 8 << 32 | 7)),
        ([0x24 << 23 | 2, GPR0, *split(HIGH | 0xFFB)], (0xFF8, 0x66)),
        ([0x2B << 23 | 2, *split(HIGH | 0xFFB), 7], (0xFF8, 7)),
        ([0x2E << 23 | 3, *split(HIGH | 0xFFB), *split(HIGH | 0x801)], (0xFF8, 0x55)),
        ([0x2F << 23 | 0x05 << 8 | 1, *split(HIGH | 0xFFB)], (0xFF8, 1)),
        ([0x7A00_0004, 1 << 14, *split(HIGH | 0xFFF), 7, 8], (0xFF8, 8 << 32 | 7)),
        ([0x28 << 23 | 2, *split(HIGH | 0xE3E), 9], (0xE00, 0x8765_4321 << 32 | 9)),
    ],
    ids=[
        "store",
        "store qword",
        "register",
        "rs store",
        "copy",
        "atomic",
        "pipe control",
        "report",
    ],
)
def test_an_address_has_48_bits(
    bench: CommandBench, command: list[int], expected: tuple[int, int]
) -> None:
    """Bits above them and below the operand's size are ignored."""
    bench.host.registers[GPR0] = 0x66
    bench.put(DATA + 0x800, [0x55])
    assert bench.run(command) is Stop.RING_EMPTY
    place, value = expected
    assert bench.get_u64(DATA + place) == value


def test_flush_dw_has_48_bits_too() -> None:
    bench = make_bench("BCS")
    bench.memory.write_u64(PML4 + 8 * 256, (PML4 + PAGE) | 3)
    address = [HIGH & ONES | 0xFFB, HIGH >> 32 | 0xABCD_0000]
    assert bench.run([0x26 << 23 | 1 << 14 | 3, *address, 7, 8]) is Stop.RING_EMPTY
    assert bench.get_u64(DATA + 0xFF8) == 8 << 32 | 7


@pytest.mark.parametrize(
    ("command", "page", "offset"),
    [
        ([0x21 << 23 | 1, 0xABCD_FFFF, 7], STATUS_PAGE, 0xFFC),
        ([0x21 << 23 | 1 << 21 | 1, 0xABCD_FFFF, 7], CONTEXT_PAGE, 0xFFC),
        ([0x21 << 23 | 2, 0xABCD_FFF8, 7, 8], STATUS_PAGE, 0xFF8),
        ([0x7A00_0004, 1 << 14 | 1 << 21, 0xABCD_FFFF, 0, 7, 8], CONTEXT_PAGE, 0xFF8),
        ([0x7A00_0004, 1 << 14 | 1 << 21 | 1 << 24, 0xFFFF, 0, 7, 8], STATUS_PAGE, 0xFF8),
    ],
)
def test_an_index_stays_in_its_page(
    bench: CommandBench, command: list[int], page: int, offset: int
) -> None:
    assert bench.run(command) is Stop.RING_EMPTY
    assert bench.get(page + offset) == [7]
    assert bench.get(page + PAGE) == [0]


@pytest.mark.parametrize("index", [0xFFC, 0xFF8, 0x3F8])
def test_an_index_of_flush_dw_stays_in_its_page(index: int) -> None:
    for use_global, page in ((1 << 2, STATUS_PAGE), (0, CONTEXT_PAGE)):
        bench = make_bench("VCS")
        flush = [0x26 << 23 | 1 << 21 | 1 << 14 | 2, 0xABCD_0000 | index & ~4 | use_global, 0, 7]
        assert bench.run(flush) is Stop.RING_EMPTY
        assert bench.get(page + (index & 0xFF8)) == [7]


@pytest.mark.parametrize("disabled", range(16))
def test_each_byte_of_a_register_can_be_left_alone(bench: CommandBench, disabled: int) -> None:
    bench.host.registers[GPR0] = 0x1122_3344
    assert bench.run([0x22 << 23 | disabled << 8 | 1, GPR0, 0xAABB_CCDD]) is Stop.RING_EMPTY
    old, new = bytes.fromhex("44332211"), bytes.fromhex("ddccbbaa")
    expected = bytes(old[n] if disabled >> n & 1 else new[n] for n in range(4))
    assert bench.host.registers[GPR0].to_bytes(4, "little") == expected


def test_a_number_of_22_bits_is_noted(bench: CommandBench) -> None:
    assert bench.run([1 << 22 | 0x3F_FFFF, 0x3F_0000]) is Stop.RING_EMPTY
    assert bench.host.registers == {0x2094: 0x3F_FFFF}


@pytest.mark.parametrize("engine", ["RCS", "BCS", "VCS", "VECS"])
def test_a_number_is_noted_in_the_engines_own_register(engine: str) -> None:
    bench = make_bench(engine)
    bench.run([1 << 22 | 5, 0])
    assert bench.host.registers == {bench.host.mmio_base + 0x94: 5}


# -- MI_ATOMIC -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("operand", "result"), [([1, 2, 3, 4], [5, 6, 7, 8]), ([1] * 4, None)])
def test_an_octword_compares_with_gprs_0_and_1_and_takes_2_and_3(
    bench: CommandBench, operand: list[int], result: list[int] | None
) -> None:
    for n in range(4):
        bench.host.registers |= {GPR0 + 4 * n: operand[n], GPR0 + 16 + 4 * n: 5 + n}
    bench.put(DATA, [1, 2, 3, 4, 9])
    header = 0x2F << 23 | 2 << 19 | 1 << 16 | 0x4E << 8 | 1
    assert bench.run([header, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA, 5) == [*(result or [1, 2, 3, 4]), 9]
    assert [bench.host.registers[GPR0 + 32 + 4 * n] for n in range(4)] == [1, 2, 3, 4]
    assert GPR0 + 48 not in bench.host.registers


def test_a_qword_comes_back_in_one_gpr(bench: CommandBench) -> None:
    bench.put(DATA, [1, 2, 3])
    header = 0x2F << 23 | 1 << 19 | 1 << 16 | 0x25 << 8 | 1
    assert bench.run([header, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA, 3) == [2, 2, 3]
    assert bench.host.registers == {GPR0 + 32: 1, GPR0 + 36: 2}


@pytest.mark.parametrize("length", range(3, 13))
def test_inline_operands_are_eight_dwords(bench: CommandBench, length: int) -> None:
    header = 0x2F << 23 | 1 << 18 | 0x07 << 8 | length - 2
    stop = bench.run([header, DATA, 0, 5, *[0] * 9][:length])
    assert stop is (Stop.RING_EMPTY if length >= 11 else Stop.HUNG)
    assert bench.get(DATA) == [5 if length >= 11 else 0]


@pytest.mark.parametrize("command", [0x2F << 23 | 1 << 18 | 0x05 << 8 | 9, 0x2F << 23 | 0x501])
def test_a_user_batch_has_no_atomic_in_the_ggtt(bench: CommandBench, command: int) -> None:
    dwords = [command | GGTT, DATA, 0, *[0] * 8][: (command & 0xFF) + 2]
    assert bench.batch(dwords) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0]
    assert bench.host.counters.dropped == {"MI_ATOMIC GGTT": 1}


# -- the GGTT ------------------------------------------------------------------------------------


def test_the_last_entries_can_be_updated(bench: CommandBench) -> None:
    entries = [0x1001, 1, 0x2001, 2]
    assert bench.run([0x23 << 23 | 4, 0xFFFF_EFFF, *entries]) is Stop.RING_EMPTY
    assert bench.host.ggtt.entry(0xFFFFE) == 1 << 32 | 0x1001
    assert bench.host.ggtt.entry(0xFFFFF) == 2 << 32 | 0x2001


@pytest.mark.parametrize("user", [False, True])
def test_what_is_read_and_written_by_the_ggtt(user: bool) -> None:
    """A secure batch by the GGTT, a user batch not at all: each command with its bit."""
    commands = {
        "MI_LOAD_REGISTER_MEM": [0x29 << 23 | GGTT | 2, GPR0, DATA, 0],
        "MI_STORE_REGISTER_MEM": [0x24 << 23 | GGTT | 2, GPR0, DATA + 4, 0],
        "MI_STORE_DATA_IMM": [0x20 << 23 | GGTT | 2, DATA + 8, 0, 7],
        "MI_COPY_MEM_MEM": [0x2E << 23 | GGTT | 1 << 21 | 3, DATA + 12, 0, DATA, 0],
        "MI_ATOMIC": [0x2F << 23 | GGTT | 0x05 << 8 | 1, DATA + 16, 0],
        "MI_REPORT_PERF_COUNT": [0x28 << 23 | 2, DATA + 0x40 | 1, 0, 9],
        "MI_SEMAPHORE_WAIT": [0x1C << 23 | GGTT | 4 << 12 | 2, 5, DATA, 0],
        "PIPE_CONTROL": [0x7A00_0004, 1 << 24 | 1 << 14, DATA + 24, 0, 8, 0],
    }
    bench = make_bench()
    bench.host.ggtt.write_entry(8 * (DATA >> 12), (DATA + PAGE | 1).to_bytes(8, "little"))
    bench.put(DATA + PAGE, [5])
    body = [dword for command in commands.values() for dword in command]
    assert bench.batch(body, user=user) is Stop.RING_EMPTY
    assert not any(bench.get(DATA, 64))
    if user:
        assert bench.host.counters.dropped == {f"{name} GGTT": 1 for name in commands}
        assert bench.get(DATA + PAGE, 20) == [5, *[0] * 19]
    else:
        assert bench.get(DATA + PAGE, 18) == [5, 5, 7, 5, 1, 0, 8, *[0] * 9, 9, 0x8765_4321]
        assert bench.host.counters.dropped == {}


# -- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "taken"), [(0, 0), (1, 1), (2, 0), (ONES, 1)])
def test_bit_0_of_the_result_opens_a_predicated_batch(
    bench: CommandBench, gate: int, taken: int
) -> None:
    bench.host.registers[0x241C] = gate
    bench.put(USER_BATCH, [0x02 << 23, 0x0A << 23])
    assert bench.run([USER_BATCH_START | 1 << 15, USER_BATCH, 0, 0]) is Stop.RING_EMPTY
    assert bench.host.interrupts == [0] * taken
    assert not bench.context.batch.active


@pytest.mark.parametrize("user", [False, True])
def test_a_batch_of_a_batch_stands_where_it_was_told(user: bool) -> None:
    """A secure one starts either kind, of either level; what goes on behind it is its own."""
    for second in (0, GGTT):
        bench = make_bench()
        secure, other = 0x30000, USER_BATCH + 0x2000
        bench.put(other, [0x3F << 23])
        start = 0x31 << 23 | second | user << 8 | 1
        bench.put(secure, [start, other | 3, 0xABCD_0000])
        assert bench.run([0x31 << 23 | 1, secure, 0, 0]) is Stop.HUNG
        level = bench.context.second if second else bench.context.batch
        assert (level.address, level.ppgtt, level.active) == (other, user, True)
        if second:
            first = bench.context.batch
            assert (first.address, first.ppgtt, first.active) == (secure + 12, False, True)
        else:
            assert not bench.context.second.active
        assert bench.context.ring.head == 12
        assert bench.host.hangs[0].address == other


@pytest.mark.parametrize(("back", "spins"), [(0, True), (4, True), (-4, False)])
def test_a_jump_to_itself_or_before_is_one_back(
    bench: CommandBench, back: int, spins: bool
) -> None:
    """Only such a jump may be a loop; what goes forward arrives."""
    at = USER_BATCH + 8
    target = at - back if back >= 0 else at + 16
    bench.put(USER_BATCH, [0, 0, USER_BATCH_START, target, 0])
    bench.put(at + 16, [0x0A << 23])
    stop = bench.run([USER_BATCH_START, USER_BATCH, 0, 0])
    assert stop is (Stop.QUANTUM if spins else Stop.RING_EMPTY)
    assert bench.context.spinning is spins


@pytest.mark.parametrize("level", [0, 1])
def test_an_end_of_a_batch_ends_its_level(bench: CommandBench, level: int) -> None:
    second = USER_BATCH + 0x4000
    bench.put(second, [0x0A << 23])
    call = [USER_BATCH_START | GGTT, second, 0] if level else [0, 0, 0]
    bench.put(USER_BATCH, [*call, 0x3F << 23])
    assert bench.run([USER_BATCH_START, USER_BATCH, 0, 0]) is Stop.HUNG
    assert bench.host.hangs[0].address == USER_BATCH + 12
    assert bench.context.batch.active
    assert not bench.context.second.active


def test_a_masked_end_looks_at_the_value_behind_the_mask(bench: CommandBench) -> None:
    """Dword 0 is the mask, dword 1 the value; without the bit dword 0 is the value."""
    for masked, expected in ((1 << 19, [0]), (0, [])):
        bench = make_bench()
        bench.put(DATA, [0xF0, 0x35])
        end = [0x36 << 23 | 1 << 21 | masked | 4 << 12 | 2, 0x30, DATA, 0]
        assert bench.batch([*end, 0x02 << 23]) is Stop.RING_EMPTY
        assert bench.host.interrupts == expected
        assert bench.context.ring.start == RING
