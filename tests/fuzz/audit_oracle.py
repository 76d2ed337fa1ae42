"""Fuzz target over the command audit, with the software GPU as its judge.

Invariant: whatever the guest puts into a ring and into privileged batches, what the audit accepts
reaches no GGTT address but the guest's own and its context's status page, no GGTT entry, and no
register that the policy does not let through; privileged commands are fetched from nowhere but the
copies, even when the guest changes its memory after the audit. The same holds for user batches of
the blitter, which the judge's GPU lets write any register.

The judge shares nothing with the audit: it records what the GPU's address space is asked for.
``python -m tests.fuzz.audit_oracle SECONDS [SEED]`` runs for longer.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mediator import hotpath
from mediator.errors import GuestError
from mediator.gen9.commands import BCS, decode
from mediator.gen9.engines import EngineClass
from mediator.softgpu.address_space import Ggtt, Ppgtt
from mediator.softgpu.context_state import ContextState, PredicateMode
from mediator.softgpu.streamer import Stop, Streamer
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import audit_ring
from mediator.workload.user_space import UserSpace
from mediator.workload.view import RegisterUse
from mmio_trap.guest_memory import GuestMemory
from tests.unit.mediator.audit_bench import BASES, END, FIRST, PAGE, ROOM_PAGES, SHADOWS, FakeView
from tests.unit.mediator.command_bench import FakeHost

RAM_SIZE = 4 << 20
TABLES = 0x10_0000
GUEST = 0x20_0000
ROOMS = 0x30_0000
"""RAM: page tables; the guest's, which GGTT and PPGTT (from 0 on) reach; the mediator's."""
RING = SHADOWS + 0x100_0000
CONTEXT = SHADOWS + 0x200_0000
STATUS = SHADOWS + 0x300_0000
"""GGTT addresses of the mediator's: shadow ring, the context's status page, the engine's."""
RING_SIZE = 0x1000
PML4 = TABLES
BATCHES = tuple(FIRST + 0x4000 + 0x800 * n for n in range(4))
BATCH_DWORDS = 64
SECRETS = (
    0x20D4,
    0xA188,
    0x2080,
    0x2230,
    0x2234,
    0x24D0,
    0x22230,
    0x12230,
    0x1A230,
    0xC800,
    0x9008,
)
"""Registers that are virtual or refused; none is open to user batches."""
OPEN = (0x2600, 0x2604, 0x22600, 0x12600, 0x1A600, 0x2358, 0xB118, 0x2418, 0x241C, 0x7300)
COPIED = frozenset({BCS})
"""Engines of which the audit looks at user batches."""
_Result = TypeVar("_Result")

BATCH_END = 0x0A << 23
START = 0x31 << 23 | 1
EVIL = [0x20 << 23 | 1 << 22 | 2, 0, 0, 0x6666_6666, 0x22 << 23 | 1, 0x2230, 0x6666_6666, 0]
"""What the guest's batches are overwritten with behind the audit's back: a store to address 0, and
a register that is nobody's."""


class Escape(AssertionError):
    """What the audit accepted reached something that is not the guest's."""


class JudgeGgtt(Ggtt):
    """A GGTT that looks at every access before it is carried out."""

    def __init__(self, memory: GuestMemory) -> None:
        super().__init__(memory)
        self.armed = False
        self._inside = False

    def _fetch(self, address: int, size: int) -> None:
        """Commands: from the shadow ring and shadow batches."""
        address &= self.mask
        rooms = address >= SHADOWS and address + size <= SHADOWS + PAGE * ROOM_PAGES
        if self.armed and not rooms and not RING <= address < RING + RING_SIZE:
            raise Escape(f"commands fetched at {address:#x}")

    def _data(self, address: int, size: int, align: int = 4) -> None:
        address = address & self.mask & -align
        own = address >= FIRST and address + size <= END
        status = address >= CONTEXT and address + size <= CONTEXT + PAGE
        if self.armed and not own and not status:
            raise Escape(f"{size} bytes at {address:#x}")

    def page(self, address: int) -> memoryview:
        if not self._inside:
            self._fetch(address, 4)
        return super().page(address)

    def read(self, address: int, length: int) -> bytes:
        if not self._inside:
            self._fetch(address, length)
        return super().read(address, length)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if not self._inside:
            self._data(address, len(data), 1)
        super().write(address, data)

    def read_u32(self, address: int) -> int:
        self._data(address, 4)
        return self._within(lambda: super(JudgeGgtt, self).read_u32(address))

    def read_u64(self, address: int) -> int:
        self._data(address, 8)
        return self._within(lambda: super(JudgeGgtt, self).read_u64(address))

    def write_u32(self, address: int, value: int) -> None:
        self._data(address, 4)
        super().write_u32(address, value)

    def write_u64(self, address: int, value: int) -> None:
        self._data(address, 8)
        self._within(lambda: super(JudgeGgtt, self).write_u64(address, value))

    def atomic(
        self, address: int, size: int, op_code: int, operand1: int, operand2: int
    ) -> tuple[int, int]:
        self._data(address, size, size)
        return super().atomic(address, size, op_code, operand1, operand2)

    def store_run(self, commands: memoryview, header: int, address: int) -> int:
        return 0  # each on its own, so that each is seen

    def write_entry(self, offset: int, data: bytes | memoryview) -> None:
        if self.armed:
            raise Escape(f"GGTT entry {offset // 8:#x} written")
        super().write_entry(offset, data)

    def _within(self, action: Callable[[], _Result]) -> _Result:
        self._inside = True
        try:
            return action()
        finally:
            self._inside = False


