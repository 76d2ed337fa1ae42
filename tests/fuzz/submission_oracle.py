"""Fuzz target over sequences of submissions: rings that change under contexts the hardware has.

Invariant: whatever one guest does to its rings, tails, batches, contexts and engines, at whatever
moment, its work on the GPU reaches no GGTT address but its own, fetches privileged commands from
its own shadows alone, and touches no register that is not open to commands. The hardware takes
lists as late as it likes, keeps rings and translations, and reads on; a second guest's work comes
in between.

The whole mediator runs, by hand and without threads, on a software GPU whose GGTT judges every
access of the streamer: it shares nothing with the audit. Every long command of the attacker holds
a store into somebody else's memory, so that a fetch from its middle is an escape.
``python -m tests.fuzz.submission_oracle SECONDS [SEED]`` runs for longer.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.execlist import Descriptor
from mediator.physical.host_engine import IDLE_CONTEXT_ID
from mediator.physical.partition import SLAB_GGTT, slab_ggtt
from mediator.softgpu import engine as softgpu_engine
from mediator.softgpu.address_space import Ggtt
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.engine import Engine
from mediator.softgpu.streamer import Stop, Streamer
from mediator.softgpu.strictness import AT_OLD_TAIL, Strictness
from tests.gpu_driver import ENGINE_BASES, MI_ARB_CHECK, MI_NOOP, PAGE, Context
from tests.gpu_driver.commands import (
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    atomic_add,
    batch_start,
    invalidate,
    load_register,
    semaphore_wait,
    store_dword,
    store_register,
)
from tests.unit.mediator.dispatcher_bench import Bench, Guest

ENGINES = ("vcs0", "bcs0", "rcs0")
CONTEXTS = 2
RING_SIZE = PAGE
"""Small, so that every trial goes round it."""
STEP_NS, PATIENCE_NS = 1_000_000, 200_000_000
"""Time goes by what the hardware does."""
ELSP, HWS_PGA, RING_MODE, RING_TAIL = 0x230, 0x80, 0x29C, 0x30
SHARED = {base + offset for base in ENGINE_BASES.values() for offset in (ELSP, HWS_PGA, RING_MODE)}
SHARED |= {base + RING_TAIL for base in ENGINE_BASES.values()}
"""Registers that no guest's command may write: each would be the end."""
LONG_STORE = 0x20 << 23 | 1 << 22
BATCH_START = 0x31
BATCH_PAGES = 5
USER_BATCH = 0x20_0000
"""Address in the contexts' own page tables."""
LINE = 16
"""Dwords of a cache line, in which an indirect context batch is counted."""
MOST_LINES = 6


class Escape(AssertionError):
    """A guest's work reached something that is not the guest's."""


@dataclass
class Verdict:
    """Whose work runs now, and what it may reach. ``armed`` only within a guest's command."""

    own: tuple[range, ...] = ()
    shadows: range = range(0)
    armed: bool = False

    def fetched(self, address: int, size: int) -> None:
        """GGTT addresses of commands and images: of the guest's shadows alone."""
        if self.armed and not self._within(self.shadows, address, size):
            raise Escape(f"{size} bytes of commands at GGTT {address:#x}")

    def data(self, address: int, size: int) -> None:
        """GGTT addresses of operands, and the context's own status page, which is the guest's."""
        if self.armed and not (self._own(address, size) or self._within(self.shadows, address, 4)):
            raise Escape(f"{size} bytes at GGTT {address:#x}")

    def written(self, address: int, size: int) -> None:
        """Nothing writes shadows but a store into page 0 of one: that is the guest's page."""
        if self.armed and not (self._own(address, size) or self._status_page(address, size)):
            raise Escape(f"{size} bytes written at GGTT {address:#x}")

    def register(self, offset: int) -> None:
        if self.armed and offset in SHARED:
            raise Escape(f"register {offset:#x} written")

    def _own(self, address: int, size: int) -> bool:
        return any(self._within(part, address, size) for part in self.own)

    def _status_page(self, address: int, size: int) -> bool:
        within = address - self.shadows.start
        return self._within(self.shadows, address, size) and within % (1024 * PAGE) < PAGE

    @staticmethod
    def _within(part: range, address: int, size: int) -> bool:
        return part.start <= address and address + size <= part.stop


