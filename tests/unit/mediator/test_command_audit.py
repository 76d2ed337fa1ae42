"""What the audit accepts, changes and refuses, command by command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.errors import Reason
from mediator.gen9.engines import EngineClass
from mediator.workload.view import RegisterUse
from tests.unit.mediator.audit_bench import (
    END,
    FIRST,
    FOREIGN,
    PASS,
    REFUSED,
    SCRATCH,
    STATUS_PAGE,
    VALUE,
    VIRTUAL,
    FakeView,
    audit,
    refused,
)

GLOBAL = 1 << 22
STORE_DATA, QWORD = 0x20 << 23 | 2, 1 << 21
LOAD_IMMEDIATE = 0x22 << 23
STORE_REGISTER = 0x24 << 23 | 2
LOAD_REGISTER = 0x29 << 23 | 2
MOVE_REGISTER = 0x2A << 23 | 1
SEMAPHORE = 0x1C << 23 | 2
ATOMIC = 0x2F << 23 | 1
COPY = 0x2E << 23 | 3
REPORT = 0x28 << 23 | 2
CLFLUSH = 0x27 << 23 | 3
FLUSH_DW = 0x26 << 23 | 2
PIPE_CONTROL = 0x7A00_0004
STORE_INDEX = 0x21 << 23 | 1
UPDATE_GTT = 0x23 << 23

Make = Callable[[int], list[int]]

ADDRESSES: list[tuple[str, Make, int, int]] = [
    # name, command at an address, bytes, alignment
    ("store", lambda a: [STORE_DATA | GLOBAL, a, 0, 1], 4, 4),
    ("store qword", lambda a: [STORE_DATA + 1 | GLOBAL | QWORD, a, 0, 1, 2], 8, 4),
    ("store many", lambda a: [STORE_DATA + 5 | GLOBAL | QWORD, a, 0, *range(6)], 24, 4),
    ("store register", lambda a: [STORE_REGISTER | GLOBAL, PASS, a, 0], 4, 4),
    ("load register", lambda a: [LOAD_REGISTER | GLOBAL, PASS, a, 0], 4, 4),
    ("semaphore", lambda a: [SEMAPHORE | GLOBAL | 1 << 15, 0, a, 0], 4, 4),
    ("semaphore signal mode", lambda a: [SEMAPHORE | GLOBAL, 0, a, 0], 4, 4),
    ("atomic", lambda a: [ATOMIC | GLOBAL | 5 << 8, a, 0], 4, 4),
    ("atomic qword", lambda a: [ATOMIC | GLOBAL | 1 << 19 | 5 << 8, a, 0], 8, 8),
    ("atomic octword", lambda a: [ATOMIC | GLOBAL | 2 << 19 | 14 << 8, a, 0], 16, 16),
    ("copy to", lambda a: [COPY | QWORD, a, 0, FOREIGN, 0], 4, 4),
    ("copy from", lambda a: [COPY | GLOBAL, FOREIGN, 0, a, 0], 4, 4),
    ("report", lambda a: [REPORT, a | 1, 0, 7], 256, 64),
    ("clflush", lambda a: [CLFLUSH | GLOBAL, a, 0, 0, 0], 4096, 4096),
    ("flush", lambda a: [FLUSH_DW | 1 << 14, a | 4, 0, 1], 8, 8),
    ("flush qword", lambda a: [FLUSH_DW + 1 | 1 << 14, a | 4, 0, 1, 2], 8, 8),
    ("flush time", lambda a: [FLUSH_DW | 3 << 14, a | 4, 0, 0], 8, 8),
    ("pipe", lambda a: [PIPE_CONTROL, 1 << 24 | 1 << 14, a, 0, 1, 2], 8, 8),
    ("pipe depth", lambda a: [PIPE_CONTROL, 1 << 24 | 2 << 14, a, 0, 0, 0], 8, 8),
    ("pipe time", lambda a: [PIPE_CONTROL, 1 << 24 | 3 << 14, a, 0, 0, 0], 8, 8),
]


@pytest.mark.parametrize(("make", "size", "align"), [row[1:] for row in ADDRESSES])
class TestAddresses:
    """``make`` gives a command with an address that reaches ``size`` bytes, ``align``ed."""

    def test_own_memory_up_to_its_last_byte(self, make: Make, size: int, align: int) -> None:
        for address in (FIRST, SCRATCH, (END - size) & -align):
            command = make(address)
            assert audit(command).dwords == command

    def test_foreign_memory(self, make: Make, size: int, align: int) -> None:
        for address in (0, FIRST - align, END, FOREIGN, 0x8000_0000, 0xFFFF_FFFF & -align):
            assert refused(make(address)) is Reason.ADDRESS

    def test_across_the_end(self, make: Make, size: int, align: int) -> None:
        if size > align:
            assert refused(make((END - size + align) & -align)) is Reason.ADDRESS

    def test_bits_above_the_address_space_do_not_count_and_are_cleared(
        self, make: Make, size: int, align: int
    ) -> None:
        command = make(SCRATCH)
        places = [i for i in range(len(command) - 1) if command[i] & ~0xFFF == SCRATCH]
        high = [*command]
        high[places[0] + 1] = 0xABCD
        assert audit(high).dwords == command
        foreign = make(FIRST - 0x1000)
        foreign[places[0] + 1] = 1
        assert refused(foreign) is Reason.ADDRESS


@pytest.mark.parametrize(
    "command",
    [
        [STORE_DATA, FOREIGN, 0, 1],
        [STORE_REGISTER, PASS, FOREIGN, 0x1234],
        [LOAD_REGISTER, PASS, FOREIGN, 0],
        [SEMAPHORE, 0, FOREIGN, 0],
        [ATOMIC | 5 << 8, FOREIGN, 0],
        [COPY, FOREIGN, 0, FOREIGN, 0],
        [REPORT, FOREIGN, 0, 7],
        [CLFLUSH, FOREIGN, 0, 0, 0],
        [FLUSH_DW | 1 << 14, FOREIGN, 0, 1],
        [PIPE_CONTROL, 1 << 14, FOREIGN, 0, 1, 2],
        [PIPE_CONTROL, 1 << 24 | 1 << 20, FOREIGN, 0, 1, 2],  # no write
        [FLUSH_DW, FOREIGN | 4, 0, 1],
    ],
)
def test_the_contexts_own_space_is_its_page_tables_affair(command: list[int]) -> None:
    assert audit(command).dwords == command


# -- registers --------------------------------------------------------------------------------


def test_load_immediate_keeps_what_passes() -> None:
    command = [LOAD_IMMEDIATE | 1 << 12 | 3, PASS, 1, PASS + 4, 2]
    assert audit(command).dwords == command


def test_load_immediate_leaves_out_what_does_not_pass() -> None:
    pairs = [PASS, 1, REFUSED, 2, PASS + 4, 3, VIRTUAL, 4, PASS + 8, 5]
    found = audit([LOAD_IMMEDIATE | 9, *pairs])
    assert found.dwords == [LOAD_IMMEDIATE | 5, PASS, 1, PASS + 4, 3, PASS + 8, 5, 0, 0, 0, 0]
    assert found.view.values[VIRTUAL] == 4
    assert found.reasons == [Reason.REGISTER]
    assert found.counts.dropped == 1


@pytest.mark.parametrize("offset", [REFUSED, 0x20_0000, 0x7F_FFFC])
def test_load_immediate_of_nothing_else(offset: int) -> None:
    found = audit([LOAD_IMMEDIATE | 1, offset, 2])
    assert found.dwords == [0, 0, 0]
    assert found.reasons == [Reason.REGISTER]


@pytest.mark.parametrize("disables", range(16))
def test_load_immediate_of_some_bytes(disables: int) -> None:
    """Of a virtual register the others stay; of the hardware's it does that itself."""
    header = LOAD_IMMEDIATE | 1 << 12 | disables << 8
    found = audit([header | 3, VIRTUAL, 0xAABB_CCDD, PASS, 0x5566_7788])
    old, new = VALUE.to_bytes(4, "little"), 0xAABB_CCDD.to_bytes(4, "little")
    merged = bytes(old[n] if disables >> n & 1 else new[n] for n in range(4))
    assert found.view.values[VIRTUAL] == int.from_bytes(merged, "little")
    assert found.dwords == [header | 1, PASS, 0x5566_7788, 0, 0]


