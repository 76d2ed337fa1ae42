"""Shadow page tables: C against Python, and both against what the guest's tables say.

After each pass the guest's tree and the shadow's are compared entry by entry, by page and level, so
for every address at once. Tables are a few pages that name one another at random: trees, loops,
one page at several levels, scratch tables, garbage.
"""

from __future__ import annotations

import os
import random
import threading
from array import array
from dataclasses import dataclass, field
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference_shadow
from mediator.hotpath.interface import PageFault, ShadowTables, TablesFull
from mmio_trap.guest_memory import GuestMemory

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

PAGE = 4096
RAM = 0x20_0000
PAGES = 8
LOST = RAM + (PAGES - 2) * PAGE
"""The last two pages of RAM come and go."""
IOVA = 0x40_0000_0000
PRESENT, WRITABLE, LARGE, IPS = 1, 2, 1 << 7, 1 << 11
FRAME = (1 << 39) - PAGE
BEYOND = (1 << 46) - (1 << 39)
_SPREAD = 0x9E37_79B9_7F4A_7C15
"""A multiplier of the hash; 1 puts all keys into one place."""
_GONE, _UNREADABLE = 1, 2
LEVELS = {0: 39, 1: 30, 2: 21, 3: 12, 4: 16}


def _side(slots: int, window: tuple[int, int], rescan: bool, multiplier: int) -> ShadowTables:
    base, size = window
    return ShadowTables(
        memoryview(bytearray(slots * PAGE)).cast("Q"),
        memoryview(bytearray(slots * PAGE)).cast("Q"),
        memoryview(bytearray(slots * 16)).cast("Q"),
        memoryview(bytearray(4 << (2 * slots - 1).bit_length())).cast("I"),
        array("Q", [0] * 9),
        IOVA,
        base,
        size,
        multiplier,
        rescan,
    )