VERDICT = Verdict()


class JudgeGgtt(Ggtt):
    """A GGTT that has every access of a guest's command judged before it is carried out."""

    operand = False
    """What is read now is an operand of a command, and judged as that."""

    def page(self, address: int) -> memoryview:
        if not self.operand:
            VERDICT.fetched(address & self.mask, 4)
        return super().page(address)

    def read(self, address: int, length: int) -> bytes:
        if not self.operand:
            VERDICT.fetched(address & self.mask, length)
        return super().read(address, length)

    def read_u32(self, address: int) -> int:
        VERDICT.data(address & self.mask, 4)
        with self._operand():
            return super().read_u32(address)

    def read_u64(self, address: int) -> int:
        VERDICT.data(address & self.mask, 8)
        with self._operand():
            return super().read_u64(address)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        VERDICT.written(address & self.mask, len(data))
        super().write(address, data)

    def write_u32(self, address: int, value: int) -> None:
        VERDICT.written(address & self.mask, 4)
        super().write_u32(address, value)

    def write_u64(self, address: int, value: int) -> None:
        VERDICT.written(address & self.mask, 8)
        with self._operand():
            super().write_u64(address, value)

    def atomic(
        self, address: int, size: int, op_code: int, operand1: int, operand2: int
    ) -> tuple[int, int]:
        VERDICT.written(address & self.mask, size)
        return super().atomic(address, size, op_code, operand1, operand2)

    def store_run(self, commands: memoryview, header: int, address: int) -> int:
        return 0  # each on its own, so that each is seen

    def write_entry(self, offset: int, data: bytes | memoryview) -> None:
        if VERDICT.armed:
            raise Escape(f"GGTT entry {offset // 8:#x} written")
        super().write_entry(offset, data)

    @contextmanager
    def _operand(self) -> Iterator[None]:
        self.operand = True
        try:
            yield
        finally:
            self.operand = False


