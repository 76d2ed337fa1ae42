"""Things kept for several owners in a bounded room: who has most of it loses its own oldest.

So nobody, however much it brings, pushes out what others keep, as long as these keep less.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class FairStore(Generic[Key, Kept]):
    """Values by owner and key, at most ``most`` of them, whose weights are ``most_weight`` in all,
    and of one owner ``most_of_one`` (0: the same); one that weighs more is kept alone."""

    def __init__(self, most: int, most_weight: int, most_of_one: int = 0) -> None:
        self._most, self._most_weight = most, most_weight
        self._most_of_one = most_of_one or most_weight
        self._owned: dict[Hashable, OrderedDict[Key, tuple[Kept, int]]] = {}
        self._weights: dict[Hashable, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, owner: Hashable, key: Key) -> Kept | None:
        """What ``owner`` keeps under ``key``, which was used just now."""
        owned = self._owned.get(owner)
        if owned is None or key not in owned:
            return None
        owned.move_to_end(key)
        return owned[key][0]

    def pop(self, owner: Hashable, key: Key) -> Kept | None:
        """The same, which is not kept any longer."""
        owned = self._owned.get(owner)
        if owned is None or key not in owned:
            return None
        kept, weight = owned.pop(key)
        self._count -= 1
        self._weights[owner] -= weight
        if not owned:
            del self._owned[owner], self._weights[owner]
        return kept

    def put(self, owner: Hashable, key: Key, kept: Kept, weight: int = 1) -> None:
        """Keep something in place of what was there, and lose what is too much."""
        self.pop(owner, key)
        self._owned.setdefault(owner, OrderedDict())[key] = kept, weight
        self._weights[owner] = self._weights.get(owner, 0) + weight
        self._count += 1
        while self._has_more(owner, owner) and self._weights[owner] > self._most_of_one:
            self.pop(owner, next(iter(self._owned[owner])))
        while self._count > 1 and self._is_full():
            loser = max(
                (each for each in self._owned if self._has_more(each, owner)), key=self._part
            )
            self.pop(loser, next(iter(self._owned[loser])))

    def _is_full(self) -> bool:
        return self._count > self._most or sum(self._weights.values()) > self._most_weight

    def _has_more(self, owner: Hashable, bringer: Hashable) -> bool:
        """Whether ``owner`` has anything but what ``bringer`` has just brought."""
        return owner != bringer or len(self._owned[owner]) > 1

    def _part(self, owner: Hashable) -> float:
        """Of all room."""
        count, weight = len(self._owned[owner]), self._weights[owner]
        return max(count / self._most, weight / self._most_weight)
