"""The rest after a long audit: as long as it took, once, and never very long."""

from __future__ import annotations

import pytest

from mediator.vgpu.rest import LONGEST_S, Rest

MS = 1_000_000


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def rest(slept: list[float]) -> Rest:
    return Rest(slept.append)


def test_who_owes_nothing_does_not_rest(rest: Rest, slept: list[float]) -> None:
    rest.take()
    assert slept == []


def test_what_is_owed_is_taken_once(rest: Rest, slept: list[float]) -> None:
    rest.owe(20 * MS)
    rest.owe(30 * MS)
    rest.take()
    rest.take()
    assert slept == pytest.approx([0.05])


def test_no_rest_is_longer_than_a_guest_bears(rest: Rest, slept: list[float]) -> None:
    rest.owe(5_000 * MS)
    rest.take()
    assert slept == [LONGEST_S]
