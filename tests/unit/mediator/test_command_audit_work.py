"""Lengths and sizes of atomics, and what the audit of each kind of command costs."""

from __future__ import annotations

import pytest

from mediator.errors import Reason
from tests.unit.mediator.audit_bench import (
    FIRST,
    PASS,
    REFUSED,
    SCRATCH,
    VIRTUAL,
    FakeView,
    audit,
    refused,
)

GLOBAL = 1 << 22
ATOMIC = 0x2F << 23 | 1
LOAD_IMMEDIATE = 0x22 << 23
UPDATE_GTT = 0x23 << 23
STORE_REGISTER = 0x24 << 23 | 2 | GLOBAL
MOVE = 0x2A << 23 | 1


@pytest.mark.parametrize("length", range(3, 14))
@pytest.mark.parametrize("inline", [False, True])
def test_inline_data_of_an_atomic_takes_eleven_dwords(length: int, inline: bool) -> None:
    header = 0x2F << 23 | length - 2 | GLOBAL | 5 << 8 | (1 << 18 if inline else 0)
    command = [header, SCRATCH, *[0] * (length - 2)]
    if length > 11 or (inline and length < 11):
        assert refused(command) is Reason.BAD_COMMAND
    else:
        assert audit(command).dwords == command


@pytest.mark.parametrize("size", range(4))
def test_an_atomic_has_one_of_three_sizes(size: int) -> None:
    command = [ATOMIC | GLOBAL | size << 19, SCRATCH, 0]
    if size == 3:
        assert refused(command) is Reason.BAD_COMMAND
    else:
        assert audit(command).dwords == command


@pytest.mark.parametrize("plain", [0, 1, 5, 15, 16, 17, 33, 400])
@pytest.mark.parametrize("pairs", [1, 3])
def test_work_is_counted_by_what_was_looked_at(plain: int, pairs: int) -> None:
    """One unit for each command without a check before one that has it, three of it and a pair.

    Sixteen are enough for C, which passes over those that follow for nothing.
    """
    seen = plain if plain < 16 else 0
    load = [LOAD_IMMEDIATE | 2 * pairs - 1, *[PASS, 1] * pairs]
    noops = audit([*[0] * plain, *load]).counts
    others = audit([*[0x05 << 23] * plain, *load]).counts
    assert (noops.work, noops.commands) == (seen + 3 + 3 * pairs, 1)
    assert (others.work, others.commands) == (seen + 3 + 3 * pairs, plain + 1)
    twice = audit([*[0] * plain, *load, *[0] * plain, *load]).counts
    assert twice.work == 2 * noops.work


def test_work_of_what_is_left_out_and_of_entries() -> None:
    drop = audit([LOAD_IMMEDIATE | 1, REFUSED, 1]).counts
    assert (drop.work, drop.dropped, drop.commands) == (3 + 3 + 16, 1, 1)
    update = audit([UPDATE_GTT | 6, FIRST, 1, 0, 2, 0, 3, 0]).counts
    assert (update.work, update.commands) == (3 + 64 + 3, 1)


def test_registers_of_the_control_block_cost_more() -> None:
    """Some are asked of the hardware, while others wait for the guest's lock."""
    view = FakeView()
    store = audit([STORE_REGISTER, VIRTUAL, SCRATCH, 0], view).counts
    assert store.work == 3 + 32
    assert audit([STORE_REGISTER, PASS, SCRATCH, 0], view).counts.work == 3
    assert audit([LOAD_IMMEDIATE | 1, VIRTUAL, 1], view).counts.work == 3 + 3 + 32
    assert audit([MOVE, VIRTUAL, VIRTUAL, 0], view).counts.work == 3 + 32 + 32
