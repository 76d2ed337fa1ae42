"""The command streamer: fetches commands from ring and batch buffers and carries them out.

Source: PRM SKL vol 3 (ring buffer, batch buffers), vol 7 (privilege). One streamer per engine;
its host is the engine, which decides what runs. The streamer holds no lock and no state of a
context outside `ContextState` and the host's registers, so a run may end after any command.

Guest memory may change at any time, so a command is copied out before it is looked at, and its
length is taken from the copy. Any bytes in ring or batch end in a `Stop`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from mediator.gen9.commands import decode
from mediator.softgpu.address_space import PageFault
from mediator.softgpu.command_set import HANDLERS, RUNS
from mediator.softgpu.context_state import (
    RING_OFFSET_MASK,
    RING_WRAP_UNIT,
    BatchState,
    ContextState,
)
from mediator.softgpu.outcome import Handler, IllegalCommand, Jump, Outcome, Run, Stop
from mediator.softgpu.pipeline_state import latch
from mediator.softgpu.predicate import ignores_predication, suppressed

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.command_host import CommandHost
    from mediator.softgpu.eu.dispatch.interrupted import Interrupted, Position

__all__ = ["Stop", "Streamer"]

_PAGE: Final = 4096
_PAGE_DWORDS: Final = _PAGE // 4
_PAGE_MASK: Final = ~(_PAGE - 1)
SLICE: Final = 64
"""Commands between two looks at `CommandHost.abandon`."""
_RING_VALID: Final = 1 << 0
_RING_PAGES_SHIFT: Final = 12
_RING_PAGES_MASK: Final = 0x1FF
_TAIL_MASK: Final = RING_OFFSET_MASK & ~7
_ADDRESS_MASK: Final = (1 << 48) - 1
_WRAPS_MASK: Final = 0xFFFF_FFFF & ~(RING_WRAP_UNIT - 1)
_RUN_DWORDS: Final = 32
"""So many dwords must follow before a run of one command is looked for."""

_NO_PAGE: Final = memoryview(b"").cast("I")

_Entry = tuple[Handler | None, int, int, int, str, defaultdict[str, int], Run | None]
"""Handler (None: pass over), length mask, length bias, fewest dwords, name, where it counts."""


def _place(context: ContextState) -> Position:
    """Where ``context`` stands. A batch in the GGTT may be a copy, whose address may change."""
    ring = context.ring.head & RING_OFFSET_MASK
    first, second = (
        each.address if each.active and each.ppgtt else 0
        for each in (context.batch, context.second)
    )
    return ring, first, second


class Streamer:
    """Parses and executes the commands of one engine.

    ``run`` is called by one thread at a time, with the guest memory held against unmapping.
    The other public attributes are for command handlers.
    """

    __slots__ = (
        "_base",
        "_batch",
        "_budget",
        "_commands",
        "_entries",
        "_in_runs",
        "_limit",
        "_loop_target",
        "_loop_work",
        "_page",
        "_privileged_entries",
        "_ring_offset",
        "_user_entries",
        "_went_on",
        "context",
        "host",
        "index",
        "jump_target",
        "mmio_base",
        "passive",
        "privileged",
    )

    privileged: bool
    """The command comes from the ring or from a batch in the GGTT."""
    index: int
    """Dword of the command in the page it begins in."""
    passive: int
    """Commands of this run without effect: a loop of these alone spins."""
    jump_target: int
    """Where the last jump went."""
    _entries: dict[int, _Entry]
    _page: memoryview
    _limit: int
    _base: int
    _ring_offset: int
    _batch: BatchState | None
    _budget: int
    _in_runs: bool
    _commands: int
    _loop_target: int
    _loop_work: int
    _went_on: Interrupted | None

    def __init__(self, host: CommandHost) -> None:
        self.host = host
        self.mmio_base = host.mmio_base
        self.context = ContextState()
        self._privileged_entries: dict[int, _Entry] = {}
        self._user_entries: dict[int, _Entry] = {}

    # -- running -----------------------------------------------------------------------------

    def run(self, context: ContextState, quantum: int) -> Stop:
        """Carry out up to ``quantum`` commands of ``context``, which is left where they end.

        Runs of MI_NOOP and the jump to another page cost one command each. Up to `SLICE` the
        quantum is exact; above, many of one command in a row may go past it.
        """
        self.context = context
        context.spinning = False
        self._budget = quantum
        self._in_runs = quantum > SLICE
        self._commands = self.passive = 0
        self._loop_target = -1
        self._went_on, context.interrupted = context.interrupted, None
        try:
            if self._went_on is not None and self._went_on.position != _place(context):
                self._forget()  # as after a reset: the driver has moved it
            return self._run(quantum)
        except PageFault as fault:
            return self._hang(f"page fault: {fault}", fault)
        except IllegalCommand as error:
            self.host.counters.illegal += 1
            return self._hang(str(error), None)
        finally:
            self._page = _NO_PAGE
            self._forget()

    def _run(self, quantum: int) -> Stop:
        host = self.host
        while True:
            if host.abandon:
                return Stop.ATTENTION
            if self._budget <= 0 or (host.pause and self._budget < quantum):
                return Stop.QUANTUM
            self._budget -= 1
            if not self._seek():
                return Stop.RING_EMPTY
            if self.context.predicate and suppressed(self):
                outcome = self._parse_suppressed()
            else:
                outcome = self._parse()
            if outcome is None or outcome is Jump.FORWARD:
                continue
            if outcome is Jump.BACK:
                if self._spins():
                    self.context.spinning = True
                    return Stop.QUANTUM
                continue
            self._store_position()
            return outcome

    def _parse(self) -> Outcome:
        """Carry out commands of the current page; None at its end or after a slice."""
        page, index, limit = self._page, self.index, self._limit
        entries = self._entries
        given = self.host.pipeline.given
        # Under predication each command may change what becomes of the next.
        left = longest = 1 if self.context.predicate else min(SLICE, self._budget + 1)
        try:
            while left and index < limit:
                dw0 = page[index]
                if not dw0:
                    index += 1
                    if index < limit and not page[index]:
                        index = self._skip_noops(index)
                    continue
                left -= 1
                self.index = index
                entry = entries.get(dw0 >> 16)
                if entry is None:
                    entry = self._entry(dw0)
                handler, mask, bias, minimum, name, counts, run = entry
                length = (dw0 & mask) + bias
                if length < minimum:
                    raise IllegalCommand(f"{name} of {length} dwords, needs {minimum}")
                end = index + length
                if handler is None:
                    if end > limit:
                        self._check_complete(name, length)
                elif (
                    handler is latch
                    and end <= limit
                    and given.get(dw0 >> 16) == page[index:end].tobytes()
                ):
                    pass  # drivers say many things again
                else:
                    if end <= limit:
                        command = page[index:end].tolist()
                        command[0] = dw0
                    else:
                        command = self._gather(name, dw0, length)
                    outcome = handler(self, command)
                    if outcome is not None:
                        if self.index != index or isinstance(outcome, Jump):
                            counts[name] += 1  # else it is to go on
                        return outcome
                counts[name] += 1
                index = end
                if (
                    run is not None
                    and self._in_runs
                    and end + _RUN_DWORDS <= limit
                    and page[end] == dw0
                ):
                    done = run(self, page[end:limit])
                    counts[name] += done
                    index += done * length
        except (PageFault, IllegalCommand):
            self._store_position()
            raise
        finally:
            used = longest - left
            self._commands += used
            self._budget -= used
        self.index = index
        self._store_position()
        return None

    def _parse_suppressed(self) -> Outcome:
        """Pass over one command that predication turns into a no-operation."""
        index = self.index
        dw0 = self._page[index]
        if not dw0:
            self.index = index + 1
            self._store_position()
            return None
        handler, mask, bias, minimum, name, counts, _run = self._entry(dw0)
        length = max((dw0 & mask) + bias, minimum)
        if handler is not None and ignores_predication(name):
            counts[name] += 1
            outcome = handler(self, self._gather(name, dw0, length))
            if outcome is not None:
                return outcome
        else:
            self._check_complete(name, length)
            self.host.counters.predicated[name] += 1
        self._commands += 1
        self.passive += 1
        self.index = index + length
        self._store_position()
        return None

    def _skip_noops(self, index: int) -> int:
        """The first dword from ``index`` on that is not 0, or the end of what is known."""
        rest = self._page[index : self._limit].tobytes()
        return index + (len(rest) - len(rest.lstrip(b"\0"))) // 4

    def _spins(self) -> bool:
        """The jump just taken was taken before with nothing done in between."""
        work = self._commands - self.passive
        again = self.jump_target == self._loop_target and work == self._loop_work
        self._loop_target, self._loop_work = self.jump_target, work
        return again

    def _hang(self, reason: str, fault: PageFault | None) -> Stop:
        command = self._page[self.index] if self.index < len(self._page) else None
        self.host.hang(reason, address=self.address, command=command, fault=fault)
        return Stop.HUNG

    @property
    def left(self) -> int:
        """Commands of the last run's quantum that it did not use."""
        return max(self._budget, 0)

    # -- decoding ----------------------------------------------------------------------------

    def _entry(self, dw0: int) -> _Entry:
        """How to treat headers with the upper half of ``dw0``; remembered for this privilege."""
        decoded = decode(dw0, self.host.engine_class)
        if decoded is None:
            raise IllegalCommand(f"illegal command {dw0:#010x} on {self.host.name}")
        row, counters = decoded[0], self.host.counters
        handler = HANDLERS.get(row.name)
        counts = counters.skipped if handler in (None, latch) else counters.executed
        if row.privileged and not self.privileged:
            handler, counts = None, counters.dropped
        run = None if handler is None else RUNS.get(row.name)
        entry = (handler, row.rule.mask, row.rule.bias, row.minimum, row.name, counts, run)
        self._entries[dw0 >> 16] = entry
        return entry

    # -- position ----------------------------------------------------------------------------

    @property
    def address(self) -> int:
        """GPU address of the current command."""
        return (self._base + 4 * self.index) & _ADDRESS_MASK

    @property
    def ring_head(self) -> int:
        """RING_HEAD as it stands before the current command."""
        if self._batch is None:
            self._store_position()
        return self.context.ring.head

    def advance(self, dwords: int) -> None:
        """Let the parent of a batch that is about to start go on ``dwords`` further."""
        self.index += dwords
        self._store_position()

    def _forget(self) -> None:
        """The command at which the context was interrupted is not the one that it stands at."""
        if self._went_on is not None:
            self.host.units.forget(self._went_on)
            self._went_on = None

    @property
    def place(self) -> Position:
        """Where the current command stands, as an image can say it."""
        self._store_position()
        return _place(self.context)

    @property
    def goes_on(self) -> bool:
        """The current command was interrupted, and goes on now."""
        return self._went_on is not None and self._went_on.position == self.place

    def charge(self, commands: int, dwords: int) -> Outcome:
        """Let the current command, which has ``dwords``, count as so many more ``commands``.

        What its handler is to return: `Stop.QUANTUM`, with the next run behind the command, when
        the quantum is used up by that.
        """
        self._budget -= commands
        if self._budget > 0:
            return None
        self.index += dwords
        return Stop.QUANTUM

    def take_interrupted(self) -> Interrupted | None:
        """What the current command did before it was interrupted, to go on with."""
        if not self.goes_on:
            return None
        found, self._went_on = self._went_on, None
        return found

    def _seek(self) -> bool:
        """Open the page at the current position; False when the ring is empty."""
        context = self.context
        batch: BatchState | None
        if context.second.active:
            batch = context.second
        elif context.batch.active:
            batch = context.batch
        else:
            batch = None
        self._batch = batch
        if batch is None:
            self.privileged = True
            self._entries = self._privileged_entries
            return self._seek_ring()
        space: AddressSpace
        space = self.host.ppgtt if batch.ppgtt else self.host.ggtt
        self.privileged = not (batch.ppgtt and self.host.privilege.checked)
        self._entries = self._privileged_entries if self.privileged else self._user_entries
        self._base = batch.address & _PAGE_MASK
        self.index = (batch.address & (_PAGE - 1)) >> 2
        self._limit = _PAGE_DWORDS
        self._page = _NO_PAGE
        self._page = space.page(batch.address)
        return True

    def _seek_ring(self) -> bool:
        ring = self.context.ring
        self._page = _NO_PAGE
        self.index = 0
        self._base = ring.start
        if not ring.control & _RING_VALID:
            raise IllegalCommand("the ring is not enabled")
        size = self._ring_size()
        head = ring.head & RING_OFFSET_MASK
        tail = ring.tail & _TAIL_MASK
        if head >= size or tail >= size:
            raise IllegalCommand(f"ring head {head:#x} or tail {tail:#x} outside {size:#x} bytes")
        if head == tail:
            return False
        offset = head & _PAGE_MASK
        self._ring_offset = offset
        self._base = ring.start + offset
        self.index = (head - offset) >> 2
        left = (tail - head) % size
        self._limit = min(_PAGE_DWORDS, self.index + left // 4)
        self._page = self.host.ggtt.page(self._base)
        return True

    def _ring_size(self) -> int:
        pages = (self.context.ring.control >> _RING_PAGES_SHIFT & _RING_PAGES_MASK) + 1
        return pages * _PAGE

    def _store_position(self) -> None:
        """Write the place of the next command, `index`, into the context."""
        batch = self._batch
        if batch is not None:
            batch.address = (self._base + 4 * self.index) & _ADDRESS_MASK
            return
        ring = self.context.ring
        offset = self._ring_offset + 4 * self.index
        size = self._ring_size()
        wraps = ring.head & _WRAPS_MASK
        while offset >= size:
            offset -= size
            wraps = (wraps + RING_WRAP_UNIT) & _WRAPS_MASK
        ring.head = wraps | offset

    def _check_complete(self, name: str, length: int) -> None:
        """A command in the ring must end at or before the tail, unless the engine reads on."""
        if self._batch is not None or self.host.reads_on:
            return
        ring = self.context.ring
        offset = self._ring_offset + 4 * self.index
        left = ((ring.tail & _TAIL_MASK) - offset) % self._ring_size()
        if 4 * length > left:
            raise IllegalCommand(f"{name} of {length} dwords runs past the ring's tail")

    def _gather(self, name: str, dw0: int, length: int) -> list[int]:
        """Copy a command that may cross a page, or the end of the ring."""
        self._check_complete(name, length)
        if self._batch is None:
            data = self._gather_ring(4 * length)
        else:
            space = self.host.ppgtt if self._batch.ppgtt else self.host.ggtt
            data = space.read(self.address, 4 * length)
        command = array("I", data).tolist()
        command[0] = dw0
        return command

    def _gather_ring(self, length: int) -> bytes:
        start, size = self.context.ring.start, self._ring_size()
        offset = self._ring_offset + 4 * self.index
        first = length if self.host.reads_on else min(length, size - offset)
        data = self.host.ggtt.read(start + offset, first)
        if first < length:
            data += self.host.ggtt.read(start, length - first)
        return data

    # -- for command handlers ----------------------------------------------------------------

    def space(self, *, use_global: int) -> AddressSpace:
        """The GGTT, or the context's own address space."""
        return self.host.ggtt if use_global else self.host.ppgtt

    def refuse_global(self, name: str, use_global: int) -> bool:
        """True, and counted, when a user batch asks for the GGTT: then nothing happens."""
        if use_global and not self.privileged:
            self.host.counters.dropped[f"{name} GGTT"] += 1
            return True
        return False

    def write_register(self, offset: int, value: int) -> None:
        """Write the register at BAR0 ``offset`` if the batch may; drop and count it if not."""
        if self.privileged or self.host.privilege.may_write(offset):
            self.host.write_register(offset, value)
        else:
            self.host.counters.dropped[f"register {offset:#x}"] += 1

    def read_register_u64(self, offset: int) -> int:
        """Two dwords at BAR0 ``offset``."""
        host = self.host
        return host.read_register(offset) | host.read_register(offset + 4) << 32
