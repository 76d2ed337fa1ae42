"""The memory map: many files, many ranges, wrong ones, under work; files of every kind."""

from __future__ import annotations

import os
import select
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mmio_trap.vfio_user.protocol import DmaFlag, DmaMap, RequestError
from tests.fuzz.hostile_guest.attacker_guest import RAM_SIZE, AttackerGuest, descriptor
from tests.fuzz.hostile_guest.chance import Chance
from tests.gpu_driver import PAGE

_GIB, _DMA_END = 1 << 30, 1 << 39


def _memfd(size: int) -> int:
    fd = os.memfd_create("attack", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    return fd


def _map(guest: AttackerGuest, address: int, size: int, fd: int | None, offset: int = 0) -> None:
    guest.client.dma_map(address, size, fd, offset)
    guest.maps.append((address, size))


def _place(guest: AttackerGuest, size: int) -> int:
    """A guest physical address where nothing is."""
    at = guest.next_map
    guest.next_map += -(-size // PAGE) * PAGE + PAGE
    return at


def many_sparse_files(guest: AttackerGuest, chance: Chance) -> None:
    """Each of a great size, of which little is mapped: a server's address space is not endless."""
    size = chance.choice((_GIB, 64 * _GIB, 1 << 40, 1 << 42))
    for _ in range(chance.choice((3, 40, 400))):
        fd = _memfd(size)
        try:
            _map(guest, _place(guest, PAGE), PAGE, fd, chance.choice((0, size - PAGE)))
        finally:
            os.close(fd)


def many_ranges(guest: AttackerGuest, chance: Chance) -> None:
    """Of one file: pages with a gap between them."""
    count = chance.choice((10, 500, 5000))
    fd = _memfd(2 * count * PAGE)
    try:
        for number in range(count):
            _map(guest, _place(guest, PAGE), PAGE, fd, 2 * number * PAGE)
    finally:
        os.close(fd)


def many_small_files(guest: AttackerGuest, chance: Chance) -> None:
    """A descriptor for each page."""
    for _ in range(chance.choice((10, 200, 1500))):
        fd = _memfd(PAGE)
        try:
            _map(guest, _place(guest, PAGE), PAGE, fd)
        finally:
            os.close(fd)


def wrong_ranges(guest: AttackerGuest, chance: Chance) -> None:
    """Overlapping, unaligned, empty, endless, past the file's end, without access."""
    fd = _memfd(64 * PAGE)
    try:
        for _ in range(chance.randrange(1, 10)):
            address = chance.choice(
                (0, PAGE, RAM_SIZE - PAGE, 1 << 36, 1 << 38, (1 << 39) - PAGE, chance.edge_64())
            )
            size = chance.choice((0, 1, PAGE, 64 * PAGE, 65 * PAGE, 1 << 48, chance.edge_64()))
            offset = chance.choice((0, 1, PAGE, 64 * PAGE, chance.edge_64()))
            flags = chance.choice((0, 1, 2, 3, chance.edge()))
            asked = DmaMap(DmaMap.LAYOUT.size, flags, offset, address, size)
            with suppress(RequestError):
                guest.client.request(2, asked.pack(), (fd,) if chance.randrange(4) else ())
    finally:
        os.close(fd)
    guest.maps.append((1 << 36, 64 * PAGE))


def unmap_under_work(guest: AttackerGuest, chance: Chance) -> None:
    """All memory goes while contexts run, and comes back, perhaps as another file."""
    for context in guest.contexts[:4]:
        guest.driver.submit(context)
    guest.client.dma_unmap(0, RAM_SIZE)
    if guest.contexts and chance.once_in(2):
        guest.driver.submit(chance.choice(guest.contexts))
    if chance.once_in(4):
        fd = _memfd(RAM_SIZE)
        try:
            guest.client.dma_map(0, RAM_SIZE, fd)
        finally:
            os.close(fd)
        guest.client.dma_unmap(0, RAM_SIZE)
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)


def read_only_memory(guest: AttackerGuest, chance: Chance) -> None:
    """The memory comes back without the right to write, or without any."""
    guest.client.dma_unmap(0, RAM_SIZE)
    flags = chance.choice((DmaFlag.READ, DmaFlag.WRITE, 0))
    with suppress(RequestError):
        guest.client.dma_map(0, RAM_SIZE, guest.ram.fd, flags=flags)
    for context in guest.contexts[:3]:
        guest.driver.submit(context)
    with suppress(RequestError):
        guest.client.dma_unmap(0, RAM_SIZE)
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)


