"""Who is next among those who wait: who has used least, by user and then by process.

Start-time fair queueing (Goyal, Vin, Cheng 1996) on two levels. What a peer has used counts while
others wait; who was away comes back as the equal of the one that was served last, neither with
savings nor with debts of long ago. So a newcomer is next, however many wait and however they are
spread over processes, and an idle peer saves nothing up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

MOST_KNOWN = 1024
"""Users, and processes of one, whose use is remembered. Past it only those who wait are."""


class Party(NamedTuple):
    """Whose work it is. What comes over a network has an address for a user."""

    user: Hashable
    process: Hashable = 0


@dataclass(slots=True)
class _Level:
    """What each has used of what all of one level share."""

    used: dict[Hashable, float] = field(default_factory=dict)
    floor: float = 0.0
    """What the last one to be served had used before."""

    def come(self, key: Hashable) -> None:
        self.used[key] = max(self.used.get(key, 0.0), self.floor)

    def choose(self, keys: Collection[Hashable]) -> Hashable:
        chosen = min(keys, key=self.used.__getitem__)
        self.floor = max(self.floor, self.used[chosen])
        return chosen

    def charge(self, key: Hashable, cost: float, waiting: Collection[Hashable]) -> None:
        self.used[key] = self.used.get(key, self.floor) + cost
        if len(self.used) > MOST_KNOWN:
            self.used = {each: self.used[each] for each in waiting}


class FairQueue(Generic[T]):
    """Items that wait, each some party's. Not for several threads at once."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, dict[Hashable, deque[T]]] = {}
        """By user, then by process; none is empty."""
        self._users = _Level()
        self._processes: dict[Hashable, _Level] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, party: Party, item: T) -> None:
        """``item`` waits, behind the others of its party."""
        user, process = party
        if user not in self._waiting:
            self._waiting[user] = {}
            self._users.come(user)
        processes = self._waiting[user]
        if process not in processes:
            processes[process] = deque()
            self._level(user).come(process)
        processes[process].append(item)
        self._count += 1

    def pop(self) -> tuple[Party, T]:
        """The next, and whose it is; `charge` is to follow. Raises IndexError without any."""
        if not self._count:
            raise IndexError("nobody waits")
        user = self._users.choose(self._waiting)
        processes = self._waiting[user]
        process = self._level(user).choose(processes)
        item = processes[process].popleft()
        self._count -= 1
        if not processes[process]:
            del processes[process]
        if not processes:
            del self._waiting[user]
        return Party(user, process), item

    def charge(self, party: Party, cost: float) -> None:
        """The party has used ``cost`` more, whether it waits or not."""
        user, process = party
        self._users.charge(user, cost, self._waiting)
        self._level(user).charge(process, cost, self._waiting.get(user, ()))

    def _level(self, user: Hashable) -> _Level:
        if len(self._processes) > MOST_KNOWN and user not in self._processes:
            self._processes = {
                each: self._processes[each] for each in self._waiting if each in self._processes
            }
        return self._processes.setdefault(user, _Level())
