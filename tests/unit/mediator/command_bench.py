"""A command streamer on a test bench: RAM, both address spaces, a host of plain registers."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from mediator.gen9.engines import ENGINES
from mediator.gen9.privilege import user_registers
from mediator.softgpu.address_space import Ggtt, PageFault, Ppgtt
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.counters import CommandCounters
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.pipeline_state import PipelineState
from mediator.softgpu.streamer import Stop, Streamer
from mmio_trap.guest_memory import GuestMemory

RAM_SIZE = 4 << 20
PAGES = RAM_SIZE >> 12
RING = 0x10000
"""GGTT addresses map to RAM one to one up to `RAM_SIZE`."""
STATUS_PAGE = 0x20000
CONTEXT_PAGE = 0x21000
SECURE_BATCH = 0x30000
DATA = 0x40000
"""For either space; see `USER`."""
PML4 = 0x100000
USER_BATCH = 0x80000
"""The context's own space maps to RAM one to one as well."""
ABSENT = 0x3FFF_F000
"""Mapped in neither space."""
RING_SIZE = 0x2000
BASES = {str(facts.engine_class): facts.mmio_base for facts in ENGINES}

NOOP = 0
BATCH_END = 0x0A << 23
USER_BATCH_START = 0x31 << 23 | 1 << 8 | 1
SECURE_BATCH_START = 0x31 << 23 | 1


@dataclass
class Hang:
    """What `CommandHost.hang` was told."""

    reason: str
    address: int
    command: int | None
    fault: PageFault | None


@dataclass
class FakePrivilege:
    """What user batches may do."""

    open: frozenset[int]
    checked: bool = True
    protects: bool = True

    def may_write(self, offset: int) -> bool:
        return offset in self.open or not self.protects


@dataclass
class FakeHost:
    """An engine of which a test sees and sets everything."""

    ggtt: Ggtt
    ppgtt: Ppgtt
    engine_class: str = "RCS"
    attention: bool = False
    abandon: bool = False
    pause: bool = False
    preemption_level: int = 0
    reads_on: bool = False
    status_page: int = STATUS_PAGE
    context_page: int = CONTEXT_PAGE
    counters: CommandCounters = field(default_factory=CommandCounters)
    registers: dict[int, int] = field(default_factory=dict)
    notified: list[tuple[int, bytes]] = field(default_factory=list)
    """Interrupt bits, each with the memory at `DATA` at that moment."""
    hangs: list[Hang] = field(default_factory=list)
    tlb_flushes: int = 0
    ticks: int = 0x9_8765_4321

    def __post_init__(self) -> None:
        self.pipeline = PipelineState(self.engine_class)
        self.units = ExecutionUnits(ProgramCache(lambda: None))
        self.rights = FakePrivilege(user_registers(self.engine_class, self.mmio_base))

    @property
    def name(self) -> str:
        return f"{self.engine_class.lower()}0"

    @property
    def mmio_base(self) -> int:
        return BASES[self.engine_class]

    def read_register(self, offset: int) -> int:
        return self.registers.get(offset, 0)

    def write_register(self, offset: int, value: int) -> None:
        self.registers[offset] = value

    @property
    def privilege(self) -> FakePrivilege:
        return self.rights

    def notify(self, bit: int) -> None:
        self.notified.append((bit, self.ggtt.memory.read(DATA, 16)))

    @property
    def interrupts(self) -> list[int]:
        return [bit for bit, _ in self.notified]

    def timestamp(self) -> int:
        return self.ticks

    def flush_tlb(self) -> None:
        self.tlb_flushes += 1

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def hang(
        self, reason: str, *, address: int, command: int | None, fault: PageFault | None
    ) -> None:
        self.hangs.append(Hang(reason, address, command, fault))


@dataclass
class CommandBench:
    """RAM, a host and a streamer; `ring` and `batch` place commands, `run` runs them."""

    memory: GuestMemory
    host: FakeHost
    streamer: Streamer
    context: ContextState = field(default_factory=ContextState)

    def put(self, address: int, dwords: Sequence[int]) -> None:
        """Write ``dwords`` at RAM, and so GPU, ``address``."""
        self.memory.write(address, struct.pack(f"<{len(dwords)}I", *dwords))

    def get(self, address: int, count: int = 1) -> list[int]:
        """``count`` dwords at ``address``."""
        return list(struct.unpack(f"<{count}I", self.memory.read(address, 4 * count)))

    def get_u64(self, address: int) -> int:
        low, high = self.get(address, 2)
        return low | high << 32

    def ring(self, dwords: Sequence[int]) -> None:
        """Put ``dwords`` into the ring behind the tail, padded to whole qwords."""
        padded = [*dwords, *[NOOP] * (len(dwords) % 2)]
        ring = self.context.ring
        for dword in padded:
            self.put(RING + ring.tail, [dword])
            ring.tail = (ring.tail + 4) % RING_SIZE

    def run(self, dwords: Sequence[int] = (), quantum: int = 1000) -> Stop:
        """Put ``dwords`` into the ring, then run."""
        self.ring(dwords)
        return self.again(quantum)

    def again(self, quantum: int = 1000) -> Stop:
        """Run once more."""
        with self.memory.using():
            return self.streamer.run(self.context, quantum)

    def batch(self, dwords: Sequence[int], *, user: bool = True) -> Stop:
        """Run ``dwords`` and the batch's end as a batch that the ring starts."""
        address = USER_BATCH if user else SECURE_BATCH
        self.put(address, [*dwords, BATCH_END])
        start = USER_BATCH_START if user else SECURE_BATCH_START
        return self.run([start, address, 0, NOOP])


def make_bench(engine_class: str = "RCS") -> CommandBench:
    """A bench whose engine is of ``engine_class``."""
    fd = os.memfd_create("ram")
    try:
        os.ftruncate(fd, RAM_SIZE)
        memory = GuestMemory()
        memory.map(0, RAM_SIZE, fd, 0, readable=True, writable=True)
    finally:
        os.close(fd)
    ggtt = Ggtt(memory)
    for page in range(PAGES):
        ggtt.write_entry(8 * page, (page << 12 | 1).to_bytes(8, "little"))
    _build_page_tables(memory)
    ppgtt = Ppgtt(memory)
    ppgtt.load(PML4)
    host = FakeHost(ggtt, ppgtt, engine_class)
    bench = CommandBench(memory, host, Streamer(host))
    bench.context.ring.start = RING
    bench.context.ring.control = (RING_SIZE - 0x1000) | 1
    return bench


def _build_page_tables(memory: GuestMemory) -> None:
    directory_pointer, directory, first_table = PML4 + 0x1000, PML4 + 0x2000, PML4 + 0x3000
    memory.write_u64(PML4, directory_pointer | 3)
    memory.write_u64(directory_pointer, directory | 3)
    for number in range(PAGES // 512):
        table = first_table + 0x1000 * number
        memory.write_u64(directory + 8 * number, table | 3)
        for i in range(512):
            memory.write_u64(table + 8 * i, (512 * number + i) << 12 | 3)
