"""Keep what a driver submits: a batch with all memory that goes with it, as a fixture."""

import os
from dataclasses import dataclass, field

from tests.drm_shim.service import Gpu, Submission, data_in
from tests.eu_corpus.launch import Segment

_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Capture:
    """One submission and the memory as it was before; what was never touched is zero."""

    submission: Submission
    segments: list[Segment]


@dataclass
class Recorder:
    """A `Gpu` that remembers what it hands on: drivers wait for what their batches write."""

    gpu: Gpu
    captures: list[Capture] = field(default_factory=list)
    _file: int = -1

    def attach(self, file: int) -> None:
        """See `Gpu`."""
        self._file = os.dup(file)
        self.gpu.attach(file)

    def run(self, submission: Submission) -> int:
        """See `Gpu`."""
        segments = []
        for extent in submission.extents:
            pieces = data_in(self._file, extent.offset, extent.size)
            if extent.size <= _MOST_BYTES:
                data = bytearray(extent.size)
                for at, content in pieces:
                    data[at : at + len(content)] = content
                segments.append(Segment(extent.address, data))
            else:
                segments += [Segment(extent.address + at, bytearray(c)) for at, c in pieces]
        self.captures.append(Capture(submission, segments))
        return self.gpu.run(submission)

    def timestamp(self) -> int:
        """See `Gpu`."""
        return self.gpu.timestamp()

    def context_gone(self, context: int) -> None:
        """See `Gpu`."""
        self.gpu.context_gone(context)

    def detach(self) -> None:
        """See `Gpu`."""
        self.gpu.detach()
        os.close(self._file)
