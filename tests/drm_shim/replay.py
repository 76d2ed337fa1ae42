"""Carry out again what a driver submitted, without the driver: captures in their order.

A driver's state lives in its contexts from one batch to the next, so all captures of a process are
replayed one after the other, each on the memory that it began with. Time stands still, so that two
replays leave the same behind.
"""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from tests.drm_shim.recorder import Capture
from tests.drm_shim.runner import Runner
from tests.drm_shim.seat import NativeSeat
from tests.drm_shim.service import FILE_BYTES, Extent, data_in


class Replayer:
    """A software GPU with ``units`` and memory for one process's captures; a context manager."""

    def __init__(self, units: ExecutionUnits) -> None:
        self.seat = NativeSeat(units=units, clock=lambda: 0)
        self._runner = Runner(self.seat)
        self._file = os.memfd_create("replay")
        os.ftruncate(self._file, FILE_BYTES)
        self._runner.attach(os.dup(self._file))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.close()
        os.close(self._file)

    def run(self, capture: Capture) -> int:
        """Put the memory as it was, and carry the batch out: 0, or a negative error number."""
        places = capture.submission.extents
        for segment in capture.segments:
            extent = next(e for e in places if 0 <= segment.address - e.address < e.size)
            at = extent.offset + segment.address - extent.address
            os.pwrite(self._file, segment.data, at)
        return self._runner.run(capture.submission)

    def left(self, extent: Extent) -> Iterator[tuple[int, bytes]]:
        """What is in the memory of an extent: (GPU address, bytes), and zero between."""
        for at, content in data_in(self._file, extent.offset, extent.size):
            yield extent.address + at, content
