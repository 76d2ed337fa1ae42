"""Carry out what drivers submit on a software GPU in this process."""

import errno
import os
import struct
import time
from dataclasses import dataclass, field

from tests.drm_shim.seat import FILE_AT, NativeSeat, Seat
from tests.drm_shim.service import Submission
from tests.gpu_driver import (
    PAGE,
    PRESENT_RW,
    Context,
    PageTables,
)
from tests.gpu_driver.commands import batch_start, pipe_control
from tests.gpu_driver.driver import TimeoutOfTheGpu

_ENGINES = {0: "rcs0", 1: "rcs0", 2: "vcs0", 3: "bcs0", 4: "vecs0"}
_TIMESTAMP = 0x2358
_CLOCK_HZ = 12_000_000
_WRITE_TIMESTAMP = 1 << 24 | 1 << 20 | 3 << 14
"""PIPE_CONTROL: when all before has ended, the time goes to an address in the GGTT."""


@dataclass
class Space:
    """An address space and what is mapped in it: address -> (offset, size) of the file."""

    tables: PageTables
    mapped: dict[int, tuple[int, int]] = field(default_factory=dict)

    def show(self, address: int, offset: int, size: int) -> None:
        """Map a piece of the file, unless it is there already."""
        if self.mapped.get(address) == (offset, size):
            return
        end = address + size
        stale = [
            at for at, (_, length) in self.mapped.items() if at < end and address < at + length
        ]
        for at in stale:
            del self.mapped[at]
        self.mapped[address] = (offset, size)
        physical = FILE_AT + offset
        while address < end:
            count = min((end - address) // PAGE, 512 - (address // PAGE) % 512)
            first = physical | PRESENT_RW
            entries = range(first, first + count * PAGE, PAGE)
            slot = self.tables.slot(address)
            self.tables.ram.write(slot, struct.pack(f"<{count}Q", *entries))
            address += count * PAGE
            physical += count * PAGE


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of the render engine that was carried out: when, by the monotonic clock, how long by
    the GPU's, which is asked right before and right behind it. Seconds."""

    began: float
    ended: float
    gpu_seconds: float


class Runner:
    """A `Gpu`: one software GPU, used by one process after the other."""

    def __init__(self, seat: Seat | None = None, patience: float = 600.0) -> None:
        """At a native GPU unless a ``seat`` is given, which is closed with this."""
        self._seat = seat or NativeSeat()
        self._driver = self._seat.driver
        self._ram = self._driver.ram
        self._patience = patience
        self._spaces: dict[int, Space] = {}
        self._contexts: dict[tuple[int, str], Context] = {}
        self._times = self._ram.allocate()
        self._times_at = self._driver.ggtt_map(self._times)
        self.batches: list[Batch] = []
        self.hangs = 0
        """Batches that did not come to an end in time."""

    def attach(self, file: int) -> None:
        """See `Gpu`."""
        self._seat.attach(file)
        os.close(file)

    def run(self, submission: Submission) -> int:
        """See `Gpu`."""
        engine = _ENGINES.get(submission.engine)
        if engine is None:
            return -errno.EINVAL
        space = self._spaces.setdefault(submission.space, Space(PageTables(self._ram)))
        for extent in submission.extents:
            space.show(extent.address, extent.offset, extent.size)
        key = (submission.context, engine)
        if key not in self._contexts:
            self._contexts[key] = self._driver.create_context(engine, space.tables)
        context = self._contexts[key]
        started = time.monotonic()
        request = self._driver.run(context, self._commands(engine, submission.batch))
        try:
            self._driver.wait_until(
                lambda: self._driver.done(request) or self._driver.error(engine),
                "a batch",
                self._patience,
            )
        except TimeoutOfTheGpu:
            self.hangs += 1
        if not self._driver.done(request):
            self._driver.recover(engine, context)
            return -errno.EIO
        if engine == "rcs0":
            first, last = struct.unpack("<2Q", self._ram.read(self._times, 16))
            self.batches.append(Batch(started, time.monotonic(), (last - first) / _CLOCK_HZ))
        return 0

    def _commands(self, engine: str, batch: int) -> list[int]:
        start = batch_start(batch)
        if engine != "rcs0":
            return start
        times = (pipe_control(_WRITE_TIMESTAMP, self._times_at + 8 * n) for n in (0, 1))
        return [*next(times), *start, *next(times)]

    def timestamp(self) -> int:
        """See `Gpu`."""
        low, high = self._driver.read32(_TIMESTAMP), self._driver.read32(_TIMESTAMP + 4)
        return high << 32 | low

    def context_gone(self, context: int) -> None:
        """See `Gpu`."""
        for key in [key for key in self._contexts if key[0] == context]:
            del self._contexts[key]

    def detach(self) -> None:
        """See `Gpu`."""
        self._driver.wait_idle()
        self._seat.detach()
        self._spaces.clear()
        self._contexts.clear()

    def close(self) -> None:
        """Leave the seat."""
        self._seat.close()
