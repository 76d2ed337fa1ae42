"""Memory of the mediator that the GPU reaches: shadow rings, contexts, batches, page tables.

One memfd for each slab, mapped here and into DMA space. Pages take memory only once touched, and
`scrub` gives them back: what was in them is gone for good.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from array import array
from contextlib import suppress

from mediator.physical.partition import PAGE

_PUNCH = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Slab:
    """``size`` bytes of mediator memory at I/O virtual address ``iova``, zero at first.

    ``ggtt`` is the GGTT address of its first byte; only its first ``ggtt_size`` bytes are mapped
    there. Making one raises OSError when memory or file descriptors are short.
    """

    def __init__(self, size: int, iova: int, ggtt: int, ggtt_size: int) -> None:
        self.size = size
        self.iova = iova
        self.ggtt = ggtt
        self.ggtt_size = ggtt_size
        self.fd = os.memfd_create("vgpud-slab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self.bytes = mmap.mmap(self.fd, size)
        except OSError:
            os.close(self.fd)
            raise
        self.u32 = memoryview(self.bytes).cast("I")
        self.u64 = memoryview(self.bytes).cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        """Host address of the first byte, for C."""

    def entries(self, offset: int = 0, pages: int | None = None) -> bytes:
        """The GGTT entries that map ``pages`` pages (its GGTT part, without) from ``offset`` on."""
        first = self.iova + offset | 1
        count = self.ggtt_size // PAGE if pages is None else pages
        return array("Q", range(first, first + PAGE * count, PAGE)).tobytes()

    def scrub(self, offset: int = 0, size: int | None = None) -> None:
        """Make ``size`` bytes from ``offset`` on (whole pages; all, without) zero again."""
        length = self.size - offset if size is None else size
        if _LIBC.fallocate(self.fd, _PUNCH, offset, length):
            self.bytes[offset : offset + length] = bytes(length)

    def close(self) -> None:
        """Give it back. Nobody maps it any more, and nobody uses it."""
        self.scrub()
        self.u32.release()
        self.u64.release()
        with suppress(BufferError):  # a view is still held: unmapped together with the view
            self.bytes.close()
        os.close(self.fd)
        self.fd = -1
