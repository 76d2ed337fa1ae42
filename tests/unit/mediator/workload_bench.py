"""Workloads over a slab of real memory and a guest that is a few pages: no GPU, no dispatcher."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import STATE_DWORDS, STATE_OFFSET, ImageIndex
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.physical.memory import Slab
from mediator.physical.partition import PAGE, SLAB_GGTT
from mediator.vgpu.execlist import Element
from mediator.vgpu.ggtt import GgttFault
from mediator.workload.saved_images import SavedImages
from mediator.workload.slot import Slot
from mediator.workload.workload import Workloads
from mmio_trap.guest_memory import GuestAddressError
from tests.unit.mediator.vgpu_fake import FakeVgpu

FACTS = next(facts for facts in ENGINES if facts.name == "vcs0")
SIZE = SLAB_GGTT
SLAB_IOVA, SLAB_AT = 0x40_0000_0000, 0x8400_0000
OWNED = range(1 << 20, 8 << 20)
LRCA, RING, BATCH = 0x20_0000, 0x30_0000, 0x40_0000
GUEST_PHYSICAL = 0x1_0000_0000
"""A guest's GGTT address and its guest physical address differ by this."""
PML4, ROOT, ROOT_STEP = 0x7000, 0x55_0000_0000, (1 << 32) + PAGE
"""Page tables of the guest; shadows of them are so many steps further."""
NEVER_RAN, HAS_RUN = 0x0009_0009, 0xFFFF_0008
STORE = 0x20 << 23 | 1 << 22 | 2


class FlatGgtt:
    """A guest's GGTT whose owned part is all memory."""

    def __init__(self) -> None:
        self.memory = bytearray(OWNED.stop)
        self.gone: set[int] = set()
        """Pages that have lost their memory."""
        self.reads: list[tuple[int, int]] = []

    def owns(self, address: int, length: int) -> bool:
        return address >= OWNED.start and address + length <= OWNED.stop

    def physical(self, address: int) -> int | None:
        if not self.owns(address, 1) or address & -PAGE in self.gone:
            return None
        return address + GUEST_PHYSICAL

    def read(self, address: int, length: int) -> bytes:
        for page in range(address & -PAGE, address + length, PAGE):
            if self.physical(page) is None:
                raise GgttFault(page)
        self.reads.append((address, length))
        return bytes(self.memory[address : address + length])

    def read_u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def guest_entries(self, page: int, count: int) -> bytes:
        """What `physical` says, in the form that entries have."""
        entries = (self.physical(n << 12) or 0 for n in range(page, page + count))
        return b"".join(entry.to_bytes(8, "little") for entry in entries)

    def hardware_entries(self, page: int, count: int) -> bytes:
        entries = (page + n << 12 | 1 for n in range(count))
        return b"".join(entry.to_bytes(8, "little") for entry in entries)


class Memory:
    """Guest physical memory behind the GGTT."""

    def __init__(self, ggtt: FlatGgtt) -> None:
        self.ggtt = ggtt
        self.refuses = False
        host = ctypes.addressof(ctypes.c_char.from_buffer(ggtt.memory))
        self.table = array("Q", [GUEST_PHYSICAL, GUEST_PHYSICAL + len(ggtt.memory), host, 3])
        self.dirty_bytes = None

    def read(self, address: int, length: int) -> bytes:
        at = address - GUEST_PHYSICAL
        if not 0 <= at < len(self.ggtt.memory):
            raise GuestAddressError(address, length, write=False)
        return bytes(self.ggtt.memory[at : at + length])

    def write(self, address: int, data: bytes) -> None:
        if self.refuses:
            raise GuestAddressError(address, len(data), write=True)
        at = address - GUEST_PHYSICAL
        if not 0 <= at < len(self.ggtt.memory):
            raise GuestAddressError(address, len(data), write=True)
        self.ggtt.memory[at : at + len(data)] = data


class FlatAddressing:
    """Page tables that are always the same."""

    def __init__(self, slab: Slab) -> None:
        self.slab = slab
        self.roots: list[int] = []
        self.steps = 1
        self.refuses = False

    def root(self, pml4: int) -> int:
        if self.refuses:
            raise GuestError(Reason.PAGE_TABLE, "nowhere")
        self.roots.append(pml4)
        return ROOT + self.steps * ROOT_STEP


