"""`vgpud` with a fault in it, for the fuzzer to find.

``python -m tests.fuzz.hostile_guest.faulty_daemon FAULT serve ...``
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable

from mediator.physical.partition import Window
from mediator.softgpu.eu.dispatch.native_pool import Subslice
from mediator.vgpu.engine import VirtualEngine
from mediator.vgpu.ggtt import VirtualGgtt
from mmio_trap.guest_memory import GuestMemory
from vgpu_ctl.vgpud import main as vgpud


def foreign_ggtt() -> None:
    """A vGPU owns every GGTT address, if one asks whether it does."""
    VirtualGgtt.owns = lambda _ggtt, _address, _length: True  # type: ignore


def endless_window() -> None:
    """A vGPU's window of the DMA space ends nowhere."""
    Window.iova = lambda window, address, _length=0: window.base + address  # type: ignore


def kept_files() -> None:
    """Memory of a guest that has gone is not let go of, nor the first file in it."""
    kept: dict[GuestMemory, int] = {}
    map_range = GuestMemory.map

    def keeping(
        memory: GuestMemory,
        address: int,
        size: int,
        fd: int | None,
        fd_offset: int,
        readable: bool,
        writable: bool,
    ) -> None:
        map_range(memory, address, size, fd, fd_offset, readable, writable)
        if fd is not None and memory not in kept:
            kept[memory] = os.dup(fd)

    GuestMemory.map = keeping  # type: ignore
    GuestMemory.close = lambda _memory: None  # type: ignore


def failing_port() -> None:
    """Each ten thousandth write to a submission port is one too many."""
    number = itertools.count(1)
    write_elsp = VirtualEngine.write_elsp

    def failing(engine: VirtualEngine, value: int) -> None:
        if next(number) % 10_000 == 0:
            raise ValueError("one too many")
        write_elsp(engine, value)

    VirtualEngine.write_elsp = failing  # type: ignore


def kept_registers() -> None:
    """What a guest's kernel left in its registers the next guest's kernel finds there."""
    Subslice.clean = lambda _subslice, _threads: None  # type: ignore


FAULTS: dict[str, Callable[[], None]] = {
    make.__name__.replace("_", "-"): make
    for make in (foreign_ggtt, endless_window, kept_files, failing_port, kept_registers)
}


def main() -> None:
    """Be `vgpud` with the fault."""
    FAULTS[sys.argv.pop(1)]()
    vgpud()


if __name__ == "__main__":
    main()
