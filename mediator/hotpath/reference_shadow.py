"""Shadow page tables in Python: twin of ``shadow.c``, table for table and slot for slot.

Relaxed shadowing (gHyvi, USENIX ATC 2015, taken to its end): the guest writes its tables freely,
and a pass before each submission compares every table that can be reached with its last copy and
translates what changed. A table that several entries name is visited once a pass. Tables below a
changed entry are complete before the entry is stored, and an entry is stored at once, so that a
GPU that walks the shadow meanwhile finds an old or a new entry, never a third.

A table's shadow belongs to the guest's page and the level: whatever the guest's tables name, loops
included, the shadow's are at most four levels deep, and a free slot is used again at its level
only. A GPU that still holds the address of a freed table then finds entries of that level, and
never takes a table's address for a page's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mediator.gen9.pte import (
    ADDRESS,
    ADDRESS_BEYOND,
    INTERMEDIATE_PAGE_SIZE,
    LEVEL_SHIFTS,
    PAGE_64K_SHIFT,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_SIZE_BIT,
    PRESENT,
    TABLE_ENTRIES,
)
from mediator.hotpath.interface import (
    FAULT_REASONS,
    FaultKind,
    PageFault,
    ShadowCount,
    ShadowLevel,
    ShadowNode,
    ShadowTables,
    TablesFull,
)
from mmio_trap.guest_memory import GuestAddressError, GuestMemory

_FLAGS = PAGE_SIZE - 1
_STEP_64K = 1 << (PAGE_64K_SHIFT - PAGE_SHIFT)
_QWORD = (1 << 64) - 1


def shadow_sync(memory: GuestMemory, shadow: ShadowTables, pml4: int) -> int:
    """Bring the shadow of the tables under guest physical ``pml4`` up to date: its PML4's slot.

    Raises PageFault when the PML4 is not in guest memory, TablesFull.
    """
    if pml4 & ADDRESS_BEYOND.mask:
        raise PageFault(0, False, FAULT_REASONS[FaultKind.BEYOND_39_BITS])
    shadow.counts[ShadowCount.EPOCH] += 1
    address = pml4 & ADDRESS.mask
    found = _find(shadow, _key(address, ShadowLevel.PML4))
    slot = _Pass(memory, shadow).visit(address, ShadowLevel.PML4, found)
    if slot is None:
        raise PageFault(0, False, FAULT_REASONS[FaultKind.TABLE_NOT_IN_MEMORY])
    return slot


def shadow_keep(shadow: ShadowTables, roots: Collection[int]) -> None:
    """Free every slot that the shadows of the PML4s at guest physical ``roots`` do not reach."""
    counts = shadow.counts
    counts[ShadowCount.EPOCH] += 1
    for root in roots:
        found = _find(shadow, _key(root & ADDRESS.mask, ShadowLevel.PML4))
        if found is not None:
            _mark(shadow, found)
    shadow.index[:] = memoryview(bytes(4 * len(shadow.index))).cast("I")
    for slot in range(counts[ShadowCount.USED]):
        key = _node(shadow, slot, ShadowNode.KEY)
        if not key & 1:
            continue
        if _node(shadow, slot, ShadowNode.EPOCH) == counts[ShadowCount.EPOCH]:
            _enter(shadow, key, slot)
            continue
        head = _free_list(key)
        shadow.nodes[slot * ShadowNode.WORDS + ShadowNode.KEY] = counts[head] << 1
        counts[head] = slot + 1


@dataclass(slots=True)
class _Pass:
    """One pass over the tables under one PML4."""

    memory: GuestMemory
    shadow: ShadowTables

    def visit(self, address: int, level: ShadowLevel, slot: int | None) -> int | None:
        """Bring one table up to date: its slot, None when it is not in guest memory."""
        shadow = self.shadow
        try:
            guest = self.memory.page_u32(address)
        except GuestAddressError:
            return None
        if slot is None:
            slot = _take(shadow, _key(address, level))
        shadow.nodes[slot * ShadowNode.WORDS + ShadowNode.EPOCH] = shadow.counts[ShadowCount.EPOCH]
        shadow.counts[ShadowCount.VISITED] += 1
        with guest, guest.cast("B") as octets, octets.cast("Q") as entries:
            now = entries.tolist()
        if level >= ShadowLevel.PT:
            self._page_table(now, level, slot)
        else:
            self._directory(now, level, slot)
        return slot

    def _directory(self, now: list[int], level: ShadowLevel, slot: int) -> None:
        shadow = self.shadow
        start = slot * TABLE_ENTRIES
        last = result = 0
        for at, entry in enumerate(now, start):
            fresh = entry != shadow.copies[at] or shadow.rescan
            if _names_table(entry, level):
                if entry != last:
                    result = self._table(entry, level)
                    last = entry
                shadow.tables[at] = result
            elif fresh:
                shift = LEVEL_SHIFTS[level] if level else LEVEL_SHIFTS[ShadowLevel.PD]
                shadow.tables[at] = _translate_page(shadow, entry, shift)
            if fresh:
                shadow.copies[at] = entry
                shadow.counts[ShadowCount.TRANSLATED] += 1

    def _table(self, entry: int, level: ShadowLevel) -> int:
        """The shadow of an entry that names a table."""
        below = ShadowLevel(level + 1)
        if level is ShadowLevel.PD and entry & INTERMEDIATE_PAGE_SIZE:
            below = ShadowLevel.PT_64K
        address = entry & ADDRESS.mask
        shadow = self.shadow
        slot = _find(shadow, _key(address, below))
        passed = shadow.counts[ShadowCount.EPOCH]
        if slot is None or _node(shadow, slot, ShadowNode.EPOCH) != passed:
            slot = self.visit(address, below, slot)
        if slot is None:
            return 0
        return (shadow.iova + slot * PAGE_SIZE) | (entry & _FLAGS)

    def _page_table(self, now: list[int], level: ShadowLevel, slot: int) -> None:
        shadow = self.shadow
        start = slot * TABLE_ENTRIES
        step, shift = 1, PAGE_SHIFT
        if level is ShadowLevel.PT_64K:
            step, shift = _STEP_64K, PAGE_64K_SHIFT
        for at in range(0, TABLE_ENTRIES, step):
            entry = now[at]
            if entry == shadow.copies[start + at] and not shadow.rescan:
                continue
            shadow.copies[start + at] = entry
            shadow.tables[start + at] = _translate_page(shadow, entry, shift)
            shadow.counts[ShadowCount.TRANSLATED] += 1


def _names_table(entry: int, level: int) -> bool:
    large = entry & PAGE_SIZE_BIT and level in {ShadowLevel.PDP, ShadowLevel.PD}
    return bool(entry & PRESENT) and not entry & ADDRESS_BEYOND.mask and not large


def _translate_page(shadow: ShadowTables, entry: int, shift: int) -> int:
    """The shadow of an entry for a page of 1 << ``shift`` bytes; 0 when it leaves the window."""
    size = 1 << shift
    address = entry & ADDRESS.mask & -size
    if not entry & PRESENT:
        return 0
    if entry & ADDRESS_BEYOND.mask or address + size > shadow.window_size:
        shadow.counts[ShadowCount.REFUSED] += 1
        return 0
    return (shadow.window_base + address) | (entry & _FLAGS)


def _key(address: int, level: int) -> int:
    return address | level << 1 | 1


def _node(shadow: ShadowTables, slot: int, column: int) -> int:
    word: int = shadow.nodes[slot * ShadowNode.WORDS + column]
    return word


def _free_list(key: int) -> int:
    """The row of the free slots of a key's level; the two layouts of a page table are one."""
    return ShadowCount.FREE + min(key >> 1 & 7, ShadowLevel.PT)