_JUNK = 0xFF80_0003
"""Bits of a register operand that do not count."""
OPERANDS: list[tuple[list[int], int]] = [
    # a command, dword of the register
    ([LOAD_IMMEDIATE | 1, PASS, 2], 1),
    ([LOAD_IMMEDIATE | 3, PASS, 2, PASS + 4, 3], 3),
    ([STORE_REGISTER, PASS, SCRATCH, 0], 1),
    ([LOAD_REGISTER, PASS, SCRATCH, 0], 1),
    ([MOVE_REGISTER, PASS, PASS + 4], 1),
    ([MOVE_REGISTER, PASS + 4, PASS], 2),
    ([SEMAPHORE | 1 << 16 | 1 << 15, 0, PASS, 0], 2),
    ([PIPE_CONTROL, 1 << 23, PASS, 0, 5, 0], 2),
]


@pytest.mark.parametrize(("command", "at"), OPERANDS)
def test_register_operands_are_made_what_the_hardware_takes_them_for(
    command: list[int], at: int
) -> None:
    """Whatever stands in the bits that do not count: what is judged is what is run."""
    assert audit(command).dwords == command
    for bits in (1, 2, 1 << 23, 1 << 31, _JUNK):
        junk = [*command]
        junk[at] |= bits
        assert audit(junk).dwords == command
        junk[at] = REFUSED | bits
        found = audit(junk)
        assert REFUSED not in {dword & ~_JUNK for dword in found.dwords}
        assert found.counts.dropped == 1