@dataclass
class World:
    """A guest's RAM and the two sides that shadow its tables."""

    slots: int
    window: tuple[int, int]
    rescan: bool
    multiplier: int = _SPREAD
    memory: GuestMemory = field(default_factory=GuestMemory)
    lost: int = 0
    """What the last two pages are: 0 there, `_GONE`, `_UNREADABLE`."""

    def __post_init__(self) -> None:
        self.fd = os.memfd_create("tables")
        os.ftruncate(self.fd, PAGES * PAGE)
        self.memory.map(RAM, (PAGES - 2) * PAGE, self.fd, 0, True, True)
        self.memory.map(LOST, 2 * PAGE, self.fd, (PAGES - 2) * PAGE, True, True)
        self.sides: list[tuple[ModuleType, ShadowTables]] = [
            (side, _side(self.slots, self.window, self.rescan, self.multiplier))
            for side in (reference_shadow, native)
        ]

    def close(self) -> None:
        self.memory.close()
        os.close(self.fd)

    def lose(self) -> None:
        """The last pages go, come back where nobody may read them, and come back."""
        if self.lost != _GONE:
            self.memory.unmap(LOST, 2 * PAGE)
        self.lost = (self.lost + 1) % 3
        if self.lost != _GONE:
            readable = self.lost != _UNREADABLE
            self.memory.map(LOST, 2 * PAGE, self.fd, (PAGES - 2) * PAGE, readable, True)

    def write(self, page: int, at: int, count: int, entry: int) -> None:
        data = entry.to_bytes(8, "little") * min(count, 512 - at)
        os.pwrite(self.fd, data, page * PAGE + at * 8)

    def sync(self, pml4: int) -> int | str:
        answers: list[int | str] = []
        for side, shadow in self.sides:
            try:
                answers.append(side.shadow_sync(self.memory, shadow, pml4))
            except PageFault as fault:
                answers.append(fault.reason)
            except TablesFull:
                answers.append("full")
        assert answers[0] == answers[1]
        self.check_sides()
        return answers[0]

    def keep(self, roots: list[int]) -> None:
        for side, shadow in self.sides:
            side.shadow_keep(shadow, roots)
        self.check_sides()

    def check_sides(self) -> None:
        (_, ours), (_, theirs) = self.sides
        assert ours.tables == theirs.tables
        assert ours.copies == theirs.copies
        assert ours.nodes == theirs.nodes
        assert ours.index == theirs.index
        assert ours.counts == theirs.counts

    def guest_table(self, address: int) -> list[int] | None:
        try:
            data = self.memory.read(address, PAGE)
        except LookupError:
            return None
        return memoryview(data).cast("Q").tolist()

    def shadow_table(self, address: int) -> list[int]:
        slot, offset = divmod(address - IOVA, PAGE)
        assert 0 <= slot < self.slots
        assert offset == 0
        return self.sides[0][1].tables[slot * 512 : (slot + 1) * 512].tolist()

    def check_walk(self, pml4: int, slot: int) -> None:
        """The shadow in ``slot`` says of every address what the guest's tables say."""
        seen: set[tuple[int, int, int]] = set()
        waiting = [(pml4 & FRAME, 0, IOVA + slot * PAGE)]
        while waiting:
            guest, level, shadow = waiting.pop()
            if (guest, level, shadow) in seen:
                continue
            seen.add((guest, level, shadow))
            table = self.guest_table(guest)
            assert table is not None
            for index, (said, done) in enumerate(
                zip(table, self.shadow_table(shadow), strict=True)
            ):
                if not (said or done) or (level == 4 and index % 16):
                    continue
                below = self.check_entry(said, level, done)
                if below is not None:
                    waiting.append((said & FRAME, below, done & FRAME))

    def check_entry(self, said: int, level: int, done: int) -> int | None:
        """Compare one entry; the level of the table it names, if it names one."""
        base, size = self.window
        leaf = level >= 3 or (level in {1, 2} and said & LARGE)
        if not said & PRESENT or said & BEYOND:
            assert not done & PRESENT
        elif leaf:
            bytes_ = 1 << LEVELS[level]
            frame = said & FRAME & ~(bytes_ - 1)
            if frame + bytes_ > size:
                assert not done & PRESENT
            else:
                assert done == base + frame | said & 0xFFF
        elif self.guest_table(said & FRAME) is None:
            assert not done & PRESENT
        else:
            assert done & 0xFFF == said & 0xFFF
            return 4 if level == 2 and said & IPS else level + 1
        return None

    def check_safe(self, shadow: ShadowTables | None = None) -> None:
        """Whatever is current or not: an entry names a table of the next level or the window."""
        shadow = shadow or self.sides[0][1]
        base, size = self.window
        for slot in range(shadow.counts[1]):
            key = shadow.nodes[2 * slot]
            if not key & 1:
                continue
            level = key >> 1 & 7
            for entry in set(shadow.tables[slot * 512 : (slot + 1) * 512].tolist()) - {0}:
                assert entry & PRESENT
                at = entry & FRAME
                if level >= 3 or (level in {1, 2} and entry & LARGE):
                    assert base <= at <= base + size - (1 << LEVELS[level])
                else:
                    child = shadow.nodes[2 * ((at - IOVA) // PAGE)]
                    assert child & 1
                    assert min(child >> 1 & 7, 3) == level + 1


_flags = st.sampled_from([3, 3, 3, 1, 0, 2, 3 | IPS, 3 | LARGE, 3 | LARGE | IPS, 0x1B])
_high = st.sampled_from([0, 0, 0, 0, 1 << 39, 1 << 45, 1 << 46, 1 << 63])
_table_entry = st.builds(
    lambda page, flags, high: RAM + page * PAGE | flags | high,
    st.integers(0, PAGES),
    _flags,
    _high,
)
WINDOWS = ((1 << 21, 1 << 21), (1 << 22, 1 << 22), (1 << 37, 1 << 37))
"""Base and size: a page of 2 MiB fits the first just so."""
_EDGES = [
    size - back
    for _, size in WINDOWS
    for back in (0, PAGE, 1 << 16, (1 << 16) + PAGE, 1 << 21, 1 << 30)
    if back <= size
]
"""Where a page of each size fits the window for the last time, and where it does not."""
_page_entry = st.builds(
    lambda frame, flags, high: frame | flags | high,
    st.sampled_from([0, PAGE, 0xF000, 0x4000_0000, 0x7FFF_F000, FRAME, *_EDGES]),
    _flags,
    _high,
)
_entry = st.one_of(_table_entry, _table_entry, _page_entry, st.integers(0, 2**64 - 1))
_at = st.sampled_from([0, 1, 2, 15, 16, 17, 255, 510, 511])
_write = st.tuples(
    st.just("write"),
    st.integers(0, PAGES - 1),
    _at,
    st.sampled_from([1, 1, 1, 2, 512]),
    _entry,
)


@st.composite
def _spine(draw: st.DrawFn) -> list[tuple[str, int, int, int, int]]:
    """Writes that make a tree of all levels under page 0, with pages at each where they can be."""
    pages = [0, *draw(st.lists(st.integers(0, PAGES - 1), min_size=3, max_size=3))]
    if draw(st.booleans()):
        pages = [0, 1, 2, 3]
    writes = []
    for level, (page, below) in enumerate(zip(pages, [*pages[1:], 0], strict=True)):
        writes.append(("write", page, 3, draw(st.sampled_from([1, 1, 300])), draw(_page_entry)))
        writes.append(("write", page, draw(_at), 1, draw(_page_entry)))
        if level < 3:
            flags = draw(st.sampled_from([3, 3, 1, 3 | IPS])) if level == 2 else 3
            count = draw(st.sampled_from([1, 1, 500]))
            writes.append(("write", page, 4, count, RAM + below * PAGE | flags))
            if level == 2 and draw(st.booleans()):
                writes.append(("write", page, 5, 1, RAM + below * PAGE | flags ^ IPS))
    return writes


_root = st.integers(0, PAGES - 1).map(lambda page: RAM + page * PAGE)
_sync = st.tuples(
    st.just("sync"),
    st.one_of(_root, _root, _root, st.sampled_from([0, RAM - PAGE, RAM + 7, RAM | 1 << 40])),
)
_keep = st.tuples(st.just("keep"), st.lists(_root, max_size=3))
_step = st.one_of(_write, _write, _write, _sync, _sync, _keep, st.just(("lose",)))


@settings(max_examples=120, deadline=None)
@given(
    slots=st.sampled_from([4, 12, 64]),
    window=st.sampled_from(WINDOWS),
    rescan=st.sampled_from([False, False, True]),
    multiplier=st.sampled_from([_SPREAD, _SPREAD, 1, 0xFFFF_FFFF_0000_0001]),
    spine=_spine(),
    first=st.lists(_write, max_size=6),
    steps=st.lists(_step, max_size=14),
)
def test_the_shadow_says_what_the_guests_tables_say(
    slots: int,
    window: tuple[int, int],
    rescan: bool,
    multiplier: int,
    spine: list[tuple[str, int, int, int, int]],
    first: list[tuple[str, int, int, int, int]],
    steps: list[tuple[object, ...]],
) -> None:
    world = World(slots, window, rescan, multiplier)
    try:
        for what, *given_ in [*spine, *first, ("sync", RAM), *steps, ("sync", RAM)]:
            if what == "write":
                world.write(*given_)  # type: ignore[arg-type]
            elif what == "keep":
                world.keep(*given_)  # type: ignore[arg-type]
            elif what == "lose":
                world.lose()
            else:
                (pml4,) = given_
                assert isinstance(pml4, int)
                slot = world.sync(pml4)
                if slot == "full":
                    world.keep([])
                    world.check_safe()
                    slot = world.sync(pml4)
                if isinstance(slot, int):
                    assert world.guest_table(pml4 & FRAME) is not None
                    assert not pml4 & BEYOND
                    world.check_walk(pml4, slot)
            world.check_safe()
    finally:
        world.close()


def test_unchanged_tables_are_compared_and_not_translated() -> None:
    world = World(16, (1 << 37, 1 << 37), False)
    try:
        for level in range(3):
            world.write(level, 0, 512, RAM + (level + 1) * PAGE | 3)
        world.write(3, 0, 512, RAM | 3)
        assert world.sync(RAM) == 0
        assert world.sides[0][1].counts[3:5].tolist() == [4 * 512, 4]
        world.sync(RAM)
        assert world.sides[0][1].counts[3:5].tolist() == [4 * 512, 8]
        world.write(3, 7, 1, 0)
        world.sync(RAM)
        assert world.sides[0][1].counts[3:5].tolist() == [4 * 512 + 1, 12]
    finally:
        world.close()


def test_tables_that_the_guest_writes_meanwhile() -> None:
    """However a pass and the guest's writes fall together, what is there is safe and then right."""
    world = World(64, (1 << 37, 1 << 37), False)
    native_side, shadow = world.sides[1]
    passes = 0

    def write() -> None:
        chance = random.Random(1)
        for _ in range(20_000):
            target = RAM + chance.randrange(PAGES + 1) * PAGE
            entry = target | chance.choice([0, 1, 3, 3 | IPS, 3 | LARGE])
            world.write(chance.randrange(PAGES), chance.randrange(512), 1, entry)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive():
            native_side.shadow_sync(world.memory, shadow, RAM)
            passes += 1
            if not passes % 16:
                world.check_safe(shadow)
    finally:
        writer.join()
    world.sides[0] = world.sides[1]
    slot = native_side.shadow_sync(world.memory, shadow, RAM)
    world.check_walk(RAM, slot)
    world.check_safe(shadow)
    world.close()
