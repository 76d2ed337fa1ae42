"""The walk over the commands of a ring, or of a privileged batch, that have been copied.

It runs while the guest waits for its submission, so a header that was seen before costs one dict
look-up, and most commands need no more. Any bytes end in a `GuestError` or in `Counts`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Protocol

from mediator.errors import GuestError, Reason
from mediator.gen9.commands import decode
from mediator.workload.audit_rules import RULES
from mediator.workload.command_audit import Check, check_for
from mediator.workload.command_stream import Counts, Stream

if TYPE_CHECKING:
    from mediator.workload.batch_shadow import BatchShadow
    from mediator.workload.view import AuditView

__all__ = ["Counts", "Stream", "audit_ring", "scan"]

_LONGEST: Final = 1 << 17
"""More dwords than any header can ask for."""

_Entry = tuple[Check | None, int, int, int, int]
"""Check (None: nothing to check), length mask, length bias, fewest and most dwords."""

_ENTRIES: Final[dict[str, dict[int, _Entry]]] = {}
"""By engine class, then by header bits 31:16: at most 65536 of them, each made once."""


class More(Protocol):
    """Where the commands of a batch come from."""

    def __call__(self, end: int) -> None:
        """Append to the stream until it has ``end`` dwords. Raises GuestError."""


def scan(stream: Stream, more: More | None = None) -> tuple[list[int], int]:
    """Audit and patch the commands of ``stream``; the dwords where they begin, and their end.

    Without ``more`` the stream is all there is, and its last command must end where it ends.
    With it the scan ends after the command behind which nothing is run. Raises GuestError.
    """
    dwords = stream.dwords
    entries = _ENTRIES.setdefault(stream.view.engine_class, {})
    known = entries.get
    starts: list[int] = []
    begin = starts.append
    end = len(dwords)
    index = noops = 0
    while True:
        if index >= end:
            if more is None:
                break
            more(index + 1)
            end = len(dwords)
        begin(index)
        dw0 = dwords[index]
        if not dw0:
            index += 1
            noops += 1
            continue
        entry = known(dw0 >> 16)
        if entry is None:
            entry = _entry(stream, index, entries)
        check, mask, bias, fewest, most = entry
        length = (dw0 & mask) + bias
        if not fewest <= length <= most:
            stream.refuse(Reason.BAD_COMMAND, index, f"of {length} dwords")
        after = index + length
        if after > end:
            if more is None:
                stream.refuse(Reason.BAD_COMMAND, index, f"of {length} dwords is cut off")
            more(after)
            end = len(dwords)
        at, index = index, after
        if check is not None and check(stream, at, length):
            break
    stream.counts.commands += len(starts) - noops
    return starts, index


def _entry(stream: Stream, at: int, entries: dict[int, _Entry]) -> _Entry:
    """How to audit commands with the header at dword ``at``; remembered."""
    dw0 = stream.dwords[at]
    found = decode(dw0, stream.view.engine_class)
    rule = None if found is None else RULES.get(found[0].name)
    if found is None or rule is None:
        stream.refuse(Reason.UNKNOWN_COMMAND, at, "is not known")
    row, (fewest, most) = found[0], rule.dwords or (1, _LONGEST)
    check = check_for(rule, dw0 >> 16)
    entry = (check, row.rule.mask, row.rule.bias, max(fewest, row.minimum), most)
    entries[dw0 >> 16] = entry
    return entry


def audit_ring(
    view: AuditView, batches: BatchShadow, ring: memoryview, head: int, tail: int
) -> Counts:
    """Audit the commands in ``ring`` from ``head`` up to ``tail``, and patch them in place.

    ``ring`` is the whole ring as dwords and already a private copy; head and tail are byte offsets
    in it, multiples of 4 and not the same; behind the end it goes on at the beginning. The batches
    with privilege that it starts are shadowed by ``batches``. Raises GuestError, and then nothing
    of the ring has been changed.
    """
    size = 4 * len(ring)
    if head == tail or (head | tail) & 3 or not (0 <= head < size and 0 <= tail < size):
        raise GuestError(Reason.RING, f"head {head:#x}, tail {tail:#x} in a ring of {size:#x}")
    first, last = head >> 2, tail >> 2
    counts = batches.begin()
    stream = Stream(view, counts, f"ring {head:#x}", in_ring=True)
    if first < last:
        stream.dwords = ring[first:last].tolist()
    else:
        stream.dwords = ring[first:].tolist() + ring[:last].tolist()
    scan(stream)
    for at, target in stream.jumps:
        stream.put(at + 1, batches.shadow(target), 0)
    if stream.patched:
        _write_back(stream.dwords, ring, first, last)
    return counts


def _write_back(dwords: list[int], ring: memoryview, first: int, last: int) -> None:
    patched = memoryview(array("I", dwords))
    if first < last:
        ring[first:last] = patched
        return
    before_end = len(ring) - first
    ring[first:] = patched[:before_end]
    ring[:last] = patched[before_end:]