@dataclass
class JudgeHost(FakeHost):
    """An engine whose registers must not be touched where the policy says so."""

    secrets: frozenset[int] = frozenset()
    status_page: int = STATUS
    context_page: int = CONTEXT

    def read_register(self, offset: int) -> int:
        self._judge("read", offset)
        return self.registers.get(offset, 0)

    def write_register(self, offset: int, value: int) -> None:
        self._judge("written", offset)
        self.registers[offset] = value

    def _judge(self, what: str, offset: int) -> None:
        if offset in self.secrets or offset >= 2 << 20:
            raise Escape(f"register {offset:#x} {what}")

    def notify(self, bit: int) -> None:
        pass


@dataclass
class MemoryView(FakeView):
    """The audit's view of the judge's RAM."""

    ram: memoryview = field(default_factory=lambda: memoryview(b""))
    memory: GuestMemory | None = None

    def read_ggtt(self, address: int, length: int) -> bytes:
        assert self.owns(address, length)
        first = GUEST + address - FIRST
        return bytes(self.ram[first : first + length])

    def read_user(self, address: int, copy: memoryview) -> int:
        assert self.memory is not None
        return hotpath.read_space(UserSpace(self.memory, PML4), address, copy)

    def place_batch(self, size: int, align: int) -> tuple[int, memoryview]:
        address, room = super().place_batch(size, align)
        first = ROOMS + address - SHADOWS
        return address, self.ram[first : first + 4 * len(room)].cast("I")


