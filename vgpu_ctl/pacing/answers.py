"""Answers to those who only look: taken once and given to all who ask meanwhile.

An answer was taken after it was asked for, or is younger than ``kept_s``, or than `COST_RATIO`
times the processor time that it took, if that is longer; and nothing has changed since, as far as
``changes`` tells. So whoever has heard of a change sees it, and however many ask, taking one kind
of answer takes a processor's `COST_RATIO`-th part at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from vgpu_ctl.pacing.fair_queue import Party

COST_RATIO = 20.0
MOST_KEPT = 512
"""Answers; with more, those that are too old go, and if that is not enough, all."""

E = TypeVar("E", bound=Exception)
"""Why there is no answer; that is told to all who wait for it, and not kept."""
Submit: TypeAlias = Callable[[Party, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of a result, and for how long it is the answer."""

    text: bytes
    changes: int
    good_until: float


class Answers(Generic[E]):
    """Answers by what was asked. `ask` and what is posted are for one thread."""

    def __init__(
        self,
        changes: Callable[[], int],
        submit: Submit,
        post: Callable[[Callable[[], None]], None],
        kept_s: float,
        cost_ratio: float = COST_RATIO,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """``submit`` has a job done for somebody by another thread, which does one at a time;
        ``post`` has something called in this one. ``changes`` is another number after each change.
        """
        self._changes = changes
        self._submit = submit
        self._post = post
        self._kept_s = kept_s
        self._cost_ratio = cost_ratio
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._kept: dict[Hashable, Answer] = {}
        self._waiting: dict[Hashable, list[Callable[[bytes | E], None]]] = {}
        """Who waits for an answer that is being taken; by what was asked, after which change."""

    def ask(
        self,
        what: Hashable,
        party: Party,
        take: Callable[[], bytes | E],
        then: Callable[[bytes | E], None],
    ) -> None:
        """Call ``then`` with the answer to ``what``, at once if there is one.

        Else ``take`` takes it, in another thread and at the cost of ``party``.
        """
        changes = self._changes()
        kept = self._kept.get(what)
        if kept is not None and kept.changes == changes and self._clock() < kept.good_until:
            then(kept.text)
            return
        asked = what, changes
        if asked in self._waiting:
            self._waiting[asked].append(then)
            return
        self._waiting[asked] = [then]
        self._submit(party, lambda: self._take(what, asked, take))

    def _take(self, what: Hashable, asked: Hashable, take: Callable[[], bytes | E]) -> None:
        changes, began, began_cpu = self._changes(), self._clock(), self._cpu_clock()
        outcome = take()
        cost = self._cpu_clock() - began_cpu
        answer = None
        if not isinstance(outcome, Exception):
            answer = Answer(outcome, changes, began + max(self._kept_s, self._cost_ratio * cost))
        self._post(lambda: self._taken(what, asked, outcome, answer))

    def _taken(
        self, what: Hashable, asked: Hashable, outcome: bytes | E, answer: Answer | None
    ) -> None:
        if answer is not None:
            if len(self._kept) >= MOST_KEPT:
                now = self._clock()
                good = {key: kept for key, kept in self._kept.items() if now < kept.good_until}
                self._kept = good if len(good) < MOST_KEPT else {}
            self._kept[what] = answer
        for then in self._waiting.pop(asked):
            then(outcome)