def test_load_immediate_of_an_even_number_of_dwords() -> None:
    assert refused([LOAD_IMMEDIATE | 2, PASS, 1, PASS]) is Reason.BAD_COMMAND


@pytest.mark.parametrize("space", [0, GLOBAL])
def test_store_of_a_virtual_register(space: int) -> None:
    found = audit([STORE_REGISTER | space, VIRTUAL, SCRATCH, 0])
    assert found.dwords == [STORE_DATA | space, SCRATCH, 0, VALUE]
    assert not found.counts.dropped


def test_store_of_a_refused_register_gives_zero() -> None:
    found = audit([STORE_REGISTER, REFUSED, SCRATCH, 0x12])
    assert found.dwords == [STORE_DATA, SCRATCH, 0x12, 0]
    assert found.counts.dropped == 1


@pytest.mark.parametrize(
    ("engine", "register", "after", "dropped"),
    [
        ("RCS", PASS, [STORE_REGISTER | 1 << 21, PASS, SCRATCH, 0], 0),
        ("RCS", VIRTUAL, [0, 0, 0, 0], 1),
        ("RCS", REFUSED, [0, 0, 0, 0], 1),
        ("BCS", PASS, [STORE_REGISTER | 1 << 21, PASS, SCRATCH, 0], 0),
        ("BCS", VIRTUAL, [STORE_DATA, SCRATCH, 0, VALUE], 0),
        ("BCS", REFUSED, [STORE_DATA, SCRATCH, 0, 0], 1),
    ],
)
def test_predicated_store(
    engine: EngineClass, register: int, after: list[int], dropped: int
) -> None:
    """Only the render engine has predicates."""
    found = audit([STORE_REGISTER | 1 << 21, register, SCRATCH, 0], FakeView(engine))
    assert found.dwords == after
    assert found.counts.dropped == dropped


def test_store_of_a_virtual_register_to_foreign_memory() -> None:
    assert refused([STORE_REGISTER | GLOBAL, VIRTUAL, FOREIGN, 0]) is Reason.ADDRESS


@pytest.mark.parametrize("register", [VIRTUAL, REFUSED, 0x40_0000])
def test_load_from_memory_needs_a_register_that_takes_any_value(register: int) -> None:
    found = audit([LOAD_REGISTER, register, SCRATCH, 0])
    assert found.dwords == [0] * 4
    assert found.counts.dropped == 1
    assert found.view.values[VIRTUAL] == VALUE


