"""Wherever the hardware may be in a loaded ring, it meets audited commands or nothing.

A guest moves its tail as it likes: forward, back, not at all, round the end, and changes text and
batches behind and before it. A model of hardware runs the shadow: it takes a new tail as late as
it likes, goes on round the ring past a tail that it has not taken, and is seen at a place or not.
It may stand inside a batch meanwhile. It may keep its head where no restore is forced, and it may
end, go on and end once more before anybody sees the first end; then the guest may reset its engine,
and come with the image it has.
Every operand of the guest's commands is a header that no audit lets through, so that a fetch from
the middle of a command, old or new, is seen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.errors import GuestError
from mediator.gen9.context_image import ImageIndex
from mediator.gen9.execlist import Descriptor
from mediator.physical.partition import PAGE
from tests.ring_faults import FAULTS, plant
from tests.unit.mediator.workload_bench import BATCH, OWNED, RING, Bench

NOOP = 0
BATCH_END = 0x0A << 23
BATCH_START = 0x31 << 23 | 1
STORE = 0x20 << 23 | 1 << 22
EVIL = 0x22 << 23 | 1
"""MI_LOAD_REGISTER_IMM of a register that no policy gives."""
BATCHES = tuple(BATCH + PAGE * n for n in range(4))


class Escape(AssertionError):
    """The hardware executes what no audit let through."""


@dataclass
class Hardware:
    """A command streamer at the shadow of ``bench``."""

    bench: Bench
    rng: random.Random
    head: int = 0
    tail: int = 0
    """The tail that it goes by; the image's may be a later one."""
    loaded: bool = False
    resident: bool = False
    """No other context has run since this one left."""
    inside: int | None = None
    """Dword of the slab at which it stands in a batch; the head is behind the start then."""
    fetched: int = 0

    def load(self) -> None:
        """Take the context as it is submitted now, from its image or as it left."""
        self.bench.element.slot = self.bench.slot.number
        forced = self.bench.works.submitted(self.bench.element) & Descriptor.FORCE_RESTORE
        if forced or not self.resident:
            self.head = self.bench.shadow(ImageIndex.RING_HEAD)
        self.loaded = self.resident = True
        self.take_tail()

    def save(self) -> None:
        """The context has left, at the end of its batch, and nobody has seen it yet."""
        while self.inside is not None:
            self.go_on_inside(self.inside)
        self.loaded = False
        self.resident = self.rng.random() < 0.5
        self.bench.slab.u32[(self.bench.slot.state >> 2) + ImageIndex.RING_HEAD] = self.head

    def take_tail(self) -> None:
        self.tail = self.bench.shadow(ImageIndex.RING_TAIL)

    def leave(self) -> None:
        """Save the context; the mediator carries it back."""
        self.save()
        self.bench.runs_to(self.head)

    def run(self, commands: int) -> None:
        """Execute so many commands, or up to the tail it goes by."""
        size = self.bench.size
        for _ in range(commands):
            if self.inside is not None:
                self.go_on_inside(self.inside)
                continue
            if self.head == self.tail:
                return
            at = self.bench.slot.ring + self.head
            dwords = self.bench.slab.u32
            length = self.execute(at >> 2)
            if self.head + 4 * length > size:
                raise Escape(f"a command across the ring's end at {self.head:#x}")
            if dwords[at >> 2] == BATCH_START:
                self.enter(dwords[(at >> 2) + 1])
            self.head = (self.head + 4 * length) % size

    def enter(self, address: int) -> None:
        at = address - self.bench.slot.ggtt + self.bench.slot.base
        if not 544 * PAGE <= at - self.bench.slot.base < 1024 * PAGE:
            raise Escape(f"a batch at {address:#x}")
        self.inside = at >> 2

    def go_on_inside(self, index: int) -> None:
        at_end = self.bench.slab.u32[index] == BATCH_END
        self.inside = None if at_end else index + self.execute(index)

    def execute(self, index: int) -> int:
        """Length in dwords of the command at dword ``index`` of the slab."""
        self.fetched += 1
        dwords = self.bench.slab.u32
        header = dwords[index]
        if header >> 23 == NOOP:  # its other bits are an identification
            return 1
        if header == BATCH_START:
            return 3
        if header & ~0x3FF == STORE and OWNED.start <= dwords[index + 1] < OWNED.stop:
            return (header & 0x3FF) + 2
        raise Escape(f"{header:#010x} is executed at dword {index:#x} of the slab")


