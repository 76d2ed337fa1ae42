"""A small address space with surfaces in it, for tests of the EU's messages."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.message_port import Call, Messages
from mediator.softgpu.eu.messages.python_messages import PythonMessages
from mmio_trap.guest_memory import GuestMemory
from tests.property.page_world import PlainSpace

PAGE = 4096
RAM = 0x10_0000
"""Guest physical address of the first page."""
TABLE_PAGES = 4
"""PML4, PDP, PD, PT."""
PAGES = 16
"""Pages of data; GPU page n is the n-th of them."""
BASE = 0x1234_5600_0000
"""GPU address of the first page of data."""
READ_ONLY, ABSENT = 14, 15
"""Pages that are not as the others."""
STATES = BASE + 12 * PAGE
"""Surface state base: the binding table first, surface states from 0x800 on."""
BASES = Bases(
    surface=STATES,
    dynamic=STATES + 0x600,
    general=BASE,
    general_size=ABSENT * PAGE + PAGE,
    binding_table=STATES,
    sampler_table=STATES + 0x400,
)
NULL_SURFACE = struct.pack("<16I", 7 << 29, *(0,) * 15)


@dataclass
class World:
    """Guest memory, its page tables and a space over them."""

    memory: GuestMemory = field(default_factory=GuestMemory)

    def __post_init__(self) -> None:
        size = (TABLE_PAGES + PAGES) * PAGE
        fd = os.memfd_create("eu")
        os.ftruncate(fd, size)
        self.memory.map(RAM, size, fd, 0, True, True)
        self.ram = mmap.mmap(fd, size)
        os.close(fd)
        self.space = PlainSpace(self.memory, (1 << 48) - 1, root=RAM)
        for level, shift in enumerate((39, 30, 21)):
            self._entry(level, BASE >> shift, RAM + (level + 1) * PAGE | 3)
        for page in range(PAGES):
            flags = {READ_ONLY: 1, ABSENT: 0}.get(page, 3)
            self._entry(3, (BASE >> 12) + page, RAM + (TABLE_PAGES + page) * PAGE | flags)

    def _entry(self, table: int, index: int, entry: int) -> None:
        struct.pack_into("<Q", self.ram, table * PAGE + 8 * (index & 511), entry)

    def repeat(self, pages: int) -> None:
        """Let the first ``pages`` follow the last one again and again, to the page table's end."""
        for page in range(PAGES, 512):
            self._entry(3, page, RAM + (TABLE_PAGES + page % pages) * PAGE | 3)

    def point(self, page: int, entry: int) -> None:
        """Let the page table say ``entry`` of a page from `BASE` on."""
        self._entry(3, page, entry)

    def put(self, address: int, data: bytes) -> None:
        """Write ``data`` at a GPU address."""
        at = address - BASE + TABLE_PAGES * PAGE
        self.ram[at : at + len(data)] = data

    def get(self, address: int, size: int) -> bytes:
        """What is at a GPU address."""
        at = address - BASE + TABLE_PAGES * PAGE
        return self.ram[at : at + size]

    def bind(self, index: int, state: bytes) -> None:
        """Let entry ``index`` of the binding table name the surface ``state``."""
        offset = 0x800 + 64 * index
        self.put(STATES + offset, state)
        self.put(STATES + 4 * index, struct.pack("<I", offset))

    def close(self) -> None:
        """Let go of everything."""
        self.memory.close()
        self.ram.close()


def buffer_state(address: int, size: int) -> bytes:
    """RENDER_SURFACE_STATE of a raw buffer of ``size`` bytes."""
    last = size - 1
    dwords = [0] * 16
    dwords[0] = 4 << 29 | 0x1FF << 18
    dwords[2] = last & 0x7F | (last >> 7 & 0x3FFF) << 16
    dwords[3] = last >> 21 << 21
    dwords[8], dwords[9] = address & 0xFFFF_FFFF, address >> 32
    return struct.pack("<16I", *dwords)


@contextmanager
def world() -> Iterator[World]:
    """A `World`, used and closed."""
    made = World()
    try:
        with made.memory.using():
            yield made
    finally:
        made.close()


def python_messages(made: World) -> Messages:
    """The Python twins."""
    return PythonMessages(made.space, BASES, 4096)


def native_messages(made: World) -> Messages:
    """The C routines."""
    from mediator.softgpu.eu.messages.native_messages import NativeMessages

    return NativeMessages(made.space, BASES, 4096)


KINDS: list[Callable[[World], Messages]] = [python_messages]
"""Both, where the extension is."""
if find_spec("mediator.softgpu.eu._native"):
    KINDS.append(native_messages)


def call(
    sfid: int,
    function: int,
    payload: bytes,
    rlen: int = 0,
    mask: int = 0xFF,
    *,
    more: bytes = b"",
    header: bool = False,
) -> Call:
    """A message; its response is all 0xee at first."""
    return Call(
        np.zeros((), BLOCK),
        sfid,
        function | header << 19 | rlen << 20 | len(payload) // 32 << 25,
        len(more) // 32 << 6,
        np.frombuffer(payload, np.uint8),
        np.frombuffer(more, np.uint8),
        np.full(32 * rlen, 0xEE, np.uint8),
        mask,
    )
