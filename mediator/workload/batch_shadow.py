"""Shadows of privileged batches: copied out of guest memory, audited, patched, and only then run.

A batch in the GGTT has privilege, so the guest must not be able to change it after the audit. All
that a batch can jump to, to any depth and in loops, is copied with it. A batch in the context's
own address space is left alone: the hardware lets it do nothing to others.

The audit follows commands, not bytes: a jump is taken only to a place where an audited command
begins, and a jump into the middle of one gives another shadow that begins there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import BATCH_BUFFER_END
from mediator.workload.command_scanner import scan
from mediator.workload.command_stream import Counts, Stream

if TYPE_CHECKING:
    from mediator.workload.view import AuditView

_PAGE: Final = 4096
_GGTT_MASK: Final = 0xFFFF_FFFF
MAX_DWORDS: Final = 1 << 18
"""Dwords of privileged batches that one audit looks at: 1 MiB."""
MAX_BATCHES: Final = 256
"""Privileged batches that one of them may lead to, itself included."""
MAX_JUMPS: Final = 1024
"""Commands in all these that start one."""

Saved = list[tuple[int, int, int, bytes]]
"""Guest's address, hardware's address, length in bytes, command begins (a byte for each dword)."""


@dataclass(slots=True)
class _Batch:
    """One shadowed piece: ``dwords`` before jumps are put in, ``begins`` one byte for each."""

    address: int
    dwords: list[int]
    begins: bytes
    jumps: list[tuple[int, int]] = field(default_factory=list)
    hardware: int = 0

    @property
    def length(self) -> int:
        """Bytes of the guest's batch that were audited."""
        return 4 * len(self.begins)

    def at(self, address: int) -> int | None:
        """Hardware address of the command that begins at the guest's ``address``."""
        offset = address - self.address
        if not 0 <= offset < self.length or offset & 3 or not self.begins[offset >> 2]:
            return None
        return self.hardware + offset


