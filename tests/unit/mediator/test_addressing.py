"""Shadow and direct addressing: what is mapped where, recording, scrubbing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from errno import EEXIST, ENOSPC

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.pte import ADDRESS_BEYOND
from mediator.physical.gpu import DmaSpace
from mediator.physical.memory import Slab
from mediator.physical.partition import DMA_SIZE, GIB, MIB, Window
from mediator.physical.soft import SoftDmaSpace
from mediator.softgpu.address_space import PageFault, Ppgtt
from mediator.translation.addressing import Addressing
from mediator.translation.direct import DirectAddressing
from mediator.translation.shadow import ShadowAddressing
from mediator.translation.shared_space import SharedSpace
from mmio_trap.guest_memory import GuestAddressError, GuestMemory
from tests.guest_ram import PAGE, GuestRam, Tables

WINDOW = Window(64 * GIB, 64 * GIB)
SLAB_IOVA = 300 * GIB
SLAB_SIZE = 32 * PAGE


class Space:
    """A DMA space that only remembers."""

    def __init__(self) -> None:
        self.maps: dict[int, tuple[int, int, bool, bool]] = {}
        self.dirty: set[int] = set()
        self.recording = False
        self.closed = False
        self.trimmed = False
        self.full = False

    def map(
        self, iova: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        if self.full:
            raise OSError(EEXIST, "no")
        self.maps[iova] = (size, fd_offset, readable, writable)

    def unmap(self, iova: int, size: int) -> None:
        assert self.maps.pop(iova)[0] == size

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        for iova, size in ranges:
            self.unmap(iova, size)

    def start_recording(self) -> None:
        self.recording = True
        self.dirty.clear()

    def take_dirty(self) -> list[int]:
        taken = sorted(self.dirty)
        self.dirty.clear()
        return taken

    def stop_recording(self) -> None:
        self.recording = False

    def trim(self) -> None:
        self.trimmed = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def slab() -> Iterator[Slab]:
    made = Slab(SLAB_SIZE, SLAB_IOVA, 0, 16 * PAGE)
    yield made
    made.close()


@pytest.fixture
def space(slab: Slab) -> Space:
    made = Space()
    made.map(slab.iova, slab.size, slab.fd, 0, True, True)
    return made


@pytest.fixture
def ram() -> GuestRam:
    return GuestRam(16)


@pytest.fixture
def fd() -> Iterator[int]:
    made = os.memfd_create("more", os.MFD_ALLOW_SEALING)
    os.ftruncate(made, 16 * PAGE)
    yield made
    os.close(made)


def shadow(space: DmaSpace, slab: Slab, memory: GuestMemory) -> ShadowAddressing:
    return ShadowAddressing(space, WINDOW, slab, memory, lambda: None)


def direct(space: DmaSpace, slab: Slab, memory: GuestMemory) -> DirectAddressing:
    return DirectAddressing(space, slab, memory, lambda: None)


def both(space: Space, slab: Slab, memory: GuestMemory) -> list[tuple[Addressing, int]]:
    """Each way, with where it puts guest physical address 0."""
    return [(shadow(space, slab, memory), WINDOW.base), (direct(space, slab, memory), 0)]


def test_guest_memory_stands_where_iova_says(space: Space, slab: Slab, fd: int) -> None:
    memory = GuestMemory()
    for addressing, base in both(space, slab, memory):
        memory.set_watcher(addressing)
        memory.map(0x10_0000, 2 * PAGE, fd, PAGE, True, False)
        memory.map(0x20_0000, PAGE, None, 0, True, True)
        assert space.maps.pop(slab.iova)
        assert space.maps == {base + 0x10_0000: (2 * PAGE, PAGE, True, False)}
        assert addressing.iova(0x10_0000) == base + 0x10_0000
        memory.unmap_all()
        assert not space.maps
        space.map(slab.iova, slab.size, slab.fd, 0, True, True)


def reads(memory: GuestMemory, page: int) -> list[Callable[[], object]]:
    """Each way to read a page, alone and with a part of a neighbour."""
    return [
        lambda: memory.read(page, 8),
        lambda: memory.read_u32(page + PAGE - 4),
        lambda: memory.page_u32(page),
        lambda: memory.read(page - 4, 8),
        lambda: memory.read(page + PAGE - 4, 8),
    ]


def writes(memory: GuestMemory, page: int) -> list[Callable[[], object]]:
    """The same of writing."""
    return [
        lambda: memory.write(page + PAGE - 8, bytes(8)),
        lambda: memory.write_u32(page, 7),
        lambda: memory.write(page - 4, bytes(8)),
        lambda: memory.write(page + PAGE - 4, bytes(8)),
    ]


@pytest.mark.parametrize("readable", [False, True])
@pytest.mark.parametrize("writable", [False, True])
def test_the_gpu_may_do_with_memory_what_the_client_allows(
    slab: Slab, fd: int, readable: bool, writable: bool
) -> None:
    """Also when other memory touches it."""
    memory = GuestMemory()
    for make, base in ((shadow, WINDOW.base), (direct, 0)):
        space = SoftDmaSpace()
        memory.set_watcher(make(space, slab, memory))
        memory.map(0x10_0000, PAGE, fd, 0, True, True)
        memory.map(0x10_1000, PAGE, fd, PAGE, readable, writable)
        memory.map(0x10_2000, PAGE, fd, 2 * PAGE, True, True)
        for door, at in ((memory, 0x10_1000), (space.memory, base + 0x10_1000)):
            for may, attempts in ((readable, reads(door, at)), (writable, writes(door, at))):
                for attempt in attempts:
                    with nullcontext() if may else pytest.raises(GuestAddressError):
                        attempt()
        memory.unmap_all()
        memory.set_watcher(None)


def test_memory_past_the_window_is_refused(space: Space, slab: Slab, fd: int) -> None:
    memory = GuestMemory()
    addressing = shadow(space, slab, memory)
    memory.set_watcher(addressing)
    last = WINDOW.size - PAGE
    with pytest.raises(OSError, match=r"0xffffff000\+0x2000 reaches past 0x1000000000") as caught:
        memory.map(last, 2 * PAGE, fd, 0, True, True)
    assert caught.value.errno == ENOSPC
    assert addressing.iova(last, 2 * PAGE) is None
    memory.map(last, PAGE, fd, 0, True, True)
    assert addressing.iova(last) == WINDOW.base + last


@pytest.mark.parametrize(
    ("address", "pages"),
    [
        (SLAB_IOVA, 1),
        (SLAB_IOVA - PAGE, 2),
        (SLAB_IOVA + SLAB_SIZE - PAGE, 3),
        (DMA_SIZE, 1),
        (DMA_SIZE - PAGE, 2),
    ],
)
def test_memory_where_the_slab_stands_or_beyond_39_bits_is_refused(
    space: Space, slab: Slab, fd: int, address: int, pages: int
) -> None:
    memory = GuestMemory()
    addressing = direct(space, slab, memory)
    memory.set_watcher(addressing)
    with pytest.raises(OSError, match=f"{address:#x}") as caught:
        memory.map(address, pages * PAGE, fd, 0, True, True)
    assert caught.value.errno == ENOSPC
    assert len(space.maps) == 1
    assert addressing.iova(address, pages * PAGE) is None
    assert addressing.iova(-PAGE) is None
    memory.map(SLAB_IOVA - PAGE, PAGE, fd, 0, True, True)
    memory.map(SLAB_IOVA + SLAB_SIZE, PAGE, fd, 0, True, True)
    memory.map(DMA_SIZE - PAGE, PAGE, fd, 0, True, True)


def test_a_space_that_refuses(space: Space, slab: Slab, fd: int) -> None:
    memory = GuestMemory()
    for addressing, _ in both(space, slab, memory):
        memory.set_watcher(addressing)
        space.full = True
        with pytest.raises(OSError, match="no"):
            memory.map(0, PAGE, fd, 0, True, True)
        space.full = False
        memory.map(0, PAGE, fd, 0, True, True)
        memory.unmap_all()


def test_roots(space: Space, slab: Slab, ram: GuestRam) -> None:
    tables = Tables(ram)
    tables.map(0x5000, 0x7000)
    first = slab.iova + slab.ggtt_size
    shadowed, direct_one = shadow(space, slab, ram.memory), direct(space, slab, ram.memory)
    assert (shadowed.table_pages, direct_one.table_pages) == (0, 0)
    assert shadowed.root(tables.root) == first
    assert direct_one.root(tables.root | 5) == tables.root
    assert (shadowed.table_pages, direct_one.table_pages) == (4, 0)
    for addressing, _ in both(space, slab, ram.memory):
        beyond = [tables.root | 1 << bit for bit in range(ADDRESS_BEYOND.lo, ADDRESS_BEYOND.hi + 1)]
        for pml4 in (0, slab.iova, 1 << 40, *beyond):
            with pytest.raises(GuestError) as caught:
                addressing.root(pml4)
            assert caught.value.reason is Reason.PAGE_TABLE


def test_pages_written_are_the_guests_own(space: Space, slab: Slab, fd: int) -> None:
    memory = GuestMemory()
    for addressing, base in both(space, slab, memory):
        memory.set_watcher(addressing)
        memory.map(0x10_0000, 4 * PAGE, fd, 0, True, True)
        assert addressing.take_dirty() == []
        addressing.start_recording()
        assert space.recording
        memory.map(0x20_0000, PAGE, fd, 0, True, True)
        first = base // PAGE
        space.dirty |= {first + 0x103, first + 0x101, first + 0x104, first + 0x200}
        space.dirty |= {slab.iova // PAGE, base // PAGE - 1}
        memory.unmap(0x20_0000, PAGE)  # what was written there was the guest's all the same
        assert addressing.take_dirty() == [0x101, 0x103, 0x200]
        assert addressing.take_dirty() == []
        addressing.start_recording()
        space.dirty |= {first + 0x103, first + 0x200}
        assert addressing.take_dirty() == [0x103]
        addressing.stop_recording()
        assert not space.recording
        memory.unmap_all()


def test_a_gpu_in_the_space_finds_the_guests_pages(slab: Slab, fd: int) -> None:
    ram = GuestRam(16)
    ram.memory.unmap_all()
    for make in (shadow, direct):
        space = SoftDmaSpace()
        space.map(slab.iova, slab.size, slab.fd, 0, True, True)
        addressing = make(space, slab, ram.memory)
        ram.memory.set_watcher(addressing)
        ram.memory.map(ram.start, 16 * PAGE, fd, 0, True, True)
        tables = Tables(ram)
        page = ram.page()
        tables.map(0x1234_5000, page)
        gpu = Ppgtt(space.memory)
        gpu.load(addressing.root(tables.root))
        addressing.start_recording()
        gpu.write(0x1234_5008, b"from the GPU")
        assert ram.memory.read(page + 8, 12) == b"from the GPU"
        assert addressing.take_dirty() == [page // PAGE]
        ram.memory.unmap_all()
        with pytest.raises(PageFault):
            gpu.read(0x1234_5008, 1)
        addressing.close()
        space.close()


def test_a_world_switch_attaches(space: Space, slab: Slab) -> None:
    attached: list[str] = []
    memory = GuestMemory()
    for addressing in (
        ShadowAddressing(space, WINDOW, slab, memory, lambda: attached.append("shadow")),
        DirectAddressing(space, slab, memory, lambda: attached.append("direct")),
    ):
        addressing.activate()
        addressing.ask_in_use(lambda: [0])
    assert attached == ["shadow", "direct"]


def test_forgetting_scrubs_the_slab(space: Space, slab: Slab, ram: GuestRam) -> None:
    for addressing, _ in both(space, slab, ram.memory):
        addressing.root(ram.start)
        slab.bytes[:] = b"\xff" * slab.size
        addressing.forget()
        assert not any(slab.bytes[:])


def test_closing_takes_guest_memory_out(space: Space, slab: Slab, fd: int) -> None:
    memory = GuestMemory()
    for addressing, base in both(space, slab, memory):
        memory.set_watcher(addressing)
        memory.map(0, PAGE, fd, 0, True, True)
        memory.map(PAGE, PAGE, fd, 0, True, True)
        assert space.maps.keys() == {slab.iova, base, base + PAGE}
        memory.set_watcher(None)
        slab.bytes[0:1] = b"x"
        space.trimmed = False
        addressing.start_recording()
        addressing.close()
        assert not space.recording
        space.dirty.add(base // PAGE)
        assert addressing.take_dirty() == []
        assert slab.bytes[0:1] == b"\0"
        assert space.maps.keys() == {slab.iova}
        assert space.trimmed
        assert not space.closed
        memory.unmap_all()


def test_a_shared_log_is_divided(space: Space) -> None:
    shared = SharedSpace(space)
    windows = [Window(n * MIB, MIB) for n in (1, 2)]
    first, second = (shared.view(window) for window in windows)
    assert first.take_dirty() == []
    first.start_recording()
    space.dirty |= {0x100, 0x200, 5}
    second.start_recording()  # what was before is not its
    assert second.take_dirty() == []
    space.dirty |= {0x1FF, 0x2FF, 0x300}
    assert second.take_dirty() == [0x2FF]
    assert first.take_dirty() == [0x100, 0x1FF]
    first.close()
    assert space.recording
    space.dirty |= {0x101, 0x201}
    assert first.take_dirty() == []
    assert second.take_dirty() == [0x201]
    second.stop_recording()
    assert not space.recording
    first.map(MIB, PAGE, 0, 0, True, True)
    first.unmap(MIB, PAGE)
    assert not space.closed
