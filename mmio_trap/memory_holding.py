"""What one memory has of mapped files, within its budget."""

from __future__ import annotations

from collections.abc import Iterable

from mmio_trap.mapped_file import MemoryFile, Stretch, Stretches, around
from mmio_trap.memory_budget import MemoryBudget

IDLE_STRETCHES = 2
"""Kept mapped without a range: firmware unmaps all low RAM and maps it again at once."""

_PROCESS = Stretches()


class MemoryHolding:
    """Stretches of files, each with the number of ranges that lie in it. One thread at a time.

    What it lets go of is for its caller to leave, without locks: see `take_left`.
    """

    def __init__(self, budget: MemoryBudget, shared: Stretches = _PROCESS) -> None:
        self._budget = budget
        self.shared = shared
        self._ranges: dict[Stretch, int] = {}
        self._by_file: dict[tuple[int, int], list[Stretch]] = {}
        self._idle: list[Stretch] = []
        self._left: list[Stretch] = []
        self.address_space = 0
        """Bytes of all stretches."""

    @property
    def mappings(self) -> int:
        """How many stretches there are."""
        return len(self._ranges)

    def take(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Stretch:
        """A stretch with ``start`` to ``end`` of ``file``, for one range more.

        Raises OSError: ENOSPC beyond the budget, as `Stretches.add`; nothing has changed then.
        """
        for stretch in self._by_file.get(file.key, ()):
            if stretch.holds(start, end, writable=writable):
                break
        else:
            stretch = self._new(file, start, end, writable=writable)
        if not self._ranges[stretch] and stretch in self._idle:
            self._idle.remove(stretch)
        self._ranges[stretch] += 1
        return stretch

    def release(self, stretches: Iterable[Stretch]) -> None:
        """Each has one range less."""
        for stretch in stretches:
            self._ranges[stretch] -= 1
            if not self._ranges[stretch]:
                self._idle.append(stretch)
        while len(self._idle) > IDLE_STRETCHES:
            self._drop(self._idle.pop(0))

    def trim(self) -> None:
        """Let go of stretches without a range, which are kept for a while."""
        while self._idle:
            self._drop(self._idle.pop())

    def take_left(self) -> list[Stretch]:
        """Stretches let go of since the last call: to be left (`Stretches.leave`)."""
        left, self._left = self._left, []
        return left

    def _new(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Stretch:
        """One that was not held: another memory's, or a new one; as small as the budget wants."""
        found = self.shared.find(file, start, end, writable=writable)
        if found is not None and self._affords(found.size):
            return self._hold(found)
        if found is not None:
            self._left.append(found)
        first, last = around(start, end, file.size)
        if not self._affords(last - first):
            self.trim()
            if not self._affords(last - first):
                first, last = start, end
        self._budget.check_mappings(self.mappings + 1, self.address_space + last - first)
        return self._hold(self.shared.add(file, first, last, writable=writable))

    def _affords(self, size: int) -> bool:
        try:
            self._budget.check_mappings(self.mappings + 1, self.address_space + size)
        except OSError:
            return False
        return True

    def _hold(self, stretch: Stretch) -> Stretch:
        self._ranges[stretch] = 0
        self._by_file.setdefault(stretch.key, []).append(stretch)
        self.address_space += stretch.size
        return stretch

    def _drop(self, stretch: Stretch) -> None:
        del self._ranges[stretch]
        rest = [each for each in self._by_file[stretch.key] if each is not stretch]
        if rest:
            self._by_file[stretch.key] = rest
        else:
            del self._by_file[stretch.key]
        self.address_space -= stretch.size
        self._left.append(stretch)