@dataclass
class Attacker:
    """One guest and what it submits: valid work, whose rules it then breaks."""

    guest: Guest
    victim: int
    """GGTT address of the other guest's."""
    rng: random.Random
    go_on: Callable[[int], None]
    """Let the hardware and the dispatcher make so many steps."""
    contexts: dict[str, list[Context]] = field(default_factory=dict)
    ends: dict[int, list[int]] = field(default_factory=dict)
    """By context: offsets in its ring at which commands have ended."""

    def __post_init__(self) -> None:
        driver = self.guest.driver
        self.page = driver.ram.allocate()
        self.data = driver.ggtt_map(self.page)
        first = driver.ram.allocate(BATCH_PAGES)
        self.batch_pages = [first + PAGE * page for page in range(BATCH_PAGES)]
        start = driver.ggtt_map(first, BATCH_PAGES)
        self.batches = [start + PAGE * page for page in range(BATCH_PAGES)]
        for page in self.batch_pages:
            driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
        self.begins = set(range(BATCH_PAGES))
        self.indirect_page = driver.ram.allocate()
        self.indirect = driver.ggtt_map(self.indirect_page)
        self.write_indirect()
        for engine in ENGINES:
            self.contexts[engine] = [self.context(engine) for _ in range(CONTEXTS)]

    def context(self, engine: str) -> Context:
        made = self.guest.driver.create_context(engine)
        made.tables.place(USER_BATCH, [MI_ARB_CHECK] * 20 + [MI_BATCH_BUFFER_END])
        if self.rng.random() < 0.3:  # a batch that runs with each restore
            pointer = self.batches[self.rng.randrange(BATCH_PAGES)] | 1
            self.guest.driver.ram.write_u32(made.value(ImageIndex.BB_PER_CTX_PTR), pointer)
        if self.rng.random() < 0.3:  # one that runs before it, so many lines of it
            pointer = self.indirect | self.rng.randrange(1, MOST_LINES + 1)
            self.guest.driver.ram.write_u32(made.value(ImageIndex.INDIRECT_CTX), pointer)
        self.ends[made.identity] = [0]
        return made

    # -- commands -------------------------------------------------------------------------------

    def command(self, *, in_ring: bool) -> list[int]:
        """One command that the audit takes; the long ones hold an attack."""
        rng, data = self.rng, self.data + 0x800 + 8 * self.rng.randrange(64)
        attack = store_dword(self.victim, 0xBAD, ggtt=True)
        choice = rng.randrange(15)
        if choice < 3:
            times = rng.choice((1, 2, 4))
            return [LONG_STORE | 4 * times + 1, data, 0, *attack * times]
        if choice == 3:
            return [*atomic_add(data, 1, ggtt=True)[:3], 1, *attack, 0, 0, 0]
        if choice in (4, 5):
            batch = self.batches[rng.choice(sorted(self.begins))]
            return batch_start(batch, ggtt=True, second=not in_ring)
        if choice == 6 and in_ring:
            return batch_start(USER_BATCH)
        if choice == 7:
            return load_register((rng.choice((0x2600, 0x12600)), rng.randrange(1 << 32)))
        if choice == 8:
            return store_register(0x12358, data, ggtt=True)
        if choice == 9:
            return [rng.choice((MI_ARB_ON, MI_ARB_OFF, MI_ARB_OFF))]
        if choice in (10, 11) and in_ring:
            return semaphore_wait(self.data, rng.randrange(2), ggtt=True)
        if choice == 12:
            return [MI_ARB_CHECK]
        return [MI_NOOP] * rng.choice((1, 1, 6))

    def write_batch(self) -> None:
        """A short one, or one that goes on in the next page in the middle of a command."""
        dwords: list[int] = []
        most = self.rng.choice((8, 8, 40, 40, 40, PAGE // 4 + 30))
        while len(dwords) < most:
            command = self.command(in_ring=False)
            if command[0] >> 23 != BATCH_START:
                dwords += command
        first = self.rng.randrange(BATCH_PAGES - 1)
        self.guest.driver.ram.write_u32(self.batch_pages[first], *dwords, MI_BATCH_BUFFER_END)
        self.begins.add(first)
        if len(dwords) >= PAGE // 4:
            self.begins.discard(first + 1)

    def write_indirect(self) -> None:
        """Lines of whole commands, so that any number of them is a batch; at times one is across.

        There is no end command: the long ones are what a fetch that goes too far meets.
        """
        dwords: list[int] = []
        for _ in range(MOST_LINES + 2):
            line: list[int] = []
            while len(line) < LINE:
                command = self.command(in_ring=False)
                fits = len(line) + len(command) <= LINE and command[0] >> 23 != BATCH_START
                line += command if fits or self.rng.random() < 0.005 else [MI_NOOP]
            dwords += line
        self.guest.driver.ram.write_u32(self.indirect_page, *dwords)

    # -- rings ----------------------------------------------------------------------------------

    def emit(self, context: Context) -> None:
        driver, begin, fresh = self.guest.driver, context.tail, list[int]()
        if self.rng.random() < 0.5:
            driver.emit(context, invalidate(context.engine))
        for _ in range(self.rng.randrange(1, 14)):
            driver.emit(context, self.command(in_ring=True))
            fresh.append(context.tail)
        laid = (context.tail - begin) % RING_SIZE
        kept = [end for end in self.ends[context.identity] if (end - begin) % RING_SIZE > laid]
        self.ends[context.identity] = [*kept[-30:], begin, *fresh]

    def move_tail(self, context: Context) -> None:
        """Back to where a command has ended, mostly a moment ago, or anywhere."""
        ends = self.ends[context.identity]
        context.tail = self.rng.choice(ends[-self.rng.choice((3, 8, 40)) :])
        if self.rng.random() < 0.03:
            context.tail = self.rng.randrange(RING_SIZE) & ~7
        self.guest.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), context.tail)

    def spoil(self, context: Context) -> None:
        """Lay a command anywhere over the ring, whatever was submitted."""
        command = self.command(in_ring=True)
        at = 4 * self.rng.randrange(RING_SIZE // 4 - len(command))
        self.guest.driver.ram.write_u32(context.ring + at, *command)

    def submit(self, context: Context) -> None:
        """``context``, mostly alone, or with another before or behind it, when there is room."""
        if self.guest.vgpu.engines[context.engine].lists.pending and self.rng.random() < 0.9:
            return
        other = self.rng.choice(self.contexts[context.engine])
        context.forced = self.rng.random() < 0.3
        if other is context or self.rng.random() < 0.7:
            self.guest.driver.submit(context)
        else:
            self.guest.driver.submit(*self.rng.sample((context, other), 2))

    def pull_back(self, context: Context) -> None:
        """Hold the hardware before some commands, take some of them back, and let it go on."""
        ram, driver = self.guest.driver.ram, self.guest.driver
        ram.write_u32(self.page, 0)
        driver.emit(context, semaphore_wait(self.data, 1, ggtt=True))
        self.emit(context)
        driver.submit(context)
        self.go_on(12)
        context.tail = self.rng.choice(self.ends[context.identity][-8:])
        ram.write_u32(context.value(ImageIndex.RING_TAIL), context.tail)
        driver.submit(context)
        ram.write_u32(self.page, 1)
        self.go_on(12)

    def recover(self, engine: str) -> None:
        """Reset the engine, and begin with new contexts where the old ones are spoilt."""
        guilty = self.rng.choice(self.contexts[engine])
        self.guest.driver.recover(engine)
        self.guest.driver.ports[engine].queue.clear()
        place = self.contexts[engine].index(guilty)
        self.contexts[engine][place] = self.context(engine)

    def step(self) -> None:
        engine = self.rng.choice(ENGINES)
        context = self.rng.choice(self.contexts[engine])
        action = self.rng.randrange(20)
        if action < 7:
            self.emit(context)
            self.submit(context)
        elif action < 10:
            self.move_tail(context)
            self.submit(context)
        elif action == 10:
            self.submit(context)
        elif action == 11:
            self.spoil(context)
        elif action == 12:
            self.write_batch()
            self.write_indirect()
        elif action in (15, 16):
            self.pull_back(context)
        elif action in (13, 14):
            self.guest.driver.ram.write_u32(self.page, self.rng.randrange(2))
        if self.guest.vgpu.engines[engine].state.hung or self.rng.random() < 0.01:
            self.recover(engine)


class Court:
    """Two guests on one GPU without threads; `trial` is one attacker's sequence."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)
        with patch("mediator.softgpu.gpu.Ggtt", JudgeGgtt):
            self.bench = Bench(
                strictness=Strictness(
                    list_delay=self._delay,
                    idle_keeps_ring=True,
                    ring_reads_on=True,
                    stale_translations=True,
                )
            )
        for engine in self.bench.hardware.engines.values():
            engine.stop()
            engine.abandon = False
        attacker, neighbour = self.bench.a, self.bench.b
        page = neighbour.driver.ram.allocate()
        self.attacker = Attacker(attacker, neighbour.driver.ggtt_map(page), self.rng, self.go_on)
        self.work = neighbour.driver.create_context("vcs0")
        parts = attacker.driver.ggtt
        low, high = parts.low, parts.high
        VERDICT.own, start = (range(low.stop), high), slab_ggtt(attacker.vgpu.index + 1)
        VERDICT.shadows = range(start, start + SLAB_GGTT)
        self.executed: Counter[str] = Counter()
        self.bench.hold_clock()
        self.bench.dispatcher.world._patience_ns = PATIENCE_NS
        self._read, attacker.driver.read = attacker.driver.read, self._wait

    def _wait(self, offset: int, count: int) -> bytes:
        """A driver that waits reads registers: meanwhile the others go on."""
        self.hardware_step()
        self.bench.turn()
        return self._read(offset, count)

    def _delay(self, _engine: str) -> int:
        return self.rng.choice((0, 1, 2, 5, 17, AT_OLD_TAIL))

    def trial(self, steps: int) -> None:
        """So many steps of the attacker, with hardware and dispatcher in between. Escape."""
        rng, bench = self.rng, self.bench
        for _ in range(steps):
            self.attacker.step()
            self.go_on(rng.choice((0, 1, 1, 2, 2, 5)))
            if rng.random() < 0.03:
                self.switch()
        for engine in ENGINES:
            executed = bench.hardware.engines[engine].counters.executed
            self.executed.update(executed)

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.hardware_step()
            if self.rng.random() < 0.4:
                self.bench.turn()

    def hardware_step(self) -> None:
        self.bench.skip_ns += STEP_NS
        self.bench.hardware.engines[self.rng.choice(ENGINES)].step()

    def switch(self) -> None:
        """The neighbour has work, and the slice is over."""
        bench = self.bench
        bench.b.driver.process()
        if bench.b.driver.ports["vcs0"].idle:
            bench.b.driver.run(self.work)
        current = bench.dispatcher.current
        if current is not None and not bench.dispatcher.world.ending:
            bench.end_slice(bench.a if current is bench.a.vgpu else bench.b)
        bench.turn()

    def close(self) -> None:
        self.bench.close()


@contextmanager
def judged() -> Iterator[None]:
    """Within, streamers of every software GPU are judged while they run a guest's context."""
    run, write = Streamer.run, Engine.write_register

    def judged_run(self: Streamer, context: ContextState, quantum: int) -> Stop:
        VERDICT.armed = context.descriptor >> 32 != IDLE_CONTEXT_ID and _attackers(context)
        try:
            return run(self, context, quantum)
        finally:
            VERDICT.armed = False

    def judged_write(self: Engine, offset: int, value: int) -> None:
        VERDICT.register(offset)
        write(self, offset, value)

    with (
        patch.object(Streamer, "run", judged_run),
        patch.object(Engine, "write_register", judged_write),
        patch.object(softgpu_engine, "QUANTUM", 3),
        patch("tests.gpu_driver.context.RING_PAGES", RING_SIZE // PAGE),
        patch("tests.gpu_driver.driver.RING_PAGES", RING_SIZE // PAGE),
    ):
        yield


def _attackers(context: ContextState) -> bool:
    return context.descriptor & 0xFFFF_F000 & ~Descriptor.VALID in VERDICT.shadows


def fuzz(seed: int, trials: int, steps: int = 300) -> Counter[str]:
    """Trials with ``seed``; what was executed. Raises Escape, which names the trial."""
    executed: Counter[str] = Counter()
    for number in range(trials):
        with judged():
            court = Court(f"{seed} {number}")
            try:
                court.trial(steps)
            except Escape as escape:
                raise Escape(f"{escape} in trial {number}, seed {seed}") from escape
            finally:
                court.close()
        executed += court.executed
    return executed


def main() -> None:
    """Run for as many seconds as asked, and say what was seen."""
    end = time.monotonic() + float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    executed: Counter[str] = Counter()
    while time.monotonic() < end:
        executed += fuzz(seed, 5)
        seed += 1
    print(f"{executed.total()} commands without an escape, next seed {seed}")


if __name__ == "__main__":
    main()
