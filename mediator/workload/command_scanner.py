"""The walk over the commands of a ring, or of a privileged batch, that have been copied.

It runs while the guest waits for its submission, so a header that was seen before costs one dict
look-up, and most commands need no more. Any bytes end in a `GuestError` or in `Counts`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Protocol

from mediator import hotpath
from mediator.errors import GuestError, Reason
from mediator.gen9.commands import decode
from mediator.hotpath.interface import HEADERS, pack_entry
from mediator.workload.audit_rules import RULES
from mediator.workload.command_audit import Check, check_for
from mediator.workload.command_stream import CHECK_WORK, Counts, Stream
from mediator.workload.user_audit import user_check_for

if TYPE_CHECKING:
    from mediator.workload.batch_shadow import BatchShadow
    from mediator.workload.view import AuditView

__all__ = ["Counts", "Stream", "audit_ring", "scan"]

_LONGEST: Final = 1 << 17
"""More dwords than any header can ask for."""

_RUN: Final = 16
"""After so many commands that needed no look C passes over those that follow."""

_Entry = tuple[Check | None, int, int, int, int]
"""Check (None: nothing to check), length mask, length bias, fewest and most dwords."""


class _Known:
    """What is known of the commands of one engine class, with privilege or without."""

    def __init__(self) -> None:
        self.entries: dict[int, _Entry] = {}
        """By header bits 31:16: at most 65536 of them, each made once."""
        self.passed = array("Q", bytes(8 * HEADERS))
        """The same for C, of those that need no look."""


_KNOWN: Final[dict[tuple[str, bool], _Known]] = {}
"""By engine class and whether the commands are a user's."""


def _known(engine_class: str, user: bool) -> _Known:
    found = _KNOWN.get((engine_class, user))
    if found is None:
        found = _KNOWN[engine_class, user] = _Known()
    return found


class More(Protocol):
    """Where the commands of a batch come from."""

    def __call__(self, end: int) -> bool:
        """Append to the stream until it has ``end`` dwords or more. Raises GuestError.

        False: a page is missing before, at which hardware would fault.
        """


def scan(stream: Stream, more: More | None = None) -> tuple[bytearray, int]:
    """Audit and patch the commands of ``stream``; where they begin, and the dword of their end.

    The first is a byte for each dword, 1 where a command begins; from the end on they mean nothing.
    Without ``more`` the stream is all there is, and its last command must end where it ends. With
    it the scan ends after the command behind which nothing is run, or before one that is not all
    there. Raises GuestError.
    """
    dwords, spend = stream.dwords, stream.counts.spend
    table = _known(stream.view.engine_class, stream.user)
    entry_of = table.entries.get
    end = len(dwords)
    begins = stream.begins = bytearray(end)
    index = commands = 0
    left = _RUN
    while True:
        if index >= end:
            if more is None:
                break
            if not more(index + 1):
                break
            end = len(dwords)
            begins += bytes(end - len(begins))
        if not left:
            left = _RUN
            index, passed = hotpath.skip_commands(dwords, index, table.passed, begins)
            commands += passed
            continue
        begins[index] = 1
        dw0 = dwords[index]
        if not dw0:
            index += 1
            left -= 1
            continue
        entry = entry_of(dw0 >> 16) or _entry(stream, index, table)
        check, mask, bias, fewest, most = entry
        length = (dw0 & mask) + bias
        if not fewest <= length <= most:
            stream.refuse(Reason.BAD_COMMAND, index, f"of {length} dwords")
        after = index + length
        if after > end:
            if more is None:
                stream.refuse(Reason.BAD_COMMAND, index, f"of {length} dwords is cut off")
            if not more(after):
                break
            end = len(dwords)
            begins += bytes(end - len(begins))
        at, index = index, after
        commands += 1
        if check is None:
            left -= 1
        else:
            spend(CHECK_WORK + _RUN - left)
            left = _RUN
            if check(stream, at, length):
                break
    stream.arbitrate()
    stream.counts.commands += commands
    return begins, index


def _entry(stream: Stream, at: int, table: _Known) -> _Entry:
    """How to audit commands with the header at dword ``at``; remembered."""
    dw0 = stream.dwords[at]
    found = decode(dw0, stream.view.engine_class)
    rule = None if found is None else RULES.get(found[0].name)
    if found is None or rule is None:
        stream.refuse(Reason.UNKNOWN_COMMAND, at, "is not known")
    row, (fewest, most) = found[0], rule.dwords or (1, _LONGEST)
    key = dw0 >> 16
    check = user_check_for(row, rule, key) if stream.user else check_for(rule, key)
    entry = (check, row.rule.mask, row.rule.bias, max(fewest, row.minimum), most)
    table.entries[key] = entry
    if check is None:
        table.passed[key] = pack_entry(*entry[1:])
    return entry


def audit_ring(
    view: AuditView, batches: BatchShadow, ring: memoryview, head: int, tail: int
) -> Counts:
    """Audit the commands in ``ring`` from ``head`` up to ``tail``, and patch them in place.

    ``ring`` is the whole ring as dwords and already a private copy; head and tail are byte offsets
    in it, multiples of 4 and not the same; behind the end it goes on at the beginning, with a
    command of its own: what reads on behind the end finds something else there. The batches that
    it starts are shadowed by ``batches``, those without privilege where the view copies them.
    Raises GuestError, and then nothing of the ring has been changed.
    """
    size = 4 * len(ring)
    if head == tail or (head | tail) & 3 or not (0 <= head < size and 0 <= tail < size):
        raise GuestError(Reason.RING, f"head {head:#x}, tail {tail:#x} in a ring of {size:#x}")
    first, last = head >> 2, tail >> 2
    counts = batches.begin()
    stream = Stream(view, counts, f"ring {head:#x}", in_ring=True)
    if first < last:
        stream.dwords.frombytes(ring[first:last].tobytes())
    else:
        stream.dwords.frombytes(ring[first:].tobytes())
        stream.dwords.frombytes(ring[:last].tobytes())
    begins, _ = scan(stream)
    if last < first:
        _check_end(stream, begins, len(ring) - first)
    for at, target in stream.jumps:
        stream.put(at + 1, batches.shadow(target), 0)
    if stream.patched:
        _write_back(stream.dwords, ring, first, last)
    return counts


def _check_end(stream: Stream, begins: bytearray, end: int) -> None:
    """No command stands across dword ``end``, where the ring goes on at its beginning."""
    if end < len(begins) and not begins[end]:
        across = begins.rindex(1, 0, end)
        stream.refuse(Reason.BAD_COMMAND, across, "stands across the ring's end")


def _write_back(dwords: array[int], ring: memoryview, first: int, last: int) -> None:
    patched = memoryview(dwords)
    if first < last:
        ring[first:last] = patched
        return
    before_end = len(ring) - first
    ring[first:] = patched[:before_end]
    ring[:last] = patched[before_end:]
