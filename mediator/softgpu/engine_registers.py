"""The registers that each engine has: the rows of Gen9 with the handlers that need the engine.

The rows stand in `gen9/engine_register_facts.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.engine_register_facts import engine_register_rows
from mediator.gen9.engines import EngineFacts
from mediator.gen9.execlist import CSB_ENTRIES
from mediator.gen9.interrupts import EngineInterrupt
from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.address_space import PageFault
    from mediator.softgpu.engine import Engine
    from mediator.softgpu.gpu import SoftGpu

_PAGE_DIRECTORY_DWORDS = 8

Reader = Callable[["Engine"], int]
Writer = Callable[["Engine", int], None]


def engine_rows(facts: EngineFacts) -> list[Register[SoftGpu]]:
    """Rows of the engine's own registers, at absolute BAR0 offsets."""
    return [
        replace(
            row,
            read=_reader(facts.name, _READERS.get(row.offset - facts.mmio_base)),
            write=_writer(facts.name, _WRITERS.get(row.offset - facts.mmio_base)),
        )
        for row in engine_register_rows(facts)
    ]


def _reader(name: str, read: Reader | None) -> Callable[[SoftGpu, Register[SoftGpu]], int] | None:
    return None if read is None else lambda gpu, _row: read(gpu.engines[name])


def _writer(
    name: str, write: Writer | None
) -> Callable[[SoftGpu, Register[SoftGpu], int], None] | None:
    return None if write is None else lambda gpu, _row, value: write(gpu.engines[name], value)


def _stored(engine: Engine, offset: int) -> int:
    return engine.gpu.registers.values[(engine.mmio_base + offset) >> 2]


def _store(engine: Engine, offset: int, value: int) -> None:
    engine.gpu.registers.values[(engine.mmio_base + offset) >> 2] = value


def _read_head(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_HEAD) if running is None else running.ring.head


def _read_tail(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_TAIL) if running is None else running.ring.tail


def _read_start(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_START) if running is None else running.ring.start


def _read_control(engine: Engine) -> int:
    running = engine.context
    if running is None:
        return _stored(engine, reg.RING_CTL)
    waits = reg.RING_CTL_WAIT_SEMAPHORE if running.wait_reported else 0
    return running.ring.control | waits


def _batch_address(engine: Engine, *, second: bool) -> int:
    running = engine.context
    if running is None:
        return 0
    batch = running.second if second else running.batch
    return batch.address & 0xFFFF_FFFC | int(batch.active)


def _read_bb_addr_udw(engine: Engine) -> int:
    return 0 if engine.context is None else engine.context.batch.address >> 32


def _read_bb_state(engine: Engine) -> int:
    running = engine.context
    return reg.BB_STATE_PPGTT if running is not None and running.batch.ppgtt else 0


def _status(engine: Engine) -> tuple[int, int]:
    running = engine.context
    return engine.lists.status(arbitration=running is None or running.arbitration)


def _status_entry(engine: Engine, dword: int) -> int:
    entry = engine.lists.entries[dword >> 1]
    return entry.context_id if dword & 1 else entry.event


def _read_status_pointer(engine: Engine) -> int:
    return _status_pointer(engine.lists.write_pointer, engine.lists.read_pointer)


def _status_pointer(write: int, read: int) -> int:
    return reg.CONTEXT_STATUS_WRITE.put(write, reg.CONTEXT_STATUS_READ.put(read))


def _write_status_pointer(engine: Engine, value: int) -> None:
    """Both pointers can be set; a write pointer past the last entry is taken as the last."""
    lists = engine.lists
    lists.write_pointer = min(reg.CONTEXT_STATUS_WRITE.get(value), CSB_ENTRIES - 1)
    lists.read_pointer = reg.CONTEXT_STATUS_READ.get(value)
    note_status_pointer(engine)


def note_status_pointer(engine: Engine) -> None:
    """The pointers have moved: a MASKED write to one of them leaves the other where it is now."""
    _store(engine, reg.RING_CONTEXT_STATUS_PTR, _read_status_pointer(engine))


def note_hang(engine: Engine, command: int | None, fault: PageFault | None) -> None:
    """Say in the error registers why the engine stands still. The caller holds the GPU's lock.

    ``command``: first dword of what it stands at, if that was read.
    """
    if command is not None:
        _store(engine, reg.RING_IPEHR, command)
    if fault is not None:
        engine.gpu.record_fault(engine.facts, fault)
        return
    _store(engine, reg.RING_EIR, _stored(engine, reg.RING_EIR) | reg.EIR_INSTRUCTION_ERROR)
    if not _stored(engine, reg.RING_EMR) & reg.EIR_INSTRUCTION_ERROR:
        engine.notify(EngineInterrupt.MASTER_ERROR)