@pytest.mark.parametrize(
    ("source", "target", "after", "dropped"),
    [
        (PASS, PASS + 4, [MOVE_REGISTER, PASS, PASS + 4], 0),
        (VIRTUAL, PASS, [LOAD_IMMEDIATE | 1, PASS, VALUE], 0),
        (VIRTUAL, PASS | _JUNK, [LOAD_IMMEDIATE | 1, PASS, VALUE], 0),
        (VIRTUAL, VIRTUAL, [0, 0, 0], 0),
        (REFUSED, PASS, [LOAD_IMMEDIATE | 1, PASS, 0], 1),
        (PASS, VIRTUAL, [0, 0, 0], 1),
        (PASS, REFUSED, [0, 0, 0], 1),
        (VIRTUAL, REFUSED, [0, 0, 0], 1),
        (REFUSED, VIRTUAL, [0, 0, 0], 1),
        (REFUSED, REFUSED, [0, 0, 0], 2),
    ],
)
def test_move(source: int, target: int, after: list[int], dropped: int) -> None:
    found = audit([MOVE_REGISTER, source, target])
    assert found.dwords == after
    assert found.counts.dropped == dropped
    assert found.view.values[VIRTUAL] == (0 if source == REFUSED and target == VIRTUAL else VALUE)


def test_move_between_virtual_registers() -> None:
    other = 0x20D8
    view = FakeView(policy={other: RegisterUse.VIRTUAL})
    assert audit([MOVE_REGISTER, VIRTUAL, other], view).dwords == [0, 0, 0]
    assert view.values[other] == VALUE


@pytest.mark.parametrize("register", [VIRTUAL, REFUSED])
def test_wait_for_a_register(register: int) -> None:
    wait = SEMAPHORE | 1 << 16 | 1 << 15
    assert audit([wait, 0, PASS, 0]).dwords == [wait, 0, PASS, 0]
    found = audit([wait, 0, register, 0])
    assert found.dwords == [0] * 4
    assert found.counts.dropped == 1


def test_commands_that_reach_only_the_contexts_own_registers() -> None:
    stream = [
        0x1A << 23,
        0,
        0x0C << 23 | 2 << 6,
        1 << 22 | 5,
        ATOMIC | 1 << 16 | 5 << 8,
        FOREIGN,
        0,
    ]
    assert audit(stream).dwords == stream


# -- post-sync writes -------------------------------------------------------------------------


def test_pipe_control_register_write() -> None:
    def pipe(flags: int, register: int) -> list[int]:
        return [PIPE_CONTROL, 1 << 20 | flags, register, 0, 5, 0]

    assert audit(pipe(1 << 23, PASS)).dwords == pipe(1 << 23, PASS)
    assert audit(pipe(1 << 23 | 1 << 14, PASS)).dwords == pipe(1 << 23, PASS)
    assert audit(pipe(1 << 23, REFUSED)).dwords == pipe(0, 0)
    found = audit(pipe(1 << 23 | 1 << 14, VIRTUAL))
    assert found.dwords == pipe(0, 0)
    assert found.view.values[VIRTUAL] == 5


@pytest.mark.parametrize("flags", [1 << 14, 1 << 24 | 1 << 14, 1 << 23])
@pytest.mark.parametrize("length", range(2, 7))
def test_a_write_of_pipe_control_has_its_operands(length: int, flags: int) -> None:
    register = flags == 1 << 23
    command = [PIPE_CONTROL, flags, PASS if register else SCRATCH, 0, 5, 0][:length]
    command[0] -= 6 - length
    if length < 5:
        assert refused(command) is Reason.BAD_COMMAND
    else:
        assert audit(command).dwords == command
    command[1] = 0
    assert audit(command).dwords == command


def test_index_into_the_contexts_status_page() -> None:
    for command in (
        [PIPE_CONTROL, 1 << 21 | 1 << 14, 0xFF8, 0, 1, 2],
        [FLUSH_DW | 1 << 21 | 1 << 14, 0xFF8, 0, 1],
        [STORE_INDEX | 1 << 21, 0xFFC, 1],
        [STORE_INDEX + 1 | 1 << 21, 0xFF8, 1, 2],
    ):
        assert audit(command).dwords == command