class Court:
    """RAM, a judge's GPU and an audit for one engine class; `trial` runs one guest's streams."""

    def __init__(self, engine: EngineClass) -> None:
        self.engine = engine
        fd = os.memfd_create("ram")
        os.ftruncate(fd, RAM_SIZE)
        memory = GuestMemory()
        memory.map(0, RAM_SIZE, fd, 0, readable=True, writable=True)
        self.ram = memoryview(mmap.mmap(fd, RAM_SIZE))
        os.close(fd)
        self.memory = memory
        self.ggtt = JudgeGgtt(memory)
        self._map(FIRST, GUEST, (END - FIRST) // PAGE)
        self._map(SHADOWS, ROOMS, ROOM_PAGES)
        for n, address in enumerate((RING, CONTEXT, STATUS)):
            self._map(address, ROOMS + PAGE * (ROOM_PAGES + n), 1)
        for level in range(3):
            memory.write_u64(PML4 + PAGE * level, PML4 + PAGE * (level + 1) | 3)
        for page in range((END - FIRST) // PAGE):
            memory.write_u64(PML4 + 3 * PAGE + 8 * page, GUEST + PAGE * page | 3)
        self.accepted = self.refused = 0
        self.executed: Counter[str] = Counter()

    def _map(self, address: int, physical: int, pages: int) -> None:
        for n in range(pages):
            entry = physical + PAGE * n | 1
            self.ggtt.write_entry(8 * (address // PAGE + n), entry.to_bytes(8, "little"))

    def put(self, address: int, dwords: list[int]) -> None:
        """Write ``dwords`` into guest memory at GGTT ``address``."""
        first = GUEST + address - FIRST
        self.ram[first : first + 4 * len(dwords)] = struct.pack(f"<{len(dwords)}I", *dwords)

    def view(self, rng: random.Random) -> MemoryView:
        uses = (RegisterUse.VIRTUAL, RegisterUse.REFUSED)
        policy = {offset: rng.choice(uses) for offset in SECRETS}
        return MemoryView(
            self.engine,
            copies_user_batches=self.engine in COPIED,
            policy=policy,
            ram=self.ram,
            memory=self.memory,
        )

    def trial(self, rng: random.Random) -> None:
        """One guest's ring and batches, audited and, if accepted, run. Raises Escape."""
        if rng.random() < 0.1:
            self.fixed_trial(rng)
            return
        for address in BATCHES:
            self.put(address, self.stream(rng, BATCH_DWORDS, in_ring=False))
        commands = self.stream(rng, rng.choice((8, 40, 120)), in_ring=True)
        commands += [0] * (len(commands) % 2)
        if rng.random() < 0.3:
            mutate(commands, rng)
        head = 4 * rng.randrange(RING_SIZE // 8) * 2
        ring = memoryview(array("I", EVIL * (RING_SIZE // 32)))
        for n, dword in enumerate(commands):
            ring[(head // 4 + n) % len(ring)] = dword
        tail = (head + 4 * len(commands)) % RING_SIZE
        view = self.view(rng)
        batches = BatchShadow(view)
        try:
            audit_ring(view, batches, ring, head, tail)
        except GuestError:
            self.refused += 1
            return
        self.accepted += 1
        for address in BATCHES:
            self.put(address, EVIL * (BATCH_DWORDS // 8))
        base = ROOMS + PAGE * ROOM_PAGES
        self.ram[base : base + RING_SIZE] = ring.tobytes()
        self.run(rng, view, RING, head, tail)

    def fixed_trial(self, rng: random.Random) -> None:
        """The same with an indirect context batch, which hardware runs as a ring."""
        for address in BATCHES[1:]:
            self.put(address, self.stream(rng, BATCH_DWORDS, in_ring=False))
        commands = self.stream(rng, BATCH_DWORDS, in_ring=True)
        self.put(BATCHES[0], commands + [0] * (BATCH_DWORDS - len(commands)))
        view = self.view(rng)
        try:
            ring = BatchShadow(view).shadow_fixed(BATCHES[0], 4 * BATCH_DWORDS)
        except GuestError:
            self.refused += 1
            return
        self.accepted += 1
        for address in BATCHES:
            self.put(address, EVIL * (BATCH_DWORDS // 8))
        self.run(rng, view, ring, 0, 4 * BATCH_DWORDS)

    def run(self, rng: random.Random, view: MemoryView, ring: int, head: int, tail: int) -> None:
        """Run the shadow at ``ring`` on the judge's GPU until nothing changes any more."""
        ppgtt = Ppgtt(self.memory)
        ppgtt.load(PML4)
        secrets = {o for o, use in view.policy.items() if use is not RegisterUse.PASS}
        host = JudgeHost(self.ggtt, ppgtt, self.engine, secrets=frozenset(secrets))
        host.rights.protects = self.engine != BCS
        for offset in (0x2418, 0x241C, 0x23BC):
            host.registers[offset + host.mmio_base - 0x2000] = rng.randrange(2)
        context = ContextState()
        context.ring.start, context.ring.control = ring, 1
        context.ring.head, context.ring.tail = head, tail
        if rng.random() < 0.2:
            context.predicate = rng.choice(list(PredicateMode))
        streamer = Streamer(host)
        self.ggtt.armed = True
        try:
            with self.memory.using():
                for _ in range(12):
                    stop = streamer.run(context, 100)
                    if stop in {Stop.RING_EMPTY, Stop.HUNG, Stop.WAIT}:
                        break
        finally:
            self.ggtt.armed = False
        self.executed.update(host.counters.executed)

    # -- what guests write --------------------------------------------------------------------

    def stream(self, rng: random.Random, dwords: int, *, in_ring: bool) -> list[int]:
        """About ``dwords`` dwords of commands that, for the most part, the audit takes."""
        found: list[int] = []
        while True:
            if rng.random() < (0.15 if in_ring else 0.08):
                command = start(rng, in_ring=in_ring)
            else:
                command = self.command(rng)
            if len(found) + len(command) >= dwords:
                break
            found += command
        if in_ring:
            return found
        if rng.random() < 0.9:
            return [*found, BATCH_END] + [0] * (dwords - len(found) - 1)
        mutate(found, rng)
        return [*found, BATCH_END]

    def command(self, rng: random.Random) -> list[int]:
        """A command that the audit takes on its own; now and then any."""
        for _ in range(20):
            candidate = self.candidate(rng)
            if rng.random() < 0.01 or self.takes(candidate):
                return candidate
        return [0]

    def takes(self, candidate: list[int]) -> bool:
        view = self.view(random.Random(0))
        ring = memoryview(array("I", [*candidate, 0]))
        try:
            audit_ring(view, BatchShadow(view), ring, 0, 4 * len(candidate))
        except GuestError:
            return False
        return True

    def candidate(self, rng: random.Random) -> list[int]:
        while True:
            dw0 = header(rng, self.engine)
            found = decode(dw0, self.engine)
            if found is None or found[1] > 24:
                continue
            operands = [operand(rng) for _ in range(found[1] - 1)]
            if "PIPE_CONTROL" in found[0].name and operands:
                operands[0] = pipe_flags(rng)
            if rng.random() < 0.9:  # upper halves of addresses, in most formats
                operands[1:4:2] = [0 if n > 0xFFFF else n for n in operands[1:4:2]]
            return [dw0, *operands]


NATURAL = {0x1A: 3, 0x1C: 2, 0x20: 2, 0x21: 1, 0x22: 1, 0x23: 2, 0x24: 2, 0x26: 2, 0x27: 3}
NATURAL |= {0x28: 2, 0x29: 2, 0x2A: 1, 0x2B: 2, 0x2C: 2, 0x2D: 2, 0x2E: 3, 0x2F: 1, 0x36: 2}
"""Length fields of MI commands, most of the time."""


def header(rng: random.Random, engine: str) -> int:
    kind = rng.random()
    if engine == "RCS" and kind < 0.25:
        return 0x7A00_0000 | rng.choice((4, 4, 4, 3, 0, 5))
    if engine == "BCS" and kind < 0.05:
        return 2 << 29 | rng.randrange(0x80) << 22 | 8
    if kind < 0.3:
        return 3 << 29 | rng.randrange(1 << 13) << 16 | rng.randrange(12)
    opcode = rng.randrange(0x20, 0x30) if rng.random() < 0.75 else rng.randrange(0x38)
    flags = rng.randrange(1 << 23) & rng.randrange(1 << 23) & ~0xFF
    if rng.random() < 0.5:
        flags |= 1 << 22
    length = NATURAL.get(opcode, rng.randrange(4))
    if rng.random() < 0.1:
        length = rng.randrange(16)
    return opcode << 23 | flags | length


def operand(rng: random.Random) -> int:
    """Addresses inside, at the edges of, across and outside what is owned; registers; noise."""
    kind = rng.random()
    if kind < 0.5:
        return FIRST + 0x1000 + 4 * rng.randrange(0x800)
    if kind < 0.6:
        edge = rng.choice((FIRST, END))
        return edge + rng.choice((-4096, -256, -64, -16, -12, -8, -4, 0, 4, 8, 64))
    if kind < 0.65:
        return rng.choice((RING, CONTEXT, STATUS, SHADOWS, 0, 0xFFFF_FFE0)) + 4 * rng.randrange(8)
    if kind < 0.75:
        return rng.choice(SECRETS)
    if kind < 0.9:
        return rng.choice(OPEN)
    if kind < 0.97:
        return rng.randrange(0x1000)
    return rng.randrange(1 << 32)


def pipe_flags(rng: random.Random) -> int:
    bits = (1 << 14, 2 << 14, 1 << 21, 1 << 23, 1 << 24, 1 << 20, 1 << 18, 1 << 8)
    return sum({bit for bit in bits if rng.random() < 0.4})


def start(rng: random.Random, *, in_ring: bool) -> list[int]:
    flags = rng.choice((0, 0, 0, 1 << 8, 1 << 15, 1 << 22, 1 << 22, 1 << 22 | 1 << 8))
    if in_ring:
        flags &= ~(1 << 22)
    target = rng.choice(BATCHES)
    if flags & 1 << 8:
        return [START | flags, target - FIRST, 0]
    if rng.random() < 0.1:
        target += 4 * rng.randrange(BATCH_DWORDS)
    return [START | flags, target, rng.choice((0, 0, 0, 7))]


def mutate(dwords: list[int], rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):
        if dwords:
            dwords[rng.randrange(len(dwords))] ^= 1 << rng.randrange(32)


def fuzz(
    rounds: int, seed: int = 0, engines: tuple[EngineClass, ...] = tuple(BASES)
) -> dict[EngineClass, Court]:
    """``rounds`` trials for each engine class. Raises Escape, which names the trial."""
    courts = {engine: Court(engine) for engine in engines}
    for engine, court in courts.items():
        for n in range(rounds):
            try:
                court.trial(random.Random(f"{engine} {seed} {n}"))
            except Escape as escape:
                raise Escape(f"{escape} in trial {n} of {engine}, seed {seed}") from escape
    return courts


def main() -> None:
    """Run for as many seconds as asked, and say what was seen."""
    end = time.monotonic() + float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    accepted = refused = 0
    while time.monotonic() < end:
        for court in fuzz(50, seed).values():
            accepted += court.accepted
            refused += court.refused
        seed += 1
    print(f"{accepted} accepted and run, {refused} refused, next seed {seed}")


if __name__ == "__main__":
    main()
