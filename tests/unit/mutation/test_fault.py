"""Drawing faults, and the list of those that change nothing."""

from __future__ import annotations

import pytest

from tests.mutation import code, equivalents
from tests.mutation.equivalents import Equivalent
from tests.mutation.fault import Fault, draw


def _fault(line: int, now: str = "2") -> Fault:
    return Fault("a.py", line, 0, 1, "1", now, "f")


def test_a_seed_draws_the_same_faults_one_a_line() -> None:
    faults = [_fault(line, now) for line in range(40) for now in "0234"]
    drawn = draw(faults, 10, 5)
    assert len(drawn) == 10
    assert len({fault.line for fault in drawn}) == 10
    assert draw(faults, 10, 5) == drawn != draw(faults, 10, 6)
    assert draw(faults, 20, 5)[:10] == drawn
    assert len(draw(faults, 1000, 5)) == 40


def test_a_fault_goes_only_where_its_text_is() -> None:
    assert _fault(1).put_into(b"1 + 1") == b"2 + 1"
    with pytest.raises(AssertionError):
        _fault(1).put_into(b"3 + 1")


def test_what_the_list_names_is_not_drawn() -> None:
    known = [Equivalent("a.py", "why", "f", "1", "2", "x = 1")]
    lines = {"a.py": ["x = 1", "y = 1"]}
    faults = [_fault(1), _fault(1, "0"), _fault(2)]
    assert equivalents.leave_out(faults, known, lines) == faults[1:]


def test_the_list_names_faults_that_there_are_and_says_why() -> None:
    faults = code.faults_of("python") + code.faults_of("c")
    for each in equivalents.load():
        lines = (code.ROOT / each.file).read_text().splitlines()
        assert any(each.covers(fault, lines) for fault in faults if fault.file == each.file), (
            f"{equivalents.LIST.name}: no fault is {each}"
        )
        assert len(each.why) > 10