def _start(shadow: ShadowTables, key: int) -> int:
    return ((key * shadow.multiplier & _QWORD) >> 32) & (len(shadow.index) - 1)


def _find(shadow: ShadowTables, key: int) -> int | None:
    at = _start(shadow, key)
    while shadow.index[at]:
        slot: int = shadow.index[at] - 1
        if _node(shadow, slot, ShadowNode.KEY) == key:
            return slot
        at = (at + 1) & (len(shadow.index) - 1)
    return None


def _enter(shadow: ShadowTables, key: int, slot: int) -> None:
    at = _start(shadow, key)
    while shadow.index[at]:
        at = (at + 1) & (len(shadow.index) - 1)
    shadow.index[at] = slot + 1


def _take(shadow: ShadowTables, key: int) -> int:
    """A slot with an empty table and an empty copy. Raises TablesFull."""
    counts = shadow.counts
    head = _free_list(key)
    if counts[head]:
        slot = counts[head] - 1
        counts[head] = _node(shadow, slot, ShadowNode.KEY) >> 1
        start = slot * TABLE_ENTRIES
        empty = memoryview(bytes(PAGE_SIZE)).cast("Q")
        shadow.tables[start : start + TABLE_ENTRIES] = empty
        shadow.copies[start : start + TABLE_ENTRIES] = empty
    elif counts[ShadowCount.USED] < shadow.slots:
        slot = counts[ShadowCount.USED]
        counts[ShadowCount.USED] += 1
    else:
        raise TablesFull
    shadow.nodes[slot * ShadowNode.WORDS + ShadowNode.KEY] = key
    _enter(shadow, key, slot)
    return slot


def _mark(shadow: ShadowTables, slot: int) -> None:
    """Note that this pass came by ``slot`` and everything below."""
    passed = shadow.counts[ShadowCount.EPOCH]
    if _node(shadow, slot, ShadowNode.EPOCH) == passed:
        return
    shadow.nodes[slot * ShadowNode.WORDS + ShadowNode.EPOCH] = passed
    level = _node(shadow, slot, ShadowNode.KEY) >> 1 & 7
    if level >= ShadowLevel.PT:
        return
    last = 0
    for entry in shadow.tables[slot * TABLE_ENTRIES : (slot + 1) * TABLE_ENTRIES].tolist():
        if entry != last and _names_table(entry, level):
            last = entry
            _mark(shadow, ((entry & ADDRESS.mask) - shadow.iova) >> PAGE_SHIFT)
