"""The threads of one group: their registers as NumPy views over blocks of ``struct eu_thread``, and
where each channel stands.

The first axis of every array is the thread. Compiled code, the message routines and the interpreter
see the same blocks (``mediator/softgpu/eu/native/abi.h``).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mediator.softgpu.eu.interpreter.numpy_ops import DTYPES
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT
from mediator.softgpu.eu.semantics.accumulator import ACCUMULATOR_BYTES

CHANNELS: Final = 32

BLOCK: Final = np.dtype(
    [
        ("grf", np.uint8, GRF_BYTES * GRF_COUNT),
        ("acc", np.uint8, ACCUMULATOR_BYTES),
        ("acc_high", np.int64, 32),
        ("flags", np.uint64),
        ("a0", np.uint16, 16),
        ("cr0", np.uint32, 4),
        ("sr0", np.uint32, 4),
        ("n0", np.uint32, 4),
        ("tm0", np.uint32, 4),
        ("sp", np.uint32, 2),
        ("dispatch_mask", np.uint32),
        ("resume", np.uint32),
        ("arrived", np.uint32),
        ("scratch_slot", np.uint32),
        ("masks", np.uint32, 64),
        ("pixel_mask", np.uint32),
        ("pixel_x", np.uint32),
        ("pixel_y", np.uint32),
        ("pixel_layer", np.uint32),
        ("pixel_writes", np.uint32),
        ("pixel_reserved", np.uint32),
        ("reserved", np.uint64, 5),
    ],
    align=True,
)
"""``struct eu_thread``."""

Rows = slice | NDArray[np.intp]
"""Which threads: all of them (`ALL`), or some by number."""
ALL: Final = slice(None)
_NOWHERE: Final = -1
_DISPATCH: Final = 2
"""The dword of sr0 that says which channels were dispatched."""


class Threads:
    """``count`` threads, all at the entry of their kernel once `start` is called."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.blocks: NDArray[Any] = np.zeros(count, BLOCK)
        self.bytes: NDArray[np.uint8] = self.blocks.view(np.uint8).reshape(count, BLOCK.itemsize)
        grf = self.bytes[:, : GRF_BYTES * GRF_COUNT]
        self.grf: dict[Any, NDArray[Any]] = {
            kind: grf.view(dtype) for kind, dtype in DTYPES.items()
        }
        """The general registers as elements of each type."""
        self.flags: NDArray[np.uint64] = self.blocks["flags"]
        self.ip = np.zeros(count, np.int64)
        """Where each thread goes on, from the entry."""
        self.active = np.zeros((count, CHANNELS), np.bool_)
        """Channels that run at ``ip``."""
        self.parked = np.full((count, CHANNELS), _NOWHERE, np.int64)
        """Where the others wait to be met."""
        self.meetings: set[int] = set()
        """Where channels of this group have ever been parked."""
        self.ended = np.zeros(count, np.bool_)

    def start(self) -> None:
        """Put the dispatched channels of every thread at the entry, and tell them in sr0.2."""
        masks = self.blocks["dispatch_mask"].astype("<u4").view(np.uint8).reshape(self.count, 4)
        self.active[:] = np.unpackbits(masks, axis=1, bitorder="little")
        self.parked[:] = _NOWHERE
        self.ip[:] = 0
        self.ended[:] = False
        self.meetings.clear()
        self.blocks["resume"] = 0
        self.blocks["sr0"][:, _DISPATCH] = self.blocks["dispatch_mask"]

    # Channels

    def park(self, rows: Rows, lanes: NDArray[np.bool_], offset: int | NDArray[np.int64]) -> None:
        """Let channels (``lanes``: thread, channel) wait until their thread comes to ``offset``."""
        if isinstance(offset, int):
            self.meetings.add(offset)
            where: int | NDArray[np.int64] = offset
        else:
            self.meetings.update(offset[somebody(lanes)].tolist())
            where = offset[:, None]
        self.active[rows] &= ~lanes
        self.parked[rows] = np.where(lanes, where, self.parked[rows])

    def gather(self, rows: Rows, offset: int) -> None:
        """Wake the channels that wait at ``offset``."""
        here = self.parked[rows] == offset
        if here.any():
            self.active[rows] |= here
            self.parked[rows] = np.where(here, _NOWHERE, self.parked[rows])

    def channel_mask(self, rows: Rows) -> NDArray[np.uint32]:
        """The active channels as a number, channel 0 as bit 0."""
        return packed(self.active[rows]).astype(np.uint32)

    # Flags

    def flag_lanes(self, rows: Rows, position: int, width: int) -> NDArray[np.bool_]:
        """Flag bits from ``position`` on, as lanes."""
        shifts = np.arange(position, position + width, dtype=np.uint64) & np.uint64(63)
        found: NDArray[np.bool_] = (self.flags[rows][:, None] >> shifts & np.uint64(1)) != 0
        return found

    def write_flag(
        self,
        rows: Rows,
        position: int,
        lanes: NDArray[np.bool_],
        mask: NDArray[np.bool_] | None,
        width: int,
    ) -> None:
        """Write flag bits from ``position`` on, those of ``mask`` alone."""
        count = len(self.flags[rows])
        lanes = np.broadcast_to(lanes, (count, width))
        mask = np.ones((count, width), np.bool_) if mask is None else mask
        shift = np.uint64(position)
        written, ones = packed(mask) << shift, packed(mask & lanes) << shift
        self.flags[rows] = self.flags[rows] & ~written | ones


def packed(lanes: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Lanes of each thread (32 at most) as a number, lane 0 as bit 0."""
    found = np.zeros((len(lanes), 8), np.uint8)
    some = np.packbits(lanes, axis=1, bitorder="little")
    found[:, : some.shape[1]] = some
    return found.view("<u8").reshape(len(lanes)).astype(np.uint64)


def somebody(lanes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any lane of each thread is true."""
    found: NDArray[np.bool_] = np.logical_or.reduce(lanes, axis=1)
    return found