def in_pieces(guest: AttackerGuest, chance: Chance) -> None:
    """RAM of many pieces, some of which are missing, with different rights."""
    guest.client.dma_unmap(0, RAM_SIZE)
    piece = chance.choice((PAGE, 16 * PAGE, 1 << 20))
    count = min(RAM_SIZE // piece, 256)
    for number in range(count):
        if chance.randrange(16):
            flags = 3 if chance.randrange(8) else 1
            at = number * piece
            guest.client.dma_map(at, piece, guest.ram.fd, at, flags)
    for context in guest.contexts[:3]:
        guest.driver.submit(context)
    guest.client.dma_unmap(0, RAM_SIZE)
    guest.client.dma_map(0, RAM_SIZE, guest.ram.fd)


def unmap_extra(guest: AttackerGuest, chance: Chance) -> None:
    """What was mapped beside the RAM, in one message or one by one, or what was never there."""
    if chance.once_in(2):
        guest.client.dma_unmap(_GIB, _DMA_END - _GIB)
        guest.maps = []
        return
    for _ in range(min(20, len(guest.maps))):
        address, size = guest.maps.pop(chance.randrange(len(guest.maps)))
        with suppress(RequestError):
            guest.client.dma_unmap(address, chance.choice((size, size, PAGE, 2 * size)))


def change_the_file(guest: AttackerGuest, chance: Chance) -> None:
    """A mapped file is made shorter, or loses its pages, while the GPU may use it."""
    size = 16 * PAGE
    fd = _memfd(size)
    try:
        at = _place(guest, size)
        _map(guest, at, size, fd)
        if guest.contexts:
            context = chance.choice(guest.contexts)
            context.tables.map(0x5000_0000, at, 8)
            guest.driver.submit(context)
        with suppress(OSError):
            os.ftruncate(fd, chance.choice((0, PAGE)))
        with suppress(OSError):
            os.pwrite(fd, b"\1", 0)
    finally:
        os.close(fd)


def _socket() -> int:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach()


def _pipe_end(which: int) -> int:
    ends = os.pipe()
    os.close(ends[1 - which])
    return ends[which]


def _regular_file(flags: int) -> int:
    fd, path = tempfile.mkstemp()
    os.ftruncate(fd, 16 * PAGE)
    again = os.open(path, flags)
    os.close(fd)
    Path(path).unlink()
    return again


def _epoll() -> int:
    watch = select.epoll()
    fd = os.dup(watch.fileno())
    watch.close()
    return fd


KINDS: tuple[Callable[[], int], ...] = (
    _socket,
    _epoll,
    lambda: _pipe_end(0),
    lambda: _pipe_end(1),
    lambda: os.eventfd(0),
    lambda: os.open("/dev/null", os.O_RDWR),
    lambda: os.open("/dev/zero", os.O_RDWR),
    lambda: os.open("/proc/self/mem", os.O_RDWR),
    lambda: os.open("/proc/self/maps", os.O_RDONLY),
    lambda: os.open(tempfile.gettempdir(), os.O_RDONLY),
    lambda: os.open(tempfile.gettempdir(), os.O_PATH),
    lambda: _regular_file(os.O_RDWR),
    lambda: _regular_file(os.O_RDONLY),
    lambda: _regular_file(os.O_WRONLY),
    lambda: os.memfd_create("unsealable"),
)
"""Makers of descriptors that are no guest memory as a client should offer it."""


def other_files(guest: AttackerGuest, chance: Chance) -> None:
    """Descriptors that are no memory."""
    for _ in range(chance.randrange(1, 6)):
        fd = chance.choice(KINDS)()
        with suppress(RequestError):
            _map(guest, _place(guest, PAGE), PAGE, fd)
        descriptor(guest, fd)
