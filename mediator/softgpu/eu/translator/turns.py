"""Whose turn it is: of several owners with things to be done, who has used least time.

Who has had nothing to do for long is taken to have used as much as those who have: start-time fair
queueing. Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queuing", 1996.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Thing = TypeVar("Thing")
_REMEMBERED: Final = 1024
"""Owners that have nothing to do now, of whom is known what they have used."""


class Turns(Generic[Thing]):
    """Queues of owners, each in its order."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[Thing]] = OrderedDict()
        """Of those who have something, who had a turn last at the end."""
        self._used: dict[Hashable, float] = {}
        self._begun = 0.0
        """What the owner had used whose turn was last."""

    def __bool__(self) -> bool:
        return bool(self._queues)

    def waiting(self, owner: Hashable) -> int:
        """How many things of ``owner`` wait."""
        return len(self._queues.get(owner, ()))

    def add(self, owner: Hashable, thing: Thing) -> None:
        """``owner`` wants something done, behind what it wanted before."""
        if owner not in self._queues:
            self._queues[owner] = deque()
            self._used[owner] = max(self._used.get(owner, 0.0), self._begun)
        self._queues[owner].append(thing)

    def take(self) -> tuple[Hashable, Thing]:
        """Whose turn it is and what is to be done. There must be something."""
        owner = min(self._queues, key=self._used.__getitem__)
        self._begun = self._used[owner]
        queue = self._queues[owner]
        thing = queue.popleft()
        if queue:
            self._queues.move_to_end(owner)
        else:
            del self._queues[owner]
        return owner, thing

    def charge(self, owner: Hashable, seconds: float) -> None:
        """What was done for ``owner`` took so long."""
        self._used[owner] = self._used.get(owner, 0.0) + seconds
        if len(self._used) > _REMEMBERED + len(self._queues):
            self._used = {each: self._used[each] for each in self._queues}
