"""Whatever C was given pointers into is let go before a routine returns, also when it raises.

A buffer that stays exported cannot be resized or closed, and the garbage collector may find it in
an order that CPython does not survive.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mediator.hotpath.interface import (
    HEADERS,
    Blit,
    PageFault,
    ShadowTables,
    Surface,
    TablesFull,
    Tiling,
)
from mmio_trap.guest_memory import GuestAddressError
from tests.guest_ram import PAGE, GuestRam, Tables

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

EXPECTED = (PageFault, TablesFull, GuestAddressError, BufferError, AssertionError, AttributeError)


class Watched:
    """`ffi`, and the buffers that were taken by it."""

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi
        self.taken: list[Any] = []

    def from_buffer(self, *arguments: Any, **named: Any) -> Any:
        buffer = self._ffi.from_buffer(*arguments, **named)
        self.taken.append(buffer)
        return buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ffi, name)


class World:
    """A page of memory that the GGTT, a PPGTT and a shadow reach, while it is recorded."""

    def __init__(self) -> None:
        self.ram = GuestRam(16)
        self.memory = self.ram.memory
        self.page = self.ram.page()
        self.ggtt = self.ram.ggtt({0: self.page})
        tables = Tables(self.ram)
        tables.map(0, self.page)
        self.ppgtt = tables.space()
        self.memory.start_recording()

    def shadow(self, slots: int) -> ShadowTables:
        tables, copies = (memoryview(bytearray(slots * PAGE)).cast("Q") for _ in range(2))
        nodes = memoryview(bytearray(slots * 16)).cast("Q")
        index = memoryview(bytearray(4 << (2 * slots - 1).bit_length())).cast("I")
        counts = array("Q", [0] * 9)
        return ShadowTables(tables, copies, nodes, index, counts, 1 << 38, 0, 1 << 36, 1)

    def blit(self, rows: int, abort: Callable[[], bool] = lambda: False) -> None:
        native.blit(self.ggtt, Blit(Surface(0, 64, Tiling.LINEAR), 0, 0, 64, rows, rop=0xFF), abort)

    def stop_recording(self) -> bool:
        self.memory.stop_recording()
        return False

    def refuse(self) -> bool:
        raise AssertionError("asked")


def dwords(count: int) -> memoryview:
    return memoryview(bytearray(4 * count)).cast("I")


READ_ONLY = memoryview(bytes(4 * PAGE))
CALLS: dict[str, Callable[[World], object]] = {
    "translate": lambda w: native.translate(w.ggtt, 0),
    "translate what is absent": lambda w: native.translate(w.ppgtt, 1 << 40),
    "compare_exchange": lambda w: native.compare_exchange(w.memory, w.page, 8, 0, 1),
    "compare_exchange nowhere": lambda w: native.compare_exchange(w.memory, 0, 8, 0, 1),
    "store_run": lambda w: native.store_run(dwords(8), 0x10400002, 0xFFF, 0, dwords(1024)),
    "store_run to what cannot be written": lambda w: native.store_run(
        dwords(8), 0x10400002, 0xFFF, 0, READ_ONLY.cast("I")
    ),
    "read_space": lambda w: native.read_space(w.ggtt, 0, memoryview(bytearray(64))),
    "read_space without a space": lambda w: native.read_space(None, 0, memoryview(bytearray(64))),
    "skip_commands": lambda w: native.skip_commands(
        array("I", [0] * 8), 0, array("Q", [0] * HEADERS), bytearray(8)
    ),
    "skip_commands without a place for marks": lambda w: native.skip_commands(
        array("I", [0] * 8), 0, array("Q", [0] * HEADERS), bytes(8)
    ),
    "compare_pages": lambda w: native.compare_pages(
        w.memory, array("Q", [w.page]), memoryview(bytearray(PAGE))
    ),
    "compare_pages of another length": lambda w: native.compare_pages(
        w.memory, array("Q", [w.page]), memoryview(bytearray(8))
    ),
    "shadow_sync": lambda w: native.shadow_sync(w.memory, w.shadow(8), w.ppgtt.root),
    "shadow_sync nowhere": lambda w: native.shadow_sync(w.memory, w.shadow(8), 0),
    "shadow_sync without room": lambda w: native.shadow_sync(w.memory, w.shadow(1), w.ppgtt.root),
    "shadow_sync without a shadow": lambda w: native.shadow_sync(w.memory, None, w.ppgtt.root),
    "shadow_keep without a shadow": lambda w: native.shadow_keep(None, [w.ppgtt.root]),
    "shadow_keep": lambda w: native.shadow_keep(w.shadow(8), [w.ppgtt.root]),
    "blit": lambda w: w.blit(64),
    "blit beyond": lambda w: w.blit(65),
    "blit that is given up": lambda w: w.blit(1, lambda: True),
    "blit whose question fails": lambda w: w.blit(1, w.refuse),
    "blit while recording ends": lambda w: w.blit(1, w.stop_recording),
}
RAISING = ("absent", "nowhere", "cannot", "without", "another", "beyond", "fails")


@pytest.mark.parametrize("name", CALLS)
def test_every_buffer_is_let_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    watched = Watched(native.ffi)
    monkeypatch.setattr(native, "ffi", watched)
    raised = False
    with suppress(*EXPECTED):
        raised = True
        CALLS[name](world)
        raised = False
    assert raised == any(word in name for word in RAISING)
    assert watched.taken
    assert [each for each in watched.taken if "RELEASED" not in repr(each)] == []