def test_index_into_the_engines_status_page_goes_to_the_guests() -> None:
    found = audit([PIPE_CONTROL, 1 << 24 | 1 << 21 | 1 << 14, 0x108, 9, 1, 2])
    assert found.dwords == [PIPE_CONTROL, 1 << 24 | 1 << 14, STATUS_PAGE + 0x108, 0, 1, 2]
    found = audit([FLUSH_DW | 1 << 21 | 1 << 14, 0x108 | 4, 9, 1])
    assert found.dwords == [FLUSH_DW | 1 << 14, STATUS_PAGE + 0x108 | 4, 0, 1]


@pytest.mark.parametrize(
    "command",
    [
        [PIPE_CONTROL, 1 << 24 | 1 << 21 | 1 << 14, 0, 0, 1, 2],
        [FLUSH_DW | 1 << 21 | 1 << 14, 4, 0, 1],
    ],
)
def test_no_status_page_of_its_own(command: list[int]) -> None:
    view = FakeView()
    view.values[0x2080] = FOREIGN
    assert refused(command, view) is Reason.ADDRESS
    view.policy[0x2080] = RegisterUse.PASS
    view.values[0x2080] = STATUS_PAGE
    assert refused(command, view) is Reason.ADDRESS


@pytest.mark.parametrize("page", [FIRST, END - 0x1000])
@pytest.mark.parametrize("low", [0, 0xFFF])
def test_the_engines_status_page_is_the_guests_up_to_its_last_byte(page: int, low: int) -> None:
    view = FakeView()
    view.values[0x2080] = page | low
    pipe = [PIPE_CONTROL, 1 << 24 | 1 << 21 | 1 << 14, 0xFF8, 0, 1, 2]
    assert audit(pipe, view).dwords == [PIPE_CONTROL, 1 << 24 | 1 << 14, page + 0xFF8, 0, 1, 2]
    flush = [FLUSH_DW | 1 << 21 | 1 << 14, 0xFF8 | 4, 0, 1]
    assert audit(flush, view).dwords == [FLUSH_DW | 1 << 14, page + 0xFF8 | 4, 0, 1]
    place = audit([STORE_INDEX, 0xFFC, 7], view).dwords[1]
    assert view.placed(place, 4) == [STORE_DATA | GLOBAL, page + 0xFFC, 0, 7]
    place = audit([STORE_INDEX + 1, 0xFF8, 7, 8], view).dwords[1]
    assert view.placed(place, 5) == [STORE_DATA + 1 | GLOBAL | QWORD, page + 0xFF8, 0, 7, 8]


@pytest.mark.parametrize("page", [FIRST - 0x1000, END])
def test_a_status_page_beside_the_guests_memory_is_refused(page: int) -> None:
    for command in (
        [PIPE_CONTROL, 1 << 24 | 1 << 21 | 1 << 14, 0xFF8, 0, 1, 2],
        [FLUSH_DW | 1 << 21 | 1 << 14, 0xFF8 | 4, 0, 1],
        [STORE_INDEX, 0xFFC, 7],
    ):
        view = FakeView()
        view.values[0x2080] = page
        assert refused(command, view) is Reason.ADDRESS


def test_store_index_stays_in_the_contexts_status_page() -> None:
    assert refused([STORE_INDEX + 1 | 1 << 21, 0xFFC, 1, 2]) is Reason.ADDRESS


@pytest.mark.parametrize(("extra", "header"), [(0, 0x20 << 23 | 2), (1, 0x20 << 23 | 1 << 21 | 3)])
def test_store_index_into_the_engines_status_page_calls_a_store(extra: int, header: int) -> None:
    values = [7, 8][: 1 + extra]
    found = audit([STORE_INDEX + extra, 0x40, *values])
    start, place, upper, *rest = found.dwords
    assert (start, upper, rest) == (0x31 << 23 | 1, 0, [0] * extra)
    page = found.view.values.get(0x2080, STATUS_PAGE)
    expected = [header | 1 << 22, page + 0x40, 0, *values, 0x0A << 23]
    assert found.view.rooms[place][: len(expected)].tolist() == expected
    assert found.view.sizes == {place: 4 * len(expected)}