def _read_mi_mode(engine: Engine) -> int:
    """MODE_IDLE is set while the ring stands still: stopped, or with nothing to run."""
    mode = _stored(engine, reg.RING_MI_MODE) & ~reg.MI_MODE_IDLE
    stands = not engine.executing and (engine.abandon or engine.context is None)
    if not engine.gpu.answers.there(engine.mmio_base + reg.RING_MI_MODE):
        stands = False
    return mode | reg.MI_MODE_IDLE if stands else mode


def _write_mi_mode(engine: Engine, value: int) -> None:
    if value & reg.MI_MODE_STOP_RING:
        engine.gpu.answers.ask(engine.mmio_base + reg.RING_MI_MODE)
        engine.halt()
    elif engine.abandon:
        engine.resume()


def _write_reset_ctl(engine: Engine, value: int) -> None:
    """A reset request is answered with "ready" once the engine stands; withdrawing it clears it."""
    if value & reg.RESET_CTL_CAT_ERROR:
        value &= ~reg.RESET_CTL_CAT_ERROR
    if value & reg.RESET_CTL_REQUEST:
        engine.gpu.answers.ask(engine.mmio_base + reg.RING_RESET_CTL)
        if engine.halt():
            value |= reg.RESET_CTL_READY
    else:
        value &= ~reg.RESET_CTL_READY
        if not _stored(engine, reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING:
            engine.resume()
    _store(engine, reg.RING_RESET_CTL, value)


def _read_reset_ctl(engine: Engine) -> int:
    value = _stored(engine, reg.RING_RESET_CTL)
    ready = engine.gpu.answers.there(engine.mmio_base + reg.RING_RESET_CTL)
    return value if ready else value & ~reg.RESET_CTL_READY


_READERS: dict[int, Reader] = {
    reg.RING_TAIL: _read_tail,
    reg.RING_HEAD: _read_head,
    reg.RING_START: _read_start,
    reg.RING_CTL: _read_control,
    reg.RING_ACTHD_UDW: lambda e: e.active_head() >> 32,
    reg.RING_DMA_FADD_UDW: lambda e: e.active_head() >> 32,
    reg.RING_ACTHD: lambda e: e.active_head() & 0xFFFF_FFFF,
    reg.RING_DMA_FADD: lambda e: e.active_head() & 0xFFFF_FFFF,
    reg.RING_MI_MODE: _read_mi_mode,
    reg.RING_RESET_CTL: _read_reset_ctl,
    reg.RING_BB_STATE: _read_bb_state,
    reg.RING_SBB_ADDR: lambda e: _batch_address(e, second=True),
    reg.RING_BB_ADDR: lambda e: _batch_address(e, second=False),
    reg.RING_BB_ADDR_UDW: _read_bb_addr_udw,
    reg.RING_EXECLIST_STATUS_LO: lambda e: _status(e)[0],
    reg.RING_EXECLIST_STATUS_HI: lambda e: _status(e)[1],
    reg.RING_TIMESTAMP: lambda e: e.timestamp() & 0xFFFF_FFFF,
    reg.RING_TIMESTAMP_UDW: lambda e: e.timestamp() >> 32,
    reg.RING_CTX_TIMESTAMP: lambda e: e.context_timestamp(),
    **{
        reg.RING_CONTEXT_STATUS_BUFFER + 4 * dword: partial(_status_entry, dword=dword)
        for dword in range(2 * CSB_ENTRIES)
    },
    reg.RING_CONTEXT_STATUS_PTR: _read_status_pointer,
}
"""Handlers by offset from the engine's base."""
_WRITERS: dict[int, Writer] = {
    reg.RING_MI_MODE: _write_mi_mode,
    reg.RING_RESET_CTL: _write_reset_ctl,
    reg.RING_ELSP: lambda e, value: e.submit(value),
    **dict.fromkeys(
        range(reg.RING_PDP0_LDW, reg.RING_PDP0_LDW + 4 * _PAGE_DIRECTORY_DWORDS, 4),
        lambda e, _value: e.load_page_directory(),
    ),
    reg.RING_CONTEXT_STATUS_PTR: _write_status_pointer,
}
