"""A brief run of the audit's fuzzer, and proof that its judge would see what slipped through."""

from __future__ import annotations

import os
from types import MappingProxyType

import pytest

from mediator.workload import command_scanner
from mediator.workload.audit_rules import RULES, Kind, Rule
from tests.fuzz import audit_oracle
from tests.fuzz.audit_oracle import Escape, fuzz

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
ROUNDS = int(os.environ.get("AUDIT_FUZZ_ROUNDS", "40"))
"""Trials for each engine class, about five milliseconds each."""
SEEDS = 8
REACHING = {
    "MI_STORE_DATA_IMM",
    "MI_STORE_REGISTER_MEM",
    "MI_LOAD_REGISTER_MEM",
    "MI_LOAD_REGISTER_REG",
    "MI_LOAD_REGISTER_IMM",
    "MI_COPY_MEM_MEM",
    "MI_ATOMIC",
    "MI_FLUSH_DW",
    "MI_STORE_DATA_INDEX",
    "MI_REPORT_PERF_COUNT",
    "MI_BATCH_BUFFER_START",
    "PIPE_CONTROL",
}
"""Commands by which one could get out: each must have been run."""


def test_nothing_that_the_audit_accepts_gets_out() -> None:
    executed = set[str]()
    for seed in range(SEEDS):  # what is run depends on what the audit takes: until all was seen
        courts = fuzz(ROUNDS, seed)
        for court in courts.values():
            assert court.accepted > ROUNDS // 5
        executed.update(*(court.executed for court in courts.values()))
        if executed >= REACHING:
            break
    assert executed >= REACHING


def test_the_judge_sees_a_user_batch_of_the_blitter_that_is_not_audited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_oracle, "COPIED", frozenset())
    with pytest.raises(Escape):
        fuzz(500, engines=("BCS",))


@pytest.mark.parametrize("name", ["MI_UPDATE_GTT", *sorted(REACHING - {"MI_BATCH_BUFFER_START"})])
def test_the_judge_sees_a_command_that_is_not_audited(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(command_scanner, "_KNOWN", {})
    rules = MappingProxyType({**RULES, name: Rule(Kind.PASS, RULES[name].dwords)})
    monkeypatch.setattr(command_scanner, "RULES", rules)
    with pytest.raises(Escape):
        fuzz(500, engines=("RCS",))
