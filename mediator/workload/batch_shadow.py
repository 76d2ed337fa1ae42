"""Shadows of batches: copied out of guest memory, audited, patched, and only then run.

A batch in the GGTT has privilege, so the guest must not be able to change it after the audit. All
that a batch can jump to, to any depth and in loops, is copied with it. A batch in the context's
own address space is left alone where the hardware lets it do nothing to others. The blitter does
not: there it is copied through the guest's own page tables, audited as one without privilege
(`user_audit.py`), and the copy runs in the GGTT. Where a page is missing the copy ends in a read of
that address, which faults as the fetch would have done; what is mapped there later is not run. A
command that is refused becomes one at which any engine stands: what stands before it is run.

The audit follows commands, not bytes: a jump is taken only to a place where an audited command
begins, and a jump into the middle of one gives another shadow that begins there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import BATCH_BUFFER_END
from mediator.workload.command_scanner import scan
from mediator.workload.command_stream import Counts, Stream, Target

if TYPE_CHECKING:
    from mediator.workload.view import AuditView

_PAGE: Final = 4096
_GGTT_MASK: Final = 0xFFFF_FFFF
_ALIGN: Final = 64
"""Bytes: a line of the cache from which hardware fetches, and what an indirect batch begins at."""
_FAULT: Final = (0x36 << 23 | 1 << 21 | 2, 0xFFFF_FFFF)
"""MI_CONDITIONAL_BATCH_BUFFER_END that ends, unless the address that follows faults."""
_ILLEGAL: Final = 7 << 29
"""A command of no kind: what the hardware meets in place of one that it is not to carry out."""
_ILLEGAL_REASONS: Final = frozenset({Reason.UNKNOWN_COMMAND, Reason.BAD_COMMAND})
MAX_DWORDS: Final = 1 << 18
"""Dwords of privileged batches that one audit looks at: 1 MiB."""
MAX_USER_DWORDS: Final = 1 << 21
"""The same of batches without privilege: 8 MiB, more than there is room for."""
MAX_BATCHES: Final = 256
"""Batches that one of them may lead to, itself included."""
MAX_JUMPS: Final = 1024
"""Commands in all these that start one."""
MOST_PLACED: Final = 4096
"""Batches of one shadow: each takes 64 bytes of room and a KiB here. One audit cannot place more,
and a context that has so many leaves the hardware before it gets others."""
_USER_MASK: Final = (1 << 48) - 1
_LEAST_READ: Final = 512
_MOST_READ: Final = 256 << 10
"""Bytes of a user's batch that are read at once: between these, as many as are there already."""


@dataclass(slots=True)
class _Batch:
    """One shadowed piece: ``dwords`` before jumps are put in, ``begins`` a byte for each."""

    place: Target
    dwords: array[int]
    begins: bytes
    jumps: list[tuple[int, Target]] = field(default_factory=list)
    hardware: int = 0

    @property
    def length(self) -> int:
        """Bytes of the guest's batch that were audited."""
        return 4 * len(self.begins)

    def at(self, target: Target) -> int | None:
        """Hardware address of the command that begins at the guest's ``target``."""
        if target == self.place:
            return self.hardware  # also where nothing is but the fault
        offset = target.address - self.place.address
        if not 0 <= offset < self.length or offset & 3 or target.user != self.place.user:
            return None
        return self.hardware + offset if self.begins[offset >> 2] else None


_hardware = attrgetter("hardware")


