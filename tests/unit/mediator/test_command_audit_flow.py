"""What the audit does where a batch begins or is left: arbitration, and ends on a condition."""

from __future__ import annotations

import pytest

from mediator.errors import GuestError, Reason
from tests.unit.mediator.audit_bench import (
    BATCH,
    BATCH_END,
    END,
    FIRST,
    FOREIGN,
    SCRATCH,
    START,
    FakeView,
    audit,
    refused,
)

GLOBAL = 1 << 22

# -- arbitration ------------------------------------------------------------------------------

_OFF, _ON = 0x08 << 23, 0x08 << 23 | 1
_USER_BATCH = [0x31 << 23 | 1 << 8 | 1, 0x10_0000, 0]


_GGTT_BATCH = [0x31 << 23 | 1, BATCH, 0]
_BREADCRUMB = [0x26 << 23 | 2, 0x10_0000, 0, 1, 2 << 23]


@pytest.mark.parametrize("between", [[], [0], [0] * 8, [_OFF], [_OFF, 0, *_BREADCRUMB, _OFF]])
@pytest.mark.parametrize("start", [_USER_BATCH, _GGTT_BATCH], ids=["user", "ggtt"])
@pytest.mark.parametrize("after", [[0], [_ON, 0]], ids=["off", "on again behind it"])
def test_arbitration_is_on_where_a_batch_begins(
    start: list[int], between: list[int], after: list[int]
) -> None:
    """Whatever stands between it and the command that turned it off, or comes later."""
    view = FakeView()
    view.put(BATCH, [BATCH_END])
    found = audit([_OFF, *between, *start, *after], view)
    on = [_ON if dword == _OFF else dword for dword in [_OFF, *between]]
    assert found.dwords[: len(on)] == on


@pytest.mark.parametrize("rest", [[], [0], _BREADCRUMB])
def test_arbitration_is_on_at_the_tail(rest: list[int]) -> None:
    """So what is submitted later need not know."""
    assert audit([_OFF, *rest, 0]).dwords == [_ON, *rest, 0]


def test_a_few_commands_stay_protected() -> None:
    """As i915 protects what follows a user batch, and Gen9's workaround batch."""
    commands = [_ON, *_USER_BATCH, _OFF, 0, *_BREADCRUMB, _ON, 0, _OFF, *_BREADCRUMB, _ON]
    assert audit(commands).dwords == commands


@pytest.mark.parametrize(("noops", "kept"), [(255, True), (256, False)])
def test_many_commands_do_not(noops: int, kept: bool) -> None:
    commands = [_OFF, *[0] * noops, _ON, 0]
    assert audit(commands).dwords[0] == (_OFF if kept else _ON)


@pytest.mark.parametrize(
    "end",
    [
        [BATCH_END],
        [0x31 << 23 | 1 << 8 | 1, 0x10_0000, 0],
        [0x31 << 23 | 1 << 22 | 1 << 8 | 1, 0x10_0000, 0, _ON, BATCH_END],
        [0x36 << 23 | 2, 1, 0x10_0000, 0, BATCH_END],
        [0x36 << 23 | 2, 1, 0x10_0000, 0, _ON, BATCH_END],
    ],
    ids=["end", "chain", "call, and on behind it", "conditional end", "the same, on behind it"],
)
def test_arbitration_is_on_where_a_batch_is_left(end: list[int]) -> None:
    view = FakeView()
    view.put(BATCH, [_OFF, 0, *end])
    audit([*_GGTT_BATCH, 0], view)
    (room,) = view.rooms.values()
    assert room[0] == _ON


def test_an_operand_that_looks_like_it_is_left_alone() -> None:
    commands = [0x20 << 23 | 2, 0x1000, 0, _OFF, *_USER_BATCH, 0]
    assert audit(commands).dwords == commands


# -- the end of a batch, if ------------------------------------------------------------------------

CONDITIONAL_END = 0x36 << 23 | 2


def in_batch(command: list[int]) -> list[int]:
    """What becomes of ``command`` in a privileged batch that a ring calls."""
    view = FakeView()
    view.put(BATCH, [*command, BATCH_END])
    called = audit([START, BATCH, 0, 0], view).dwords[1]
    return view.placed(called, len(command))


@pytest.mark.parametrize(("flags", "size"), [(0, 4), (1 << 19, 8)])
def test_conditional_end_reads_own_memory_up_to_its_last_byte(flags: int, size: int) -> None:
    header = CONDITIONAL_END | GLOBAL | flags
    for address in (FIRST, SCRATCH, END - size):
        command = [header, 1, address, 0]
        assert in_batch(command) == command
    for address in (FIRST - 4, END - size + 4, END, FOREIGN):
        with pytest.raises(GuestError) as caught:
            in_batch([header, 1, address, 0])
        assert caught.value.reason is Reason.ADDRESS


def test_conditional_end_in_the_contexts_own_space_is_its_page_tables_affair() -> None:
    command = [CONDITIONAL_END, 1, FOREIGN, 0x1234]
    assert in_batch(command) == command


@pytest.mark.parametrize("operation", range(8))
def test_conditional_end_compares_in_six_ways(operation: int) -> None:
    command = [CONDITIONAL_END | operation << 12, 1, SCRATCH, 0]
    if operation < 6:
        assert in_batch(command) == command
        return
    with pytest.raises(GuestError) as caught:
        in_batch(command)
    assert caught.value.reason is Reason.BAD_COMMAND


def test_conditional_end_has_no_place_in_a_ring() -> None:
    assert refused([CONDITIONAL_END, 1, SCRATCH, 0]) is Reason.BAD_COMMAND
