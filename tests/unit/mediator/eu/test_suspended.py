"""What is kept of suspended runs: each under its token, and no more than there is room for."""

from __future__ import annotations

from typing import Any, cast

from mediator.softgpu.eu.dispatch.suspended import MOST_BYTES, MOST_RUNS, PART_SHIFT, Suspended


class Held:
    """A run as far as it is counted."""

    def __init__(self, size: int) -> None:
        self.held_bytes = self.kept_bytes = size


def run(size: int = 1000) -> Any:
    return cast("Any", Held(size))


def test_a_run_is_given_back_once() -> None:
    kept, one = Suspended(), run()
    token = kept.put(one, 0)
    assert len(token) == 16
    assert kept.take(bytes(16)) is None
    assert kept.take(token) is one
    assert kept.take(token) is None
    assert len(kept) == 0


def test_tokens_differ() -> None:
    kept = Suspended()
    assert len({kept.put(run(), 0) for _ in range(100)}) == 100


def test_the_oldest_makes_room() -> None:
    kept = Suspended()
    tokens = [kept.put(run(MOST_BYTES // 4), 0) for _ in range(6)]
    assert kept.lost == 2
    assert [kept.take(token) is None for token in tokens] == [True, True, *[False] * 4]


def test_one_that_is_too_large_is_kept_alone() -> None:
    kept = Suspended()
    token = kept.put(run(2 * MOST_BYTES), 0)
    assert kept.take(token) is not None


def test_images_elsewhere_lose_nothing() -> None:
    kept = Suspended()
    steady = kept.put(run(MOST_BYTES // 2), 5 << PART_SHIFT)
    for _ in range(50):
        kept.put(run(MOST_BYTES // 2), 6 << PART_SHIFT)
    assert kept.lost == 48
    assert kept.take(steady) is not None


def test_small_ones_are_bounded_in_number_since_each_keeps_its_program() -> None:
    kept = Suspended()
    tokens = [kept.put(run(1), 0) for _ in range(MOST_RUNS + 8)]
    assert (kept.lost, len(kept)) == (8, MOST_RUNS)
    assert kept.take(tokens[7]) is None
    assert kept.take(tokens[8]) is not None
