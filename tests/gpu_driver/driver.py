"""The driver itself: engines, GGTT, submission, interrupts, resets. Start at `GpuDriver`."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.gpu_driver.commands import MI_NOOP, MI_USER_INTERRUPT, invalidate, padded, post_sync
from tests.gpu_driver.context import RING_PAGES, Context, Request, context_pages, write_image
from tests.gpu_driver.memory import LOWEST, PAGE, GgttParts, PageTables, Ram
from tests.gpu_driver.ports import Ports
from tests.readiness import readable

GSM = 8 << 20
ENGINE_BASES = {"rcs0": 0x2000, "bcs0": 0x22000, "vcs0": 0x12000, "vecs0": 0x1A000}
RESET_BITS = {"rcs0": 1 << 1, "bcs0": 1 << 3, "vcs0": 1 << 2, "vecs0": 1 << 4}
FAULT_IDS = {"rcs0": 0, "bcs0": 4, "vcs0": 1, "vecs0": 3}
SEQNO_OFFSET = 0x100
"""Bytes into the status page at which requests write their sequence number."""

HWS_PGA, MI_MODE, IMR, EIR, EMR, RESET_CTL = 0x80, 0x9C, 0xA8, 0xB0, 0xB4, 0xD0
ELSP, STATUS_POINTER, RING_MODE = 0x230, 0x3A0, 0x29C
GDRST, FLUSH, MASTER, FAULT = 0x941C, 0x101008, 0x44200, 0x4094
PVINFO, PVINFO_MAGIC = 0x78000, 0x4776544776544776
BANKS = (0x44300, 0x44310, 0x44330)
_BANK_OF_MASTER_BIT = {0: 0x44300, 1: 0x44300, 2: 0x44310, 6: 0x44330}
_PATIENCE_S = 40.0
_SHORTEST_PAUSE_S = 50e-6
_LONGEST_PAUSE_S = 1e-3


class TimeoutOfTheGpu(AssertionError):
    """The GPU did not do in time what it should have."""


@dataclass
class GpuDriver:
    """Drives one GPU. ``write`` and ``read`` access BAR0; ``ram`` is memory the GPU can reach."""

    write: Callable[[int, bytes], None]
    read: Callable[[int, int], bytes]
    ram: Ram
    eventfd: int | None = None
    """Of the GPU's MSI, when waits should sleep on it rather than look at memory."""
    status_pages: dict[str, int] = field(default_factory=dict)
    ports: dict[str, Ports] = field(default_factory=dict)
    ggtt: GgttParts = field(default_factory=GgttParts)
    ballooned: bool = False
    """There is a PVINFO page: the GGTT is shared, and only some of it is this driver's."""
    interrupts: int = 0
    """Interrupts handled."""
    _next_identity: int = 1
    _timelines: tuple[int, int, int] = (0, 0, PAGE)
    """Page of timelines being used: guest address, GGTT address, next offset."""

    # -- registers ---------------------------------------------------------------------------

    def write32(self, offset: int, value: int) -> None:
        self.write(offset, struct.pack("<I", value))

    def read32(self, offset: int) -> int:
        return int(struct.unpack("<I", self.read(offset, 4))[0])

    def engine_read(self, engine: str, offset: int) -> int:
        return self.read32(ENGINE_BASES[engine] + offset)

    def engine_write(self, engine: str, offset: int, value: int) -> None:
        self.write32(ENGINE_BASES[engine] + offset, value)

    def wait_register(self, offset: int, mask: int, value: int) -> None:
        """Until the register's bits ``mask`` are ``value``."""
        wait_for(lambda: self.read32(offset) & mask == value, f"{offset:#x} & {mask:#x}")

    # -- the GGTT ----------------------------------------------------------------------------

    def detect(self) -> None:
        """Look for PVINFO, and keep to its slices of the GGTT."""
        self.ballooned = struct.unpack("<Q", self.read(PVINFO, 8))[0] == PVINFO_MAGIC
        if self.ballooned:
            low, low_size, high, high_size = struct.unpack("<4I", self.read(PVINFO + 0x40, 16))
            low, low_size = max(low, LOWEST), low_size - max(0, LOWEST - low)
            self.ggtt = GgttParts(range(low, low + low_size), range(high, high + high_size))

    def ggtt_write(self, address: int, *entries: int) -> None:
        """Write GGTT entries from that of ``address`` on, as they are."""
        for page, entry in enumerate(entries):
            self.write(GSM + 8 * ((address >> 12) + page), struct.pack("<Q", entry))
        self.write32(FLUSH, 1)

    def ggtt_entry(self, address: int) -> int:
        return int(struct.unpack("<Q", self.read(GSM + 8 * (address >> 12), 8))[0])

    def ggtt_map(self, physical: int, pages: int = 1, *, high: bool = False) -> int:
        """Bind guest pages into the GGTT; returns their GPU address."""
        address = self.ggtt.take(pages, high=high)
        self.ggtt_write(address, *(physical + page * PAGE | 1 for page in range(pages)))
        return address

    # -- engines -----------------------------------------------------------------------------

    def initialise(self) -> None:
        """Reset everything; then status pages, execution lists and interrupts of every engine."""
        self.detect()
        self.write32(MASTER, 0)
        self.reset(*ENGINE_BASES)
        for engine in ENGINE_BASES:
            page = self.ram.allocate()
            self.status_pages[engine] = page
            self.ports[engine] = Ports(self.ram, partial(write_port, self.write))
            self.start_engine(engine, self.ggtt_map(page))
        for bank in BANKS:
            self.write32(bank + 4, 0)
            self.write32(bank + 8, 0xFFFF_FFFF)
            self.write32(bank + 12, 0xFFFF_FFFF)
        self.write32(MASTER, 1 << 31)

    def start_engine(self, engine: str, status_page: int) -> None:
        """After a reset: status page, execution lists, masks, an empty status buffer."""
        self.ports[engine].page = self.status_pages[engine]
        self.ports[engine].reset()
        self.engine_write(engine, STATUS_POINTER, 0xFFFF << 16 | 5 << 8 | 5)
        self.engine_write(engine, HWS_PGA, status_page)
        self.engine_write(engine, RING_MODE, 1 << 31 | 1 << 15)
        self.engine_write(engine, MI_MODE, 1 << 24)
        self.engine_write(engine, IMR, 0)
        self.engine_write(engine, EMR, 0)

    def reset(self, *engines: str) -> None:
        """Stop these engines, ask them to be ready, reset them; all of them: a full reset."""
        for engine in engines:
            self.engine_write(engine, MI_MODE, 1 << 24 | 1 << 8)
            self.wait_register(ENGINE_BASES[engine] + MI_MODE, 1 << 9, 1 << 9)
        for engine in engines:
            self.engine_write(engine, RESET_CTL, 1 << 16 | 1)
            self.wait_register(ENGINE_BASES[engine] + RESET_CTL, 1 << 1, 1 << 1)
        full = len(engines) == len(ENGINE_BASES)
        bits = 1 if full else sum(RESET_BITS[engine] for engine in engines)
        self.write32(GDRST, bits)
        self.wait_register(GDRST, bits, 0)
        for engine in engines:
            self.engine_write(engine, RESET_CTL, 1 << 16)

    def error(self, engine: str) -> bool:
        """Does the engine report an error: an illegal command, or a page fault of its own?"""
        fault = self.read32(FAULT)
        faulted = bool(fault & 1) and fault >> 12 & 7 == FAULT_IDS[engine]
        return faulted or bool(self.engine_read(engine, EIR) & 1)

    def recover(self, engine: str, guilty: Context | None = None) -> None:
        """Engine reset as after a hang: the guilty context loses its work, others run again."""
        ports, page = self.ports[engine], self.engine_read(engine, HWS_PGA)
        self.reset(engine)
        self.write32(FAULT, 0)
        unwound = ports.reset()
        self.start_engine(engine, page)
        if guilty is not None:
            write_image(self.ram, guilty)
            guilty.requests = self.ram.read_u32(guilty.timeline)
        ports.queue = [c for c in (*unwound, *ports.queue) if c is not guilty]
        ports.process()

    # -- contexts and requests -----------------------------------------------------------------

    def create_context(
        self, engine: str, tables: PageTables | None = None, *, priority: int = 0
    ) -> Context:
        """A context whose first run inhibits the restore of engine state, as i915 makes them."""
        pages = context_pages(engine)
        physical = self.ram.allocate(pages)
        ring = self.ram.allocate(RING_PAGES)
        context = Context(
            engine,
            self._next_identity,
            self.ggtt_map(physical, pages, high=True),
            physical + PAGE,
            ring,
            self.ggtt_map(ring, RING_PAGES, high=True),
            tables or PageTables(self.ram),
            priority=priority,
        )
        self._next_identity += 1
        context.timeline, context.timeline_ggtt = self._take_timeline()
        write_image(self.ram, context)
        return context

    def _take_timeline(self) -> tuple[int, int]:
        page, address, offset = self._timelines
        if offset == PAGE:
            page, offset = self.ram.allocate(), 0
            address = self.ggtt_map(page)
        self._timelines = page, address, offset + 8
        return page + offset, address + offset

    def emit(self, context: Context, dwords: Sequence[int]) -> None:
        """Append commands to the ring (padded to a qword) and move the tail in the image.

        What does not fit before the ring's end goes to its beginning: no command stands across it.
        """
        left = (RING_PAGES * PAGE - context.tail) // 4
        fill = left if left < len(dwords) else 0
        for dword in (*[MI_NOOP] * fill, *padded(dwords)):
            self.ram.write_u32(context.ring + context.tail, dword)
            context.tail = (context.tail + 4) % (RING_PAGES * PAGE)
        self.ram.write_u32(context.value(0x07), context.tail)

    def submit(self, first: Context, second: Context | None = None) -> None:
        """Write the execution list submission port, by hand: whatever stands in the ports."""
        if first.engine in self.ports:
            self.ports[first.engine].pending = [first, second] if second else [first]
        write_port(self.write, first, second)

    def add_request(self, context: Context, dwords: Sequence[int] = ()) -> Request:
        """Put ``dwords`` into the ring as a request; `schedule` or `submit` lets it run."""
        context.requests += 1
        engine, number = context.engine, context.requests
        done = post_sync(engine, context.timeline_ggtt, number)
        emitted = [*invalidate(engine), *padded(dwords), *done, MI_USER_INTERRUPT, MI_NOOP]
        self.emit(context, emitted)
        return Request(context, number)

    def schedule(self, context: Context) -> None:
        """Let ``context`` run when its turn comes; it preempts what has less priority."""
        self.ports[context.engine].add(context)

    def run(self, context: Context, dwords: Sequence[int] = ()) -> Request:
        """`add_request` and `schedule`."""
        request = self.add_request(context, dwords)
        self.schedule(context)
        return request

    def done(self, request: Request) -> bool:
        return self.ram.read_u32(request.context.timeline) >= request.number

    def wait(self, *requests: Request, patience: float = _PATIENCE_S) -> None:
        """Until all are done, handling interrupts meanwhile."""
        what = ", ".join(f"request {r.number} on {r.context.engine}" for r in requests)
        self.wait_until(lambda: all(self.done(r) for r in requests), what, patience)

    def wait_idle(self, patience: float = _PATIENCE_S) -> None:
        """Until no context stands in a port."""
        every = self.ports.values()
        self.wait_until(lambda: all(ports.idle for ports in every), "idle engines", patience)

    def wait_until(
        self, condition: Callable[[], bool], what: str, patience: float = _PATIENCE_S
    ) -> None:
        """Until ``condition`` holds, handling interrupts (or, without MSI, looking) meanwhile."""
        ends, pause = time.monotonic() + patience, _SHORTEST_PAUSE_S
        while not condition():
            if time.monotonic() > ends:
                raise TimeoutOfTheGpu(f"waited in vain for {what}")
            if self.eventfd is None:
                self.process()
                time.sleep(pause)
            elif self._interrupted(pause):
                self.handle_interrupt()
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _interrupted(self, patience: float) -> bool:
        """Sleep until the eventfd, of any number, is written; for so many seconds at most."""
        assert self.eventfd is not None, "there is MSI"
        return readable(self.eventfd, patience)

    # -- interrupts ------------------------------------------------------------------------------

    def handle_interrupt(self) -> dict[int, int]:
        """As i915: master off, read and clear the banks that have events, master on.

        The events by bank. Events of the execution lists are taken in.
        """
        if self.eventfd is not None:
            try:
                os.eventfd_read(self.eventfd)
            except BlockingIOError:
                return {}
        self.interrupts += 1
        self.write32(MASTER, 0)
        master = self.read32(MASTER)
        found = {}
        for bank in {b for bit, b in _BANK_OF_MASTER_BIT.items() if master & 1 << bit}:
            found[bank] = self.read32(bank + 8)
            self.write32(bank + 8, found[bank])
        self.write32(MASTER, 1 << 31)
        # An event between reading and clearing its bank raises no other interrupt: be sure that
        # it is cleared before memory is looked at. (Real banks queue a second event.)
        self.read32(MASTER)
        self.process()
        return found

    def process(self) -> None:
        """Take in new status buffer events of every engine."""
        for ports in self.ports.values():
            ports.process()

    # -- by hand -----------------------------------------------------------------------------------

    def breadcrumb(self, engine: str, value: int) -> list[int]:
        """Commands that write ``value`` to the engine's status page and interrupt."""
        address = self.engine_read(engine, HWS_PGA) + SEQNO_OFFSET
        return [*post_sync(engine, address, value), MI_USER_INTERRUPT, MI_NOOP]

    def seqno(self, engine: str) -> int:
        return self.ram.read_u32(self.status_pages[engine] + SEQNO_OFFSET)

    def events(self, engine: str, since: int = 5) -> list[tuple[int, int]]:
        """Status buffer entries after entry ``since``, oldest first."""
        page = self.status_pages[engine]
        pointer = self.ram.read_u32(page + 0x7C)
        found = []
        while since != pointer:
            since = (since + 1) % 6
            at = page + 0x40 + 8 * since
            found.append((self.ram.read_u32(at), self.ram.read_u32(at + 4)))
        return found


def write_port(
    write: Callable[[int, bytes], None], first: Context, second: Context | None = None
) -> None:
    """The four dwords of a submission: the second context comes first."""
    port = ENGINE_BASES[first.engine] + ELSP
    for descriptor in (second.descriptor if second else 0, first.descriptor):
        for dword in (descriptor >> 32, descriptor & 0xFFFF_FFFF):
            write(port, struct.pack("<I", dword))


def wait_for(condition: Callable[[], bool], what: str, patience: float = _PATIENCE_S) -> None:
    """Poll until ``condition`` holds."""
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutOfTheGpu(f"waited in vain for {what}")
        time.sleep(_SHORTEST_PAUSE_S)