class WorkloadVgpu(FakeVgpu):
    """The vGPU as workloads use it."""

    def __init__(self) -> None:
        super().__init__()
        slab = Slab(SIZE, SLAB_IOVA, SLAB_AT, SIZE)
        self.addressing = FlatAddressing(slab)
        self.ggtt = FlatGgtt()
        self.memory = Memory(self.ggtt)
        self.hardware_ggtt: dict[int, bytes] = {}
        self.saved_images = {facts.name: SavedImages() for facts in ENGINES}
        self.world = self
        self.is_settled = True
        self.asked: Callable[[], None] = lambda: None
        """What happens when it is asked whether hardware may have a context again."""

    def settled(self, _vgpu: object, _engine: str) -> bool:
        self.asked()
        return self.is_settled

    def golden(self, _engine: str) -> array[int]:
        return array("I", [0x6000_0000 + n for n in range(STATE_DWORDS)])

    def golden_pages(self, engine: str) -> bytes:
        facts = next(facts for facts in ENGINES if facts.name == engine)
        return b"".join(bytes([page]) * PAGE for page in range(2, facts.context_pages))

    def write_hardware_ggtt(self, page: int, entries: bytes | bytearray) -> None:
        self.hardware_ggtt[page] = bytes(entries)


class Bench:
    """One engine's workloads and one context of its guest."""

    def __init__(self, ring_pages: int = 2, facts: EngineFacts = FACTS) -> None:
        self.vgpu = WorkloadVgpu()
        vgpu: Any = self.vgpu
        self.works = Workloads(vgpu, facts)
        self.slot = self.works.slots[0]
        self.element = Element(1 << 37 | LRCA | 1 | 3 << 3 | 1 << 8)
        self.tail = 0
        self.size = ring_pages * PAGE
        for index, value in (
            (ImageIndex.CONTEXT_CONTROL, NEVER_RAN),
            (ImageIndex.RING_START, RING),
            (ImageIndex.RING_CTL, ring_pages - 1 << 12 | 1),
            (ImageIndex.PDP0_LDW, PML4),
        ):
            self.set(index, value)

    @property
    def slab(self) -> Slab:
        return self.vgpu.addressing.slab

    def close(self) -> None:
        self.slab.close()

    # -- the guest ------------------------------------------------------------------------------

    def put(self, address: int, dwords: Sequence[int]) -> None:
        data = array("I", dwords).tobytes()
        self.vgpu.ggtt.memory[address : address + len(data)] = data

    def set(self, index: int, value: int) -> None:
        """A dword of the guest's register state page."""
        self.put(LRCA + STATE_OFFSET + 4 * index, [value])

    def get(self, index: int) -> int:
        return self.vgpu.ggtt.read_u32(LRCA + STATE_OFFSET + 4 * index)

    def emit(self, dwords: Sequence[int]) -> None:
        """Put commands (an even number of dwords) into the ring, and move its tail."""
        assert not len(dwords) % 2
        for dword in dwords:
            self.put(RING + self.tail, [dword])
            self.tail = (self.tail + 4) % self.size
        self.set(ImageIndex.RING_TAIL, self.tail)

    # -- the mediator ---------------------------------------------------------------------------

    def build(self, slot: Slot | None = None) -> None:
        self.works.build(self.element, slot or self.slot)

    def shadow(self, index: int) -> int:
        """A dword of the shadow's register state page."""
        return self.slab.u32[(self.slot.state >> 2) + index]

    def shadow_ring(self, start: int, end: int) -> list[int]:
        """Dwords of the shadow ring, bytes ``start`` to ``end``."""
        first = self.slot.ring
        return self.slab.u32[first + start >> 2 : first + end >> 2].tolist()

    def guest_ring(self, start: int, end: int) -> list[int]:
        return array("I", bytes(self.vgpu.ggtt.memory[RING + start : RING + end])).tolist()

    def runs_to(self, head: int) -> None:
        """The hardware runs the shadow up to ``head``, is switched out and the shadow saved."""
        words, at = self.slab.u32, self.slot.state >> 2
        words[at + ImageIndex.RING_HEAD] = head
        words[at + ImageIndex.CTX_TIMESTAMP] += 100
        self.works.carry_back(self.slot)


def store(value: int) -> list[int]:
    """A privileged store into the guest's own memory."""
    return [STORE, BATCH + 0x100, 0, value]