class BatchShadow:
    """The privileged batches of one submission of a context, for one engine of a vGPU.

    Addresses are GGTT addresses in bytes: the guest's own, and those of the copies.
    """

    def __init__(self, view: AuditView) -> None:
        self._view = view
        self._counts = Counts()
        self._placed: list[_Batch] = []
        self._groups: dict[tuple[int, int], list[_Batch]] = {}
        """What was placed last for an address and fixed length (0 for none)."""
        self._current: dict[int, int] = {}
        """Guest's addresses shadowed since `begin`."""
        self._pages: dict[int, array[int]] = {}
        """Guest pages read since `begin`: each only once, so that all see the same."""
        self._seen = 0

    def begin(self) -> Counts:
        """A new audit: guest memory may have changed, so what comes now is copied again.

        What earlier audits placed stays. The counts are those of this audit, as they grow.
        """
        self._counts = Counts()
        self._current.clear()
        self._pages.clear()
        self._seen = 0
        return self._counts

    def shadow(self, address: int) -> int:
        """Shadow the batch at ``address``, ended by MI_BATCH_BUFFER_END; where it is to be run.

        Raises GuestError.
        """
        address &= _GGTT_MASK
        found = self._current.get(address)
        if found is None:
            found = self._current[address] = self._place((address, 0), self._follow(address))
        return found

    def shadow_fixed(self, address: int, length: int) -> int:
        """Shadow ``length`` bytes of commands (a multiple of 4) without end; where they are to run.

        No command may reach beyond them. Raises GuestError.
        """
        address &= _GGTT_MASK
        if length <= 0 or length & 3 or address & 3:
            raise GuestError(Reason.BATCH, f"{length} bytes of commands at {address:#x}")
        stream = Stream(self._view, self._counts, f"batch {address:#x}", in_ring=True)
        self._extend(stream, address, length // 4)
        del stream.dwords[length // 4 :]
        begins, end = scan(stream)
        for at, target in stream.jumps:
            stream.put(at + 1, self.shadow(target), 0)
        return self._place((address, length), [_Batch(address, stream.dwords, _marks(begins, end))])

    def to_guest(self, address: int) -> int | None:
        """The guest's address of the hardware's ``address``; None outside all shadows."""
        for batch in reversed(self._placed):
            if 0 <= address - batch.hardware <= batch.length:
                return batch.address + address - batch.hardware
        return None

    def to_hardware(self, address: int) -> int | None:
        """Where the command at the guest's ``address`` was shadowed; None where none begins."""
        for batch in reversed(self._placed):
            found = batch.at(address)
            if found is not None:
                return found
        return None

    def state(self) -> Saved:
        """What `load` needs to go on translating addresses."""
        return [(b.address, b.hardware, b.length, b.begins) for b in self._placed]

    def load(self, saved: Saved) -> None:
        """Take back what `state` gave; the shadows themselves are where they were."""
        self._groups.clear()
        self.begin()
        self._placed = [
            _Batch(address, [], begins, hardware=hardware) for address, hardware, _, begins in saved
        ]

    def _follow(self, root: int) -> list[_Batch]:
        """Audited copies of the batch at ``root``, which comes first, and of all it leads to."""
        batches: list[_Batch] = []
        wanted = [root]
        jumps = 0
        while wanted:
            address = wanted.pop()
            if any(batch.at(address) is not None for batch in batches):
                continue
            batch = self._copy(address)
            batches.append(batch)
            wanted += [target for _, target in batch.jumps]
            jumps += len(batch.jumps)
            if len(batches) > MAX_BATCHES or jumps > MAX_JUMPS:
                raise GuestError(Reason.TOO_LARGE, f"batch {root:#x} leads to too many others")
        return batches

    def _copy(self, address: int) -> _Batch:
        stream = Stream(self._view, self._counts, f"batch {address:#x}", in_ring=False)
        begins, end = scan(stream, lambda end: self._extend(stream, address, end))
        # The last command may be a jump, and passed over under predication. An end never is.
        dwords = [*stream.dwords[:end], BATCH_BUFFER_END]
        return _Batch(address, dwords, _marks(begins, end), stream.jumps)

    def _extend(self, stream: Stream, address: int, end: int) -> None:
        """Copy guest memory up to the end of the page that has dword ``end`` - 1 of a batch."""
        dwords = stream.dwords
        while len(dwords) < end:
            position = address + 4 * len(dwords)
            first = position % _PAGE // 4
            found = self._page(position - position % _PAGE)[first:].tolist()
            self._seen += len(found)
            if self._seen > MAX_DWORDS:
                raise GuestError(Reason.TOO_LARGE, f"privileged batches after {address:#x}")
            dwords += found

    def _page(self, address: int) -> array[int]:
        page = self._pages.get(address)
        if page is None:
            if not self._view.owns(address, _PAGE):
                raise GuestError(Reason.ADDRESS, f"privileged batch at GGTT {address:#x}")
            page = self._pages[address] = array("I", self._view.read_ggtt(address, _PAGE))
        return page

    def _place(self, key: tuple[int, int], batches: list[_Batch]) -> int:
        """Put ``batches`` where the hardware can run them; the address of the first."""
        before = self._groups.get(key)
        if before is not None and _same(before, batches):
            return before[0].hardware
        rooms = []
        for batch in batches:
            batch.hardware, room = self._view.place_batch(4 * len(batch.dwords))
            rooms.append(room)
        for batch, room in zip(batches, rooms, strict=True):
            self._fill(batch, batches, room)
        self._groups[key] = batches
        self._placed += batches
        return batches[0].hardware

    def _fill(self, batch: _Batch, batches: list[_Batch], room: memoryview) -> None:
        dwords = batch.dwords.copy()
        for at, target in batch.jumps:
            found = next(
                (hw for hw in (other.at(target) for other in batches) if hw is not None), None
            )
            assert found is not None, "all that a batch leads to is shadowed with it"
            dwords[at + 1 : at + 3] = [found, 0]
        room[: len(dwords)] = memoryview(array("I", dwords))


def _marks(begins: Iterable[int], dwords: int) -> bytes:
    """One byte for each of ``dwords``: 1 where a command begins."""
    marks = bytearray(dwords)
    for index in begins:
        marks[index] = 1
    return bytes(marks)


def _same(before: list[_Batch], batches: list[_Batch]) -> bool:
    return [(b.address, b.dwords) for b in before] == [(b.address, b.dwords) for b in batches]
