"""What one client's memory may take of the process: addresses, mappings, ranges."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from errno import ENOSPC

import pytest

from mmio_trap.guest_memory import PAGE_SIZE, GuestMemory
from mmio_trap.mapped_file import UNIT
from mmio_trap.memory_budget import MemoryBudget, fair_budget
from tests.unit.mmio_trap.guest_file import mapped_bytes, mappings

TIB = 1 << 40
SPARSE = TIB


@pytest.fixture
def sparse() -> Iterator[Callable[[], int]]:
    """Makes files of a TiB without a page in them."""
    with ExitStack() as stack:

        def make() -> int:
            fd = os.memfd_create("sparse", os.MFD_ALLOW_SEALING)
            stack.callback(os.close, fd)
            os.ftruncate(fd, SPARSE)
            return fd

        yield make


def _map(memory: GuestMemory, page: int, fd: int, offset: int = 0, pages: int = 1) -> None:
    memory.map(page * PAGE_SIZE, pages * PAGE_SIZE, fd, offset, True, True)


def test_two_hundred_files_of_a_tebibyte(memory: GuestMemory, sparse: Callable[[], int]) -> None:
    """A page of each: the whole of them would be more than all addresses of a process."""
    fds = [sparse() for _ in range(200)]
    for page, fd in enumerate(fds):
        _map(memory, page, fd, SPARSE - PAGE_SIZE)
        memory.write_u32(page * PAGE_SIZE, page)
    assert [memory.read_u32(page * PAGE_SIZE) for page in range(200)] == list(range(200))
    assert mapped_bytes("sparse") == 200 * UNIT
    memory.close()
    assert mapped_bytes("sparse") == 0


def test_ranges_of_one_unit_are_one_mapping(memory: GuestMemory, sparse: Callable[[], int]) -> None:
    fd = sparse()
    for page in range(100):
        _map(memory, page, fd, UNIT + page * 7919 * PAGE_SIZE % UNIT)
    assert (mappings("sparse"), mapped_bytes("sparse")) == (1, UNIT)
    _map(memory, 1000, fd, UNIT - PAGE_SIZE, 2)
    assert mapped_bytes("sparse") == 3 * UNIT
    memory.write(1000 * PAGE_SIZE, bytes(range(256)) * 32)
    assert os.pread(fd, 256, UNIT) == bytes(range(256))


def test_address_space_of_a_client(sparse: Callable[[], int]) -> None:
    memory = GuestMemory(budget=MemoryBudget(address_space=3 * UNIT))
    fds = [sparse() for _ in range(4)]
    for page, fd in enumerate(fds[:3]):
        _map(memory, page, fd)
    with pytest.raises(OSError, match="3072 MiB are this client's budget") as caught:
        _map(memory, 3, fds[3])
    assert caught.value.errno == ENOSPC
    assert mapped_bytes("sparse") == 3 * UNIT
    memory.unmap(0, PAGE_SIZE)
    _map(memory, 3, fds[3])  # what is kept for later makes room
    assert mapped_bytes("sparse") == 3 * UNIT
    memory.close()


def test_what_does_not_fit_as_a_unit_fits_as_it_is(sparse: Callable[[], int]) -> None:
    memory = GuestMemory(budget=MemoryBudget(address_space=UNIT + 2 * PAGE_SIZE))
    fds = [sparse(), sparse()]
    _map(memory, 0, fds[0])
    _map(memory, 1, fds[1], 5 * PAGE_SIZE, 2)
    assert mapped_bytes("sparse") == UNIT + 2 * PAGE_SIZE
    memory.write(PAGE_SIZE, b"here")
    assert os.pread(fds[1], 4, 5 * PAGE_SIZE) == b"here"
    memory.close()


def test_mappings_of_a_client(sparse: Callable[[], int]) -> None:
    memory = GuestMemory(budget=MemoryBudget(mappings=2))
    fd = sparse()
    _map(memory, 0, fd, 0)
    _map(memory, 1, fd, UNIT)
    with pytest.raises(OSError, match="more than 2 mapped parts of files") as caught:
        _map(memory, 2, fd, 2 * UNIT)
    assert caught.value.errno == ENOSPC
    _map(memory, 2, fd, 2 * PAGE_SIZE)
    memory.close()


def test_one_clients_budget_is_not_anothers(sparse: Callable[[], int]) -> None:
    budget = MemoryBudget(ranges=2, mappings=1, address_space=UNIT)
    first, second = GuestMemory(budget=budget), GuestMemory(budget=budget)
    for memory in (first, second):
        _map(memory, 0, sparse())
        with pytest.raises(OSError, match="budget"):
            _map(memory, 1, sparse())
        memory.map(PAGE_SIZE, PAGE_SIZE, None, 0, True, True)
        with pytest.raises(OSError, match="more than 2 ranges, this client's budget"):
            memory.map(2 * PAGE_SIZE, PAGE_SIZE, None, 0, True, True)
    first.close()
    second.close()


def test_memories_share_a_mapping_and_each_pays_for_it(sparse: Callable[[], int]) -> None:
    """What a client offers, and what the GPU reaches of it."""
    budget = MemoryBudget(address_space=UNIT)
    client, gpu = GuestMemory(budget=budget), GuestMemory(budget=budget)
    fd = sparse()
    _map(client, 0, fd)
    _map(gpu, 77, fd, 99 * PAGE_SIZE)
    assert mappings("sparse") == 1
    client.close()
    gpu.write_u32(77 * PAGE_SIZE, 5)
    assert os.pread(fd, 1, 99 * PAGE_SIZE) == b"\5"
    with pytest.raises(OSError, match="budget"):
        _map(gpu, 78, fd, UNIT)
    gpu.close()
    assert mappings("sparse") == 0


def test_a_refused_map_takes_nothing(sparse: Callable[[], int]) -> None:
    memory = GuestMemory(budget=MemoryBudget(address_space=PAGE_SIZE))
    fd = sparse()
    for _ in range(3):
        with pytest.raises(OSError, match="budget"):
            _map(memory, 0, fd, 0, 2)
    _map(memory, 0, fd)
    memory.close()
    assert mappings("sparse") == 0


class _Shared:
    """Puts what a client offers into the space of all, at an address of its own."""

    def __init__(self, space: GuestMemory, base: int) -> None:
        self.space = space
        self.base = base

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        self.space.map(self.base + address, size, fd, fd_offset, readable, writable)

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.space.unmap_each([(self.base + address, size) for address, size in ranges])


def test_the_space_of_all_has_room_for_the_ranges_of_all(memory: GuestMemory) -> None:
    for page in range(70_000):
        memory.map(page * PAGE_SIZE, PAGE_SIZE, None, 0, True, True)
    assert len(memory.table) == 4 * 70_000


def test_all_of_a_client_goes_in_one_change(sparse: Callable[[], int]) -> None:
    """Who uses the space of all waits once, not for each range; others' ranges stay."""
    space, count = GuestMemory(), 500
    clients = [GuestMemory(budget=MemoryBudget(ranges=count)) for _ in range(2)]
    for number, client in enumerate(clients):
        client.set_watcher(_Shared(space, number * PAGE_SIZE))
        fd = sparse()
        for page in range(count):
            _map(client, 2 * page, fd, page * PAGE_SIZE)
        with pytest.raises(OSError, match="500 ranges, this client's budget"):
            _map(client, 2 * count, fd)
    assert len(space.table) == 4 * 2 * count
    generation = space.generation
    clients[0].unmap_all()
    assert space.generation == generation + 1
    assert space.table[0::4].tolist() == [(2 * page + 1) * PAGE_SIZE for page in range(count)]
    for memory in (*clients, space):
        memory.close()
    assert mappings("sparse") == 0


@pytest.mark.parametrize("clients", [1, 2, 31, 62, 1984])
def test_what_a_process_can_grant(clients: int) -> None:
    budget = fair_budget(clients)
    assert clients * budget.address_space <= 96 * TIB
    assert clients * budget.mappings < 65530
    assert budget.ranges == 65535
    assert budget.mappings > 0
    assert clients > 31 or (budget.mappings, budget.address_space) == (1024, TIB)
