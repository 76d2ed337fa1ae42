"""GPU memory behind real page tables, and compiled kernels that run in it: one host thread.

The groups of a launch run one after the other, the threads of each in turns, as the group driver
does it; here in Python, so that what is tested is compiled code alone.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections import deque
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.native.worker import NativeWorker, ffi, lib, routine_addresses
from mediator.softgpu.eu.translator.compiler import compile_text
from mediator.softgpu.eu.translator.linker import Linker
from mmio_trap.guest_memory import GuestMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediator.softgpu.eu.translator.linker import Linked
    from tests.eu_corpus.launch import Launch, Segment

PAGE: Final = 4096
ENDED, FAULT = 0, 0xFFFFFFFF
SPENT = -1
"""Not of the kernel: it has had its budgets, and goes on."""
PLENTY: Final = 1 << 40
_RAM: Final = 0x1000_0000
_PRESENT_WRITABLE: Final = 3


@dataclass
class PagedMemory:
    """Segments at 48-bit GPU addresses in guest pages that lie in no order."""

    memory: GuestMemory = field(default_factory=GuestMemory)
    mask: int = (1 << 48) - 1
    entries: memoryview | None = None
    root: int = 0

    def __init__(self, segments: Iterable[Segment], *, seed: int = 1) -> None:
        self.memory = GuestMemory()
        self.mask, self.entries = (1 << 48) - 1, None
        segments = list(segments)
        pages = [
            (segment.address // PAGE + at, bytes(segment.data[at * PAGE : (at + 1) * PAGE]))
            for segment in segments
            for at in range(-(-len(segment.data) // PAGE))
        ]
        tables = 8 + 4 * len(segments) + len(pages) // 256
        total = len(pages) + tables
        fd = os.memfd_create("gpu pages")
        os.ftruncate(fd, total * PAGE)
        self.memory.map(_RAM, total * PAGE, fd, 0, True, True)
        self._content = mmap.mmap(fd, total * PAGE)
        os.close(fd)
        self._next_table = 0
        self.root = self._table()
        places = list(range(tables, total))
        random.Random(seed).shuffle(places)
        self._places: dict[int, int] = {}
        self._tables: dict[tuple[int, int], int] = {}
        for (number, data), place in zip(pages, places, strict=True):
            self._content[place * PAGE : place * PAGE + len(data)] = data
            self._places[number] = place
            self._enter(number, _RAM + place * PAGE)

    def _table(self) -> int:
        address = _RAM + self._next_table * PAGE
        self._next_table += 1
        return address

    def _enter(self, number: int, target: int) -> None:
        table = self.root
        for level in (3, 2, 1):
            index = number >> 9 * level
            key = (level, index)
            if key not in self._tables:
                self._tables[key] = self._table()
                self._put(table, index & 511, self._tables[key])
            table = self._tables[key]
        self._put(table, number & 511, target)

    def _put(self, table: int, index: int, target: int) -> None:
        struct.pack_into("<Q", self._content, table - _RAM + 8 * index, target | _PRESENT_WRITABLE)

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a GPU address."""
        found = b""
        while size:
            number, inside = divmod(address, PAGE)
            at = self._places[number] * PAGE + inside
            part = min(size, PAGE - inside)
            found += self._content[at : at + part]
            address, size = address + part, size - part
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self.memory.close()
        self._content.close()


