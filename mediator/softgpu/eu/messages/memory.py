"""GPU memory as messages use it: what does not translate reads 0, and the first fault is kept.

Twin of ``native/translate.c``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mediator import hotpath
from mediator.gen9.pte import PAGE_SIZE
from mediator.hotpath.interface import FAULT_REASONS, FaultKind, PageFault, Space
from mmio_trap.guest_memory import GuestAddressError

ADDRESS_MASK: Final = (1 << 48) - 1
ILLEGAL_MESSAGE: Final = 16
"""A fault's kind, beside those of `FaultKind`."""

_KINDS: Final = {reason: kind for kind, reason in FAULT_REASONS.items()}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a thread must stop: `FaultKind` or `ILLEGAL_MESSAGE`, GPU address, direction.

    Of an illegal message the address is shared function << 32 | descriptor.
    """

    kind: int
    address: int
    write: bool


@dataclass(slots=True)
class Memory:
    """A GPU address space, its first fault, and the number of writes that were discarded.

    The caller is inside ``space.memory.using()``.
    """

    space: Space
    fault: Fault | None = field(default=None)
    discarded: int = 0

    def record(self, kind: int, address: int, *, write: bool) -> None:
        """Keep a fault, if it is the first."""
        if self.fault is None:
            self.fault = Fault(kind, address, write)

    def load(self, address: int, size: int) -> int:
        """``size`` bytes at any address."""
        parts = []
        for at, count in self._pieces(address, size):
            found = bytes(count)
            physical, _writable = self._translate(at, write=False)
            if physical is not None:
                try:
                    found = self.space.memory.read(physical, count)
                except GuestAddressError:
                    self.record(FaultKind.PAGE_NOT_IN_MEMORY, at, write=False)
            parts.append(found)
        return int.from_bytes(b"".join(parts), "little")

    def store(self, address: int, size: int, value: int) -> None:
        """Write the low ``size`` bytes of ``value`` at any address."""
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        done = 0
        for at, count in self._pieces(address, size):
            physical, writable = self._translate(at, write=True)
            if physical is not None and not writable:
                self.discarded += 1
            elif physical is not None:
                try:
                    self.space.memory.write(physical, data[done : done + count])
                except GuestAddressError:
                    self.record(FaultKind.PAGE_NOT_IN_MEMORY, at, write=True)
            done += count

    def change(self, address: int, size: int, new: Callable[[int], int]) -> int:
        """Replace what is there by what ``new`` makes of it, at once; the old value.

        ``address`` is a multiple of ``size``, 4 or 8. On a read-only page nothing changes.
        """
        address &= ADDRESS_MASK & self.space.mask
        physical, writable = self._translate(address, write=True)
        if physical is None or not writable:
            self.discarded += physical is not None
            return self.load(address, size)
        memory = self.space.memory
        ones = (1 << 8 * size) - 1
        try:
            old = int.from_bytes(memory.read(physical, size), "little")
            while True:
                found = hotpath.compare_exchange(memory, physical, size, old, new(old) & ones)
                if found == old:
                    return old
                old = found
        except GuestAddressError:
            self.record(FaultKind.PAGE_NOT_IN_MEMORY, address, write=True)
            return self.load(address, size)

    def _translate(self, address: int, *, write: bool) -> tuple[int | None, bool]:
        """(guest physical address, writable); None after a fault."""
        try:
            return self.space.translate(address, write=write)
        except PageFault as fault:
            self.record(_KINDS[fault.reason], address, write=write)
            return None, False

    def _pieces(self, address: int, size: int) -> list[tuple[int, int]]:
        """(address, bytes) of the parts of an access that share a page."""
        pieces = []
        while size:
            at = address & ADDRESS_MASK & self.space.mask
            count = min(size, PAGE_SIZE - at % PAGE_SIZE)
            pieces.append((at, count))
            address += count
            size -= count
        return pieces
