"""A guest's memory and register policy as the command audit sees them, made up for tests."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from mediator.errors import GuestError, Reason
from mediator.gen9.engines import EngineClass
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import Counts, audit_ring
from mediator.workload.view import RegisterUse

BASES: dict[EngineClass, int] = {"RCS": 0x2000, "BCS": 0x22000, "VCS": 0x12000, "VECS": 0x1A000}
PAGE = 4096
FIRST = 0x10_0000
END = 0x20_0000
"""The vGPU owns the GGTT in between, and all of it is memory."""
STATUS_PAGE = FIRST
"""What the guest has in RING_HWS_PGA."""
SCRATCH = FIRST + 0x1000
BATCH = FIRST + 0x8000
FOREIGN = 0x30_0000
SHADOWS = 0x8000_0000
"""Where `place_batch` begins."""
ROOM_PAGES = 64

PASS, VIRTUAL, REFUSED = 0x2600, 0x20D4, 0xA188
"""A register of each kind, and what VIRTUAL holds."""
VALUE = 0x1234_5678
HWS_PGA = 0x80

NOOP = 0
BATCH_END = 0x0A << 23
USER = 1 << 8
SECOND_LEVEL = 1 << 22
START = 0x31 << 23 | 1


@dataclass
class FakeView:
    """Implements `AuditView`. ``policy`` overrides what registers are; others pass."""

    engine_class: EngineClass = "RCS"
    copies_user_batches: bool = False
    policy: dict[int, RegisterUse] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)
    """Of virtual registers."""
    pages: dict[int, bytearray] = field(default_factory=dict)
    """The guest's memory by GGTT address; others are zero."""
    user_pages: dict[int, bytearray] = field(default_factory=dict)
    """The same of the context's own space; there are no others."""
    reads: list[int] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    updates: list[tuple[int, list[int]]] = field(default_factory=list)
    passed: set[int] = field(default_factory=set)
    """Registers whose write was let through."""
    rooms: dict[int, memoryview] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    """Bytes that were asked for, by the address of the room; that has whole pages."""
    used: int = 0
    mmio_base: int = 0

    def __post_init__(self) -> None:
        self.mmio_base = BASES[self.engine_class]
        self.policy.setdefault(VIRTUAL, RegisterUse.VIRTUAL)
        self.policy.setdefault(REFUSED, RegisterUse.REFUSED)
        self.values.setdefault(VIRTUAL, VALUE)
        self.policy[self.mmio_base + HWS_PGA] = RegisterUse.VIRTUAL
        self.values[self.mmio_base + HWS_PGA] = STATUS_PAGE

    def owns(self, address: int, length: int) -> bool:
        return address >= FIRST and address + length <= END

    def read_ggtt(self, address: int, length: int) -> bytes:
        assert address % PAGE == 0
        assert length == PAGE
        assert self.owns(address, length)
        self.reads.append(address)
        return bytes(self.pages.get(address, bytearray(PAGE)))

    def read_user(self, address: int, copy: memoryview) -> int:
        done = 0
        while done < len(copy):
            at = (address + done) % (1 << 48)
            page = self.user_pages.get(at & -PAGE)
            if page is None:
                break
            piece = page[at % PAGE :][: len(copy) - done]
            copy[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def register_read(self, offset: int) -> tuple[RegisterUse, int]:
        assert 0 <= offset < 2 << 20
        assert not offset & 3
        return self.policy.get(offset, RegisterUse.PASS), self.values.get(offset, 0xDEAD)

    def register_write(self, offset: int, value: int) -> RegisterUse:
        use = self.register_target(offset)
        if use is RegisterUse.VIRTUAL:
            self.values[offset] = value
        return use

    def register_target(self, offset: int) -> RegisterUse:
        use = self.register_read(offset)[0]
        if use is RegisterUse.PASS:
            self.passed.add(offset)
        return use

    def place_batch(self, size: int, align: int) -> tuple[int, memoryview]:
        assert align in {64, PAGE}
        pages = -(-size // PAGE)
        if self.used + pages > ROOM_PAGES:
            raise GuestError(Reason.TOO_LARGE, "no room")
        address = SHADOWS + PAGE * self.used
        self.used += pages
        self.sizes[address] = size
        self.rooms[address] = room = memoryview(array("I", bytes(PAGE * pages)))
        return address, room

    def update_ggtt(self, address: int, entries: list[int]) -> None:
        self.updates.append((address, entries))

    def reject(self, reason: str, text: str) -> None:
        self.rejected.append((str(reason), text))

    def put(self, address: int, dwords: Sequence[int]) -> None:
        """Write ``dwords`` into guest memory at GGTT ``address``."""
        for i, byte in enumerate(struct.pack(f"<{len(dwords)}I", *dwords)):
            page = self.pages.setdefault((address + i) & -PAGE, bytearray(PAGE))
            page[(address + i) % PAGE] = byte

    def put_user(self, address: int, dwords: Sequence[int]) -> None:
        """Write ``dwords`` into the context's own space at ``address``, mapped with that."""
        for i, byte in enumerate(struct.pack(f"<{len(dwords)}I", *dwords)):
            at = (address + i) % (1 << 48)
            page = self.user_pages.setdefault(at & -PAGE, bytearray(PAGE))
            page[at % PAGE] = byte

    def placed(self, address: int, count: int) -> list[int]:
        """``count`` dwords of a shadow at hardware ``address``."""
        base = max(start for start in self.rooms if start <= address)
        first = (address - base) // 4
        return self.rooms[base][first : first + count].tolist()


@dataclass
class Audited:
    """One audit of a ring: what became of its commands."""

    view: FakeView
    batches: BatchShadow
    counts: Counts
    dwords: list[int]

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.view.rejected]


def audit(
    dwords: Sequence[int], view: FakeView | None = None, head: int = 0, ring_dwords: int = 1024
) -> Audited:
    """Audit ``dwords`` in a ring of ``ring_dwords``, put there from byte ``head`` on."""
    view = view or FakeView()
    batches = BatchShadow(view)
    guard = 0x7777_7777
    ring = memoryview(array("I", [guard] * ring_dwords))
    places = [(head // 4 + i) % ring_dwords for i in range(len(dwords))]
    for place, dword in zip(places, dwords, strict=True):
        ring[place] = dword
    tail = 4 * ((head // 4 + len(dwords)) % ring_dwords)
    counts = audit_ring(view, batches, ring, head, tail)
    outside = set(range(ring_dwords)) - set(places)
    assert all(ring[place] == guard for place in outside)
    return Audited(view, batches, counts, [ring[place] for place in places])


def refused(dwords: Sequence[int], view: FakeView | None = None) -> Reason:
    """The reason for which ``dwords`` in a ring are refused; AssertionError if they are not."""
    try:
        audit(dwords, view)
    except GuestError as error:
        return error.reason
    raise AssertionError("accepted")