class CompiledWorld:
    """A worker, its group and its threads."""

    def __init__(self, space: PagedMemory, bases: Bases, threads: int, slm_bytes: int) -> None:
        self.space, self.bases = space, bases
        self.worker = NativeWorker()
        self.threads: Any = ffi.new("struct eu_thread[]", threads)
        self.group: Any = ffi.new("struct eu_group *")
        self._slm = ffi.new("uint8_t[]", 65536 + 64)
        self.group.slm = self._slm
        self.group.slm_size = slm_bytes
        self.group.threads = threads
        self.returns = 0
        self.pairs = 0
        """Calls of two threads."""
        self.parted = 0
        """How many of them ended with the threads going different ways."""

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Inside the memory."""
        with self.space.memory.using():
            self.worker.attach(self.space, self.bases)
            yield
            self.worker.detach()

    def begin(self, number: int, registers: bytes, mask: int, cr0: int = 0) -> None:
        """Put one thread at the entry."""
        thread = self.threads[number]
        ffi.memmove(ffi.addressof(thread, "grf"), registers, len(registers))
        thread.dispatch_mask = mask
        thread.resume = 0
        thread.flags = 0
        thread.cr0[0] = cr0
        thread.n0[0] = 0
        thread.arrived = 0

    def run(
        self,
        kernel: Linked,
        budget: int = PLENTY,
        most: int = PLENTY,
        pair: Linked | None = None,
    ) -> int:
        """Run the group's threads to their end, to the first fault, or for ``most`` budgets; with
        ``pair`` those that follow each other and stand at one place do so together."""
        left = list(range(self.group.threads))
        while left:
            going, rest = [], deque(left)
            while rest:
                number = rest.popleft()
                if self.threads[number].arrived:
                    going.append(number)
                    continue
                numbers = [number]
                if pair is not None and rest and self._may_pair(number, rest[0]):
                    numbers.append(rest.popleft())
                    address = pair.address
                elif pair is not None and self.threads[number].resume & 3 == lib.EU_APART:
                    address = pair.apart
                else:
                    address = kernel.address
                self.worker.struct.budget = budget
                result = self._call(address, number)
                if self.returns > most:
                    return SPENT
                if result == FAULT:
                    return FAULT
                self.parted += result == lib.EU_PARTED
                self.pairs += len(numbers) - 1
                for each in numbers if result != lib.EU_PARTED else ():
                    self.threads[each].resume = result
                if result != ENDED:
                    going += numbers
            if self.group.arrived == self.group.threads:
                for number in range(self.group.threads):
                    self.threads[number].arrived = 0
                    self.threads[number].n0[0] += 1
                self.group.arrived = 0
            elif going and all(self.threads[number].arrived for number in going):
                raise RuntimeError("threads wait for others that have ended")
            left = going
        return ENDED

    def _call(self, address: int, number: int) -> int:
        self.returns += 1
        function = ffi.cast("eu_kernel *", address)
        thread = ffi.addressof(self.threads, number)
        return int(lib.eu_call(function, thread, self.group, self.worker.struct))

    def _may_pair(self, number: int, other: int) -> bool:
        """As `may_pair` of the group's driver says."""
        one, two = self.threads[number], self.threads[other]
        return bool(
            other == number + 1
            and not two.arrived
            and one.resume == two.resume
            and one.resume & 3 != lib.EU_APART
            and one.cr0[0] == two.cr0[0]
        )


def link(text: str, *, pair: bool = False) -> Linked:
    """Compile a module in this process and link it; ``pair``: one for two threads."""
    return Linker(routine_addresses()).link(compile_text(text), pair=pair)


def bases_of(launch: Launch) -> Bases:
    """The base addresses of a launch."""
    return Bases(
        surface=launch.bases["surface"],
        dynamic=launch.bases["dynamic"],
        general=launch.bases["general"],
        instruction=launch.bases["instruction"],
        binding_table=launch.bases["surface"] + launch.binding_table,
        sampler_table=launch.bases["dynamic"] + launch.sampler_table,
    )


def run_launch(
    launch: Launch, kernel: Linked, *, budget: int = PLENTY, pair: Linked | None = None
) -> list[str]:
    """Run all of a launch, with ``pair`` two threads at a time; complaints about its answers."""
    space = PagedMemory(launch.segments)
    try:
        world = CompiledWorld(space, bases_of(launch), launch.threads, launch.slm_bytes)
        with world.attached():
            for group in launch.all_groups():
                ffi.memmove(world._slm, bytes(65536), 65536)
                for number in range(launch.threads):
                    registers = launch.registers(group, number, number)
                    world.begin(number, registers, launch.dispatch_mask(number))
                if world.run(kernel, budget, pair=pair) == FAULT:
                    struct_ = world.worker.struct
                    return [f"fault {struct_.fault} at {struct_.fault_address:#x}"]
        return launch.check(space.read)
    finally:
        space.close()


__all__ = [
    "CompiledWorld",
    "PagedMemory",
    "bases_of",
    "lib",
    "link",
    "run_launch",
]