def test_store_index_into_a_status_page_that_is_not_its_own() -> None:
    view = FakeView()
    view.values[0x2080] = FOREIGN
    assert refused([STORE_INDEX, 0x40, 1], view) is Reason.ADDRESS


# -- others -----------------------------------------------------------------------------------


def test_update_gtt_is_done_and_taken_out() -> None:
    found = audit([UPDATE_GTT | 4, SCRATCH | 0x123, 0x5003, 1, 0x6003, 0])
    assert found.dwords == [0] * 6
    assert found.view.updates == [(SCRATCH, [1 << 32 | 0x5003, 0x6003])]


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("over", [0, 1])
def test_update_gtt_ends_with_the_ggtt(count: int, over: int) -> None:
    command = [UPDATE_GTT | 2 * count, (1 << 20) - count + over << 12, *[1, 0] * count]
    if over:
        assert refused(command) is Reason.BAD_COMMAND
    else:
        assert audit(command).view.updates == [(command[1], [1] * count)]


@pytest.mark.parametrize(
    "command",
    [
        [UPDATE_GTT | 3, SCRATCH, 1, 0, 1],
        [UPDATE_GTT | 4, 0xFFFF_F000, 1, 0, 1, 0],
        [STORE_DATA | QWORD, SCRATCH, 0, 1],
        [STORE_DATA - 1, SCRATCH, 0],
        [ATOMIC | GLOBAL | 3 << 19, SCRATCH, 0],
        [ATOMIC | GLOBAL | 1 << 18, SCRATCH, 0],
        [SEMAPHORE | 6 << 12, 0, SCRATCH, 0],
        [SEMAPHORE + 1, 0, SCRATCH, 0, 0],
        [STORE_REGISTER + 1, PASS, SCRATCH, 0, 0],
        [FLUSH_DW | 2 << 14, 0, 0, 0],
        [FLUSH_DW - 1 | 1 << 14, 0, 0],
        [PIPE_CONTROL - 2, 1 << 14, SCRATCH, 0],
        [PIPE_CONTROL + 1, 0, 0, 0, 0, 0, 0],
        [0x0A << 23],
        [0x36 << 23 | 2, 0, 0, 0],
        [0x31 << 23 | 1 << 22 | 1 << 8 | 1, 0, 0],
        [0x31 << 23 | 1 << 16 | 1, SCRATCH, 0],
        [0x31 << 23, SCRATCH],
    ],
)
def test_commands_that_make_no_sense(command: list[int]) -> None:
    assert refused(command) is Reason.BAD_COMMAND


@pytest.mark.parametrize(
    "header",
    [0x16 << 23, 0x18 << 23, 0x3F << 23, 0x2C << 23 | 2, 0x7FFF_0000, 0x9000_0000, 1 << 29],
)
def test_unknown_commands(header: int) -> None:
    assert refused([header, 0, 0, 0]) is Reason.UNKNOWN_COMMAND


def test_commands_of_other_engines() -> None:
    assert refused([0x7A00_0000, 0], FakeView("BCS")) is Reason.UNKNOWN_COMMAND
    assert refused([0x5080_0008, *[0] * 9], FakeView("RCS")) is Reason.UNKNOWN_COMMAND


@pytest.mark.parametrize(
    "command",
    [
        [0x14 << 23 | 1, 0, FOREIGN],
        [0x12 << 23, 5],
        [0x13 << 23, 5],
        [0x03 << 23 | 4],
        [0x0B << 23 | 1],
        [0x1D << 23, 1],
    ],
)
def test_what_is_shared_is_taken_out(command: list[int]) -> None:
    found = audit(command)
    assert found.dwords == [0] * len(command)
    assert found.counts.dropped == 1
    assert found.reasons == [Reason.UNKNOWN_COMMAND]
