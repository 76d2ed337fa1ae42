"""A launch of the corpus on a software GPU: its memory mapped, its batch in a context's ring."""

from __future__ import annotations

from dataclasses import dataclass

from tests.eu_corpus.launch import Launch
from tests.gpu_driver import Context
from tests.gpu_driver.commands import MI_BATCH_BUFFER_START_PPGTT
from tests.gpu_driver.memory import PAGE
from tests.unit.mediator.soft_gpu_fixture import Bench


@dataclass
class Placed:
    """A launch in a context's address space."""

    bench: Bench
    context: Context
    launch: Launch
    pages: dict[int, int]
    """Guest physical address of each GPU page."""

    def submit(self) -> None:
        """Put the batch into the ring, with a breadcrumb behind it."""
        driver, batch = self.bench.driver, self.launch.batch
        start = [MI_BATCH_BUFFER_START_PPGTT, batch & 0xFFFF_FFFF, batch >> 32, 0]
        driver.emit(self.context, [*start, *driver.breadcrumb(self.context.engine, 1)])
        driver.submit(self.context)

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at a GPU address."""
        data = b""
        while len(data) < size:
            at = address + len(data)
            count = min(size - len(data), PAGE - at % PAGE)
            page = self.pages[at & -PAGE]
            data += self.bench.driver.ram.read(page + at % PAGE, count)
        return data

    def complaints(self) -> list[str]:
        """What is wrong with the answers."""
        return self.launch.check(self.read)


def place(bench: Bench, launch: Launch, context: Context | None = None) -> Placed:
    """Put ``launch`` into memory of ``context``, or of a new one. Pages lie in reverse order."""
    driver = bench.driver
    context = context or driver.create_context("rcs0")
    pages: dict[int, int] = {}
    for segment in launch.segments:
        for at in reversed(range(0, len(segment.data), PAGE)):
            physical = driver.ram.allocate()
            driver.ram.write(physical, bytes(segment.data[at : at + PAGE]))
            context.tables.map(segment.address + at, physical)
            pages[segment.address + at] = physical
    return Placed(bench, context, launch, pages)