class BatchShadow:
    """The batches of one submission of a context that are run from copies, for one engine.

    Addresses are bytes: the guest's own, in the GGTT or its context's space, and the GGTT addresses
    of the copies.
    """

    def __init__(self, view: AuditView) -> None:
        self._view = view
        self._counts = Counts()
        self._placed: list[_Batch] = []
        """In the order of their hardware addresses: a view places each behind all others."""
        self._groups: dict[tuple[Target, int, int], list[_Batch]] = {}
        """What was placed last for a place, fixed length (0 for none) and alignment."""
        self._current: dict[tuple[Target, int], int] = {}
        """What was shadowed since `begin`."""
        self._pages: dict[int, array[int]] = {}
        """GGTT pages read since `begin`: each only once, so that all see the same."""
        self._seen = 0
        self._seen_user = 0

    def begin(self) -> Counts:
        """A new audit: guest memory may have changed, so what comes now is copied again.

        What earlier audits placed stays. The counts are those of this audit, as they grow.
        """
        self._counts = Counts()
        self._current.clear()
        self._pages.clear()
        self._seen = self._seen_user = 0
        return self._counts

    def shadow(self, target: Target, align: int = _ALIGN) -> int:
        """Shadow the batch at ``target``, ended by MI_BATCH_BUFFER_END; where it is to be run.

        That is a multiple of ``align``. Raises GuestError.
        """
        mask = _USER_MASK if target.user else _GGTT_MASK
        target = Target(target.address & mask, target.user)
        found = self._current.get((target, align))
        if found is None:
            found = self._place((target, 0, align), self._follow(target))
            self._current[target, align] = found
        return found

    def shadow_fixed(self, address: int, length: int) -> int:
        """Shadow ``length`` bytes of commands (a multiple of 4) without end; where they are to run.

        They are in the GGTT, and no command may reach beyond them. Raises GuestError.
        """
        place = Target(address & _GGTT_MASK)
        if length <= 0 or length & 3 or address & 3:
            raise GuestError(Reason.BATCH, f"{length} bytes of commands at {address:#x}")
        stream = Stream(self._view, self._counts, f"batch {address:#x}", in_ring=True)
        self._extend(stream, place.address, length // 4)
        del stream.dwords[length // 4 :]
        begins, end = scan(stream)
        for at, target in stream.jumps:
            stream.put(at + 1, self.shadow(target), 0)
        batch = _Batch(place, stream.dwords, bytes(begins[:end]))
        return self._place((place, length, _ALIGN), [batch])

    def to_guest(self, address: int) -> Target | None:
        """The guest's address of the hardware's ``address``; None outside all shadows."""
        found = bisect_right(self._placed, address, key=_hardware)
        if not found:
            return None
        batch = self._placed[found - 1]
        offset = address - batch.hardware
        if offset >= 4 * len(batch.dwords) and offset != batch.length:
            return None
        return Target(batch.place.address + min(offset, batch.length), batch.place.user)

    def _follow(self, root: Target) -> list[_Batch]:
        """Audited copies of the batch at ``root``, which comes first, and of all it leads to."""
        batches: list[_Batch] = []
        wanted, known = [root], {root}
        jumps = 0
        while wanted:
            target = wanted.pop()
            self._counts.spend(len(batches) + 1)
            if any(batch.at(target) is not None for batch in batches):
                continue
            batch = self._copy(target)
            batches.append(batch)
            fresh = {target for _, target in batch.jumps} - known
            wanted += sorted(fresh)
            known |= fresh
            jumps += len(batch.jumps)
            if len(batches) > MAX_BATCHES or jumps > MAX_JUMPS:
                text = f"batch {root.address:#x} leads to too many others"
                raise GuestError(Reason.TOO_LARGE, text)
        return batches

    def _copy(self, place: Target) -> _Batch:
        address, user = place
        stream = Stream(self._view, self._counts, f"batch {address:#x}", in_ring=False, user=user)
        extend = self._extend_user if user else self._extend
        try:
            _, end = scan(stream, lambda end: extend(stream, address, end))
        except GuestError as error:
            if not user or stream.refused is None or error.reason not in _ILLEGAL_REASONS:
                raise
            end = self._stand(stream, error)
        dwords, begins = stream.dwords, stream.begins
        del dwords[end:]
        if stream.refused is not None:
            dwords.extend((_ILLEGAL, BATCH_BUFFER_END))  # it may be taken for two dwords
        elif stream.missing is not None:
            dwords.extend((*_FAULT, stream.missing & 0xFFFF_FFFF, stream.missing >> 32))
        # The last command may be a jump, and passed over under predication. An end never is.
        dwords.append(BATCH_BUFFER_END)
        return _Batch(place, dwords, bytes(begins[:end]), stream.jumps)

    def _stand(self, stream: Stream, error: GuestError) -> int:
        """The hardware stands at the refused command, as it would without an audit: its dword."""
        at = stream.refused
        assert at is not None, "there is one"
        self._counts.dropped += 1
        self._view.reject(error.reason, error.text)
        return at

    def _extend(self, stream: Stream, address: int, end: int) -> bool:
        """Copy the GGTT up to the end of the page that has dword ``end`` - 1 of a batch."""
        dwords = stream.dwords
        while len(dwords) < end:
            position = address + 4 * len(dwords)
            first = position % _PAGE // 4
            found = self._page(position - position % _PAGE)[first:]
            self._seen += len(found)
            if self._seen > MAX_DWORDS:
                raise GuestError(Reason.TOO_LARGE, f"privileged batches after {address:#x}")
            dwords += found
        return True

    def _page(self, address: int) -> array[int]:
        page = self._pages.get(address)
        if page is None:
            if not self._view.owns(address, _PAGE):
                raise GuestError(Reason.ADDRESS, f"privileged batch at GGTT {address:#x}")
            page = self._pages[address] = array("I", self._view.read_ggtt(address, _PAGE))
        return page

    def _extend_user(self, stream: Stream, address: int, end: int) -> bool:
        """Copy the context's own space beyond dword ``end`` - 1 of a batch; False at a gap."""
        dwords = stream.dwords
        while len(dwords) < end:
            position = address + 4 * len(dwords) & _USER_MASK
            chunk = bytearray(min(max(4 * len(dwords), _LEAST_READ), _MOST_READ))
            with memoryview(chunk) as view:
                done = self._view.read_user(position, view) & -4
            if not done:
                stream.missing = position
                return False
            self._seen_user += done // 4
            if self._seen_user > MAX_USER_DWORDS:
                raise GuestError(Reason.TOO_LARGE, f"batches after {address:#x}")
            dwords.frombytes(chunk[:done])
        return True

    def _place(self, key: tuple[Target, int, int], batches: list[_Batch]) -> int:
        """Put ``batches`` where the hardware can run them; the address of the first."""
        before = self._groups.get(key)
        if before is not None and _same(before, batches):
            return before[0].hardware
        if len(self._placed) + len(batches) > MOST_PLACED:
            raise GuestError(Reason.TOO_LARGE, f"more than {MOST_PLACED} batches of one context")
        rooms = []
        align = key[2]
        for batch in batches:
            batch.hardware, room = self._view.place_batch(4 * len(batch.dwords), align)
            rooms.append(room)
            align = _ALIGN
        found = self._found(batches)
        for batch, room in zip(batches, rooms, strict=True):
            dwords = batch.dwords[:] if batch.jumps else batch.dwords
            for at, target in batch.jumps:
                dwords[at + 1], dwords[at + 2] = found[target], 0
            room[: len(dwords)] = memoryview(dwords)
        self._groups[key] = batches
        self._placed += batches
        return batches[0].hardware

    def _found(self, batches: list[_Batch]) -> dict[Target, int]:
        """Where in ``batches``, which have their places, each command is that one jumps to."""
        found = dict[Target, int]()
        for target in {target for batch in batches for _, target in batch.jumps}:
            self._counts.spend(len(batches))
            places = (batch.at(target) for batch in batches)
            place = next((place for place in places if place is not None), None)
            assert place is not None, "all that a batch leads to is shadowed with it"
            found[target] = place
        return found


def _same(before: list[_Batch], batches: list[_Batch]) -> bool:
    return [(b.place, b.dwords) for b in before] == [(b.place, b.dwords) for b in batches]
