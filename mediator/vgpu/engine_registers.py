"""The registers of each engine as a vGPU has them: Gen9's rows with the handlers of a vGPU.

What a guest writes here never goes to the hardware by itself: the virtual engine (`engine.py`)
decides. The rows stand in `gen9/engine_register_facts.py`, the policies in `register_policy.py`.
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
from mmio_trap.register_map import Access, Register

if TYPE_CHECKING:
    from mediator.vgpu.engine import VirtualEngine
    from mediator.vgpu.vgpu import Vgpu

_DWORD = 0xFFFF_FFFF
_MASK_SHIFT = 16

Reader = Callable[["VirtualEngine"], int]
Writer = Callable[["Vgpu", "VirtualEngine", int], None]


def engine_rows(facts: EngineFacts) -> list[Register[Vgpu]]:
    """Rows of the engine's own registers, at absolute BAR0 offsets."""
    return [_attach(facts, row) for row in engine_register_rows(facts)]


def _attach(facts: EngineFacts, row: Register[Vgpu]) -> Register[Vgpu]:
    relative = row.offset - facts.mmio_base
    read, write = _READERS.get(relative), _WRITERS.get(relative)
    if relative == reg.RING_CONTEXT_STATUS_PTR:
        # Its pointers move by themselves: the handler applies the mask to what they are now.
        row = replace(row, access=Access.WO)
    return replace(
        row,
        read=None if read is None else _bind_read(facts.name, read),
        write=None if write is None else _bind_write(facts.name, write),
    )


def _bind_read(name: str, read: Reader) -> Callable[[Vgpu, Register[Vgpu]], int]:
    return lambda vgpu, _row: read(vgpu.engines[name])


def _bind_write(name: str, write: Writer) -> Callable[[Vgpu, Register[Vgpu], int], None]:
    return lambda vgpu, _row, value: write(vgpu, vgpu.engines[name], value)


def _read_status_entry(engine: VirtualEngine, *, dword: int) -> int:
    return engine.status_entry(dword)


def _write_status_pointer(_vgpu: Vgpu, engine: VirtualEngine, value: int) -> None:
    enabled = value >> _MASK_SHIFT
    engine.write_status_pointer(engine.status_pointer() & ~enabled | value & enabled)


def _write_elsp(_vgpu: Vgpu, engine: VirtualEngine, value: int) -> None:
    engine.write_elsp(value)


def _write_imr(vgpu: Vgpu, engine: VirtualEngine, value: int) -> None:
    """The hardware raises what the guest has open, and nothing more."""
    vgpu.dispatcher.note_mask(vgpu, engine.facts.name, value)


def _write_mi_mode(_vgpu: Vgpu, engine: VirtualEngine, value: int) -> None:
    if value & reg.MI_MODE_STOP_RING:
        engine.stop()
    else:
        engine.resume()


def _write_reset_ctl(vgpu: Vgpu, engine: VirtualEngine, value: int) -> None:
    """A request is answered with "ready"; taking it back takes the answer back."""
    value &= ~reg.RESET_CTL_CAT_ERROR
    if value & reg.RESET_CTL_REQUEST:
        if engine.request_reset():
            value |= reg.RESET_CTL_READY
    else:
        value &= ~reg.RESET_CTL_READY
        engine.withdraw_reset()
    vgpu.registers.values[(engine.facts.mmio_base + reg.RING_RESET_CTL) >> 2] = value


def _read_mi_mode(engine: VirtualEngine) -> int:
    """MODE_IDLE is set while the ring stands still: stopped, or with nothing to run."""
    values = engine.vgpu.registers.values
    mode = values[(engine.facts.mmio_base + reg.RING_MI_MODE) >> 2] & ~reg.MI_MODE_IDLE
    return mode | reg.MI_MODE_IDLE if engine.stands() else mode


_READERS: dict[int, Reader] = {
    reg.RING_TAIL: lambda engine: engine.ring_tail(),
    reg.RING_HEAD: lambda engine: engine.ring_head(),
    reg.RING_START: lambda engine: engine.ring_start(),
    reg.RING_CTL: lambda engine: engine.ring_control(),
    reg.RING_IPEIR: lambda engine: engine.error_register(reg.RING_IPEIR),
    reg.RING_IPEHR: lambda engine: engine.error_register(reg.RING_IPEHR),
    reg.RING_INSTDONE: lambda engine: engine.error_register(reg.RING_INSTDONE),
    reg.RING_INSTPS: lambda engine: engine.error_register(reg.RING_INSTPS),
    reg.RING_ACTHD: lambda engine: engine.active_head() & _DWORD,
    reg.RING_ACTHD_UDW: lambda engine: engine.active_head() >> 32,
    reg.RING_DMA_FADD: lambda engine: engine.active_head() & _DWORD,
    reg.RING_DMA_FADD_UDW: lambda engine: engine.active_head() >> 32,
    reg.RING_MI_MODE: _read_mi_mode,
    reg.RING_BB_STATE: lambda engine: engine.batch_state(),
    reg.RING_BB_ADDR: lambda engine: engine.batch_address(second=False) & _DWORD,
    reg.RING_BB_ADDR_UDW: lambda engine: engine.batch_address(second=False) >> 32,
    reg.RING_SBB_ADDR: lambda engine: engine.batch_address(second=True) & _DWORD,
    reg.RING_SBB_ADDR_UDW: lambda engine: engine.batch_address(second=True) >> 32,
    reg.RING_EXECLIST_STATUS_LO: lambda engine: engine.status()[0],
    reg.RING_EXECLIST_STATUS_HI: lambda engine: engine.status()[1],
    **{
        reg.RING_CONTEXT_STATUS_BUFFER + 4 * dword: partial(_read_status_entry, dword=dword)
        for dword in range(2 * CSB_ENTRIES)
    },
    reg.RING_CONTEXT_STATUS_PTR: lambda engine: engine.status_pointer(),
    reg.RING_TIMESTAMP: lambda engine: engine.timestamp() & _DWORD,
    reg.RING_TIMESTAMP_UDW: lambda engine: engine.timestamp() >> 32,
    reg.RING_CTX_TIMESTAMP: lambda engine: engine.context_timestamp(),
}
"""Handlers by offset from the engine's base."""

_WRITERS: dict[int, Writer] = {
    reg.RING_ELSP: _write_elsp,
    reg.RING_CONTEXT_STATUS_PTR: _write_status_pointer,
    reg.RING_IMR: _write_imr,
    reg.RING_MI_MODE: _write_mi_mode,
    reg.RING_RESET_CTL: _write_reset_ctl,
}