@dataclass
class Guest:
    """What a hostile driver does to its ring and batches."""

    bench: Bench
    rng: random.Random
    ends: list[int] = field(default_factory=lambda: [0])
    """Offsets at which commands have ended: where a tail may be put back to."""

    def command(self) -> list[int]:
        kind = self.rng.random()
        if kind < 0.2:
            return [NOOP]
        if kind < 0.35:
            return [BATCH_START, self.rng.choice(BATCHES), 0]
        data = self.rng.choice((1, 2, 4, 6, 12))
        return [STORE | data + 1, BATCH + 0x8000, 0, *[EVIL] * data]

    def write_batch(self) -> None:
        dwords = [d for _ in range(self.rng.randrange(1, 6)) for d in self.batch_command()]
        self.bench.put(self.rng.choice(BATCHES), [*dwords, BATCH_END, 0])

    def batch_command(self) -> list[int]:
        while True:
            command = self.command()
            if command[0] != BATCH_START:
                return command

    def emit(self, commands: int) -> None:
        """Write commands from the tail on, none across the end; the tail follows."""
        bench = self.bench
        for _ in range(commands):
            command = self.command()
            if bench.tail + 4 * len(command) > bench.size:
                command = [NOOP] * ((bench.size - bench.tail) // 4)
            for dword in command:
                bench.put(RING + bench.tail, [dword])
                bench.tail = (bench.tail + 4) % bench.size
            self.ends.append(bench.tail)
        if bench.tail % 8:
            bench.put(RING + bench.tail, [NOOP])
            bench.tail = (bench.tail + 4) % bench.size
            self.ends.append(bench.tail)
        del self.ends[:-64]
        bench.set(ImageIndex.RING_TAIL, bench.tail)

    def move_tail(self) -> None:
        """Anywhere, mostly to where a command has ended once."""
        bench = self.bench
        bench.tail = (
            self.rng.choice(self.ends)
            if self.rng.random() < 0.8
            else self.rng.randrange(bench.size)
        ) & ~7
        bench.set(ImageIndex.RING_TAIL, bench.tail)

    def spoil(self) -> None:
        """Write something over text that may have been submitted."""
        place = self.rng.randrange(self.bench.size // 4 - 8) * 4
        self.bench.put(RING + place, self.command()[:8])

    def come_back(self) -> None:
        """After a reset: other text from the head on that the guest knows."""
        self.bench.tail = self.bench.get(ImageIndex.RING_HEAD) & -8
        self.ends = [self.bench.tail]
        self.emit(self.rng.randrange(1, 20))


@dataclass
class Trial:
    """A guest, the mediator and a hardware that share one context."""

    seed: int
    bench: Bench = field(default_factory=lambda: Bench(ring_pages=1))
    refused: int = 0
    extended: int = 0
    rebuilt: int = 0
    resets: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.guest = Guest(self.bench, self.rng)
        self.hardware = Hardware(self.bench, self.rng)
        for _ in range(8):
            self.guest.write_batch()
        for address in BATCHES:
            self.bench.put(address, [BATCH_END])

    def build(self) -> None:
        """The context is off the hardware: a new shadow of it, which then is loaded."""
        try:
            self.bench.build()
        except GuestError:
            self.refused += 1
            self.start_again()
        self.rebuilt += 1
        self.hardware.load()

    def start_again(self) -> None:
        """The guest resets its engine and begins with an empty ring."""
        bench = self.bench
        bench.tail, self.guest.ends = 0, [0]
        bench.set(ImageIndex.RING_HEAD, 0)
        bench.set(ImageIndex.RING_TAIL, 0)
        bench.build()

    def submit(self) -> None:
        """As `admission` and `World.feed` do it."""
        hardware, rng = self.hardware, self.rng
        head = hardware.head if rng.random() < 0.7 else None
        hardware.run(rng.choice((0, 0, 1, 5)))  # it goes on while it is looked at
        try:
            goes_on = self.bench.works.extend(self.bench.slot, head, loaded=True)
        except GuestError:
            self.refused += 1
            return
        if goes_on:
            self.extended += 1
            return
        hardware.run(rng.choice((0, 1, 5, 100)))  # until it gives way
        hardware.leave()
        self.build()

    def go_on_unseen(self) -> None:
        """It ends while it stands in a waiting list, and goes on; that is seen some time later."""
        hardware, rng = self.hardware, self.rng
        hardware.save()
        seen = rng.randrange(4)
        for at in range(4):
            if at == seen:
                self.bench.vgpu.is_settled = at == 0
                self.bench.works.carry_back(self.bench.slot, again=True)
            if at == 1:
                hardware.load()
            elif at == 2:
                hardware.run(rng.choice((0, 1, 5, 1000)))
        if rng.random() < 0.5:
            return
        if rng.random() < 0.7:
            hardware.save()
        self.resets += 1
        hardware.loaded = hardware.resident = False
        hardware.inside = None
        self.guest.come_back()
        self.build()

    def step(self) -> None:
        guest, hardware, rng = self.guest, self.hardware, self.rng
        action = rng.randrange(10)
        if action < 3:
            guest.emit(rng.randrange(1, 20))
            self.submit()
        elif action == 3:
            guest.move_tail()
            self.submit()
        elif action == 4:
            guest.write_batch()
        elif action == 5:
            guest.spoil()
        elif action == 6:
            hardware.take_tail()
        elif action == 9:
            self.go_on_unseen()
        elif action == 7 and rng.random() < 0.2:
            hardware.leave()
            self.build()
        else:
            hardware.run(rng.choice((1, 2, 5, 30, 1000)))


def run_trial(seed: int, steps: int) -> Trial:
    """A trial of so many steps. Raises Escape."""
    trial = Trial(seed)
    try:
        trial.bench.build()
        trial.hardware.load()
        for _ in range(steps):
            trial.step()
    finally:
        trial.bench.close()
    return trial


def run_trials(count: int, steps: int) -> list[Trial]:
    """Trials with the first so many seeds."""
    return [run_trial(seed, steps) for seed in range(count)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_hardware_meets_audited_commands_or_nothing(seed: int) -> None:
    run_trial(seed, 150)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_sees_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(fault, monkeypatch)
    with pytest.raises(Escape):
        run_trials(400, 150)


def test_the_trials_get_somewhere() -> None:
    """Rings are extended and built anew, and the hardware runs them."""
    trials = run_trials(20, 200)
    assert sum(trial.extended for trial in trials) > 200
    assert sum(trial.rebuilt for trial in trials) > 100
    assert sum(trial.resets for trial in trials) > 50
    assert sum(trial.hardware.fetched for trial in trials) > 5000
    assert sum(trial.refused for trial in trials) < sum(trial.extended for trial in trials)
