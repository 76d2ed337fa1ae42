"""Answers that are shared: how old they may be, and that a change is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vgpu_ctl.pacing.answers import COST_RATIO, MOST_KEPT, Answers
from vgpu_ctl.pacing.fair_queue import Party

KEPT_S = 0.1
SOMEBODY = Party(1, 1)


@dataclass
class Bench:
    """Answers whose worker and whose clocks go when they are told to."""

    now: float = 100.0
    cpu: float = 0.0
    changes: int = 0
    cost: float = 0.001
    taken: int = 0
    failure: ValueError | None = None
    told: list[bytes | ValueError] = field(default_factory=list)
    jobs: list[Callable[[], None]] = field(default_factory=list)
    posted: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers: Answers[ValueError] = Answers(
            lambda: self.changes,
            lambda _party, job: self.jobs.append(job),
            self.posted.append,
            KEPT_S,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu,
        )

    def take(self) -> bytes | ValueError:
        self.taken += 1
        self.cpu += self.cost
        return self.failure or b"%d" % self.taken

    def ask(self, what: str = "stats") -> None:
        self.answers.ask(what, SOMEBODY, self.take, self.told.append)

    def work(self) -> None:
        """The worker does its jobs, and what it posts is done."""
        while self.jobs:
            self.jobs.pop(0)()
        while self.posted:
            self.posted.pop(0)()

    def asked(self, what: str = "stats") -> bytes | ValueError:
        """The answer."""
        self.told.clear()
        self.ask(what)
        self.work()
        (told,) = self.told
        return told


def test_a_young_answer_is_given_again() -> None:
    bench = Bench()
    assert bench.asked() == b"1"
    bench.now += KEPT_S * 0.9
    assert bench.asked() == b"1"
    bench.now += KEPT_S * 0.2
    assert bench.asked() == b"2"


def test_what_is_asked_for_differs() -> None:
    bench = Bench()
    assert [bench.asked("a"), bench.asked("b"), bench.asked("a")] == [b"1", b"2", b"1"]


def test_what_is_dear_is_kept_for_longer() -> None:
    bench = Bench(cost=0.05)
    assert bench.asked() == b"1"
    bench.now += 0.05 * COST_RATIO * 0.99
    assert bench.asked() == b"1"
    bench.now += 0.05
    assert bench.asked() == b"2"


def test_a_change_is_seen_at_once() -> None:
    bench = Bench()
    assert bench.asked() == b"1"
    bench.changes += 1
    assert bench.asked() == b"2"


def test_all_who_ask_meanwhile_are_told_by_one() -> None:
    bench = Bench()
    for _ in range(60):
        bench.ask()
    assert len(bench.jobs) == 1
    bench.work()
    assert bench.told == [b"1"] * 60


def test_who_asks_after_a_change_is_not_told_what_was_asked_before_it() -> None:
    """Whether the other reading has begun or not."""
    bench = Bench()
    bench.ask()
    bench.jobs.pop(0)()  # taken, and not told yet
    bench.changes += 1
    bench.ask()
    bench.work()
    assert bench.told == [b"1", b"2"]
    assert bench.asked() == b"2"


def test_a_change_during_the_reading_makes_it_old() -> None:
    bench = Bench()
    take = bench.take

    def changed_meanwhile() -> bytes | ValueError:
        told = take()
        bench.changes += 1
        return told

    bench.answers.ask("stats", SOMEBODY, changed_meanwhile, bench.told.append)
    bench.work()
    assert bench.told == [b"1"]
    assert bench.asked() == b"2"


def test_failures_are_told_to_all_and_not_kept() -> None:
    bench = Bench(failure=ValueError("no"))
    bench.ask()
    bench.ask()
    bench.work()
    assert bench.told == [bench.failure] * 2
    bench.failure = None
    assert bench.asked() == b"2"


def test_answers_do_not_pile_up() -> None:
    bench = Bench()
    for number in range(3 * MOST_KEPT):
        bench.asked(str(number))
    assert len(bench.answers._kept) <= MOST_KEPT
