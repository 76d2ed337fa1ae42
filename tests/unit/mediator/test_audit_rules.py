"""The audit's table covers the command table, no more and no less."""

from __future__ import annotations

import re

from mediator.gen9.commands import decode
from mediator.workload.audit_rules import RULES, Kind
from mediator.workload.command_audit import check_for
from tests.unit.mediator.audit_bench import BASES

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


def test_what_is_shared_is_taken_out() -> None:
    taken_out = {name for name, rule in RULES.items() if rule.kind is Kind.NO_OPERATION}
    assert {"MI_DISPLAY_FLIP", "MI_LOAD_SCAN_LINES_INCL", "MI_SUSPEND_FLUSH"} <= taken_out
