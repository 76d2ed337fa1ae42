"""The audit's table covers the command table, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from mediator.errors import Reason
from mediator.gen9.commands import decode
from mediator.workload.audit_rules import RULES, Kind
from mediator.workload.command_audit import check_for
from tests.unit.mediator.audit_bench import BASES, END, FOREIGN, PAGE, SCRATCH, audit, refused

_UNNAMED = re.compile(r"(RENDER|VCS|VECS)_[0-9A-F]{4}")
"""Rows made up for headers that the command table has no name for."""


def known() -> dict[str, int]:
    """Name of every command that some engine has, and its header's upper half."""
    rows = (decode(key << 16, engine) for engine in BASES for key in range(1 << 16))
    return {found[0].name: found[0].header >> 16 for found in rows if found is not None}


def test_every_named_command_has_a_rule_and_every_rule_a_command() -> None:
    assert {name for name in known() if not _UNNAMED.fullmatch(name)} == set(RULES)


def test_every_rule_but_pass_has_a_check() -> None:
    keys = known()
    unchecked = {
        name
        for name, rule in RULES.items()
        if check_for(rule, keys[name] | 0x7F) is None and rule.kind is not Kind.PASS
    }
    assert unchecked == set()


def test_own_address_space_needs_no_check() -> None:
    keys = known()
    free = {name for name, rule in RULES.items() if check_for(rule, keys[name]) is None}
    assert {"MI_STORE_DATA_IMM", "MI_COPY_MEM_MEM", "MI_ATOMIC", "MI_CLFLUSH"} < free


LENGTHS = {
    "MI_ATOMIC": (3, 11),
    "MI_BATCH_BUFFER_START": (3, 3),
    "MI_CLFLUSH": (3, 5),
    "MI_CONDITIONAL_BATCH_BUFFER_END": (4, 4),
    "MI_COPY_MEM_MEM": (5, 5),
    "MI_FLUSH_DW": (2, 5),
    "MI_LOAD_REGISTER_MEM": (4, 4),
    "MI_LOAD_REGISTER_REG": (3, 3),
    "MI_REPORT_PERF_COUNT": (4, 4),
    "MI_RS_STORE_DATA_IMM": (4, 4),
    "MI_SEMAPHORE_WAIT": (4, 4),
    "MI_STORE_DATA_INDEX": (3, 4),
    "MI_STORE_REGISTER_MEM": (4, 4),
    "PIPE_CONTROL": (2, 6),
}
"""Dwords of commands whose operands are looked at, fewest and most; the PRM's, told once more."""
OPERANDS = {
    "MI_ATOMIC": {1},
    "MI_CLFLUSH": {1},
    "MI_CONDITIONAL_BATCH_BUFFER_END": {2},
    "MI_COPY_MEM_MEM": {1, 3},
    "MI_LOAD_REGISTER_MEM": {2},
    "MI_REPORT_PERF_COUNT": {1},
    "MI_SEMAPHORE_WAIT": {2},
    "MI_STORE_DATA_IMM": {1},
    "MI_STORE_REGISTER_MEM": {2},
}
"""Dwords at which their addresses begin."""


def test_lengths_are_the_manuals() -> None:
    assert {name: rule.dwords for name, rule in RULES.items() if rule.dwords} == LENGTHS


def test_addresses_are_where_the_manual_has_them() -> None:
    found = {name: {a.low for a in rule.addresses} for name, rule in RULES.items()}
    assert {name: lows for name, lows in found.items() if lows} == OPERANDS
    for name, rule in RULES.items():
        for address in rule.addresses:
            if name == "MI_REPORT_PERF_COUNT":
                assert (address.selector, address.bit) == (1, 0)
            else:
                second_of_copy = name == "MI_COPY_MEM_MEM" and address.low == 1
                assert (address.selector, address.bit) == (0, 21 if second_of_copy else 22)


def test_what_is_shared_is_taken_out() -> None:
    taken_out = {name for name, rule in RULES.items() if rule.kind is Kind.NO_OPERATION}
    assert {"MI_DISPLAY_FLIP", "MI_LOAD_SCAN_LINES_INCL", "MI_SUSPEND_FLUSH"} <= taken_out


COPY, CLFLUSH, REPORT = 0x2E << 23 | 3, 0x27 << 23 | 1, 0x28 << 23 | 2


def _addressed(header: int, low: int, bit: int, selector: int, length: int) -> Iterator[list[int]]:
    """The command with a foreign address, asked for and not, and with one of its own."""
    for chosen, address in ((bit, FOREIGN), (None, FOREIGN), (bit, SCRATCH)):
        dwords = [header, *[0] * (length - 1)]
        dwords[low] = address
        if chosen is not None:
            dwords[selector] |= 1 << chosen
        yield dwords


@pytest.mark.parametrize(
    ("header", "low", "bit", "selector", "length"),
    [
        (COPY, 1, 21, 0, 5),
        (COPY, 3, 22, 0, 5),
        (CLFLUSH, 1, 22, 0, 3),
        (REPORT, 1, 0, 1, 4),
    ],
)
def test_an_address_is_looked_at_where_its_own_bit_says_so(
    header: int, low: int, bit: int, selector: int, length: int
) -> None:
    asked, not_asked, own = _addressed(header, low, bit, selector, length)
    assert refused(asked) is Reason.ADDRESS
    assert audit(not_asked).dwords == not_asked
    assert audit(own).dwords == own
    if selector:
        beside = [*not_asked]
        beside[selector] |= 1 << bit + 1
        assert audit(beside).dwords == beside


@pytest.mark.parametrize(
    ("header", "low", "bit", "selector", "length", "size"),
    [
        (COPY, 1, 21, 0, 5, 4),
        (COPY, 3, 22, 0, 5, 4),
        (CLFLUSH, 1, 22, 0, 3, PAGE),
        (REPORT, 1, 0, 1, 4, 256),
    ],
)
def test_all_that_is_reached_must_be_the_vgpus(
    header: int, low: int, bit: int, selector: int, length: int, size: int
) -> None:
    """To its last byte, counted from where the hardware begins."""
    for address, fits in ((END - size, True), (END - size + 4, size > 4), (END, False)):
        dwords = [header, *[0] * (length - 1)]
        dwords[low] = address
        dwords[selector] |= 1 << bit
        if fits:
            assert audit(dwords).dwords == dwords
        else:
            assert refused(dwords) is Reason.ADDRESS
