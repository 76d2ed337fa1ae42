"""Interrupts of the software GPU: engine event -> bank -> master -> the PCI function's line.

An engine event passes the engine's RING_IMR, then its bank's IMR, and is latched in IIR, which
holds two of a kind: a second one shows when the first is cleared; IIR and
IER together set the status bit in the master register; the line is asserted while the master
enable is set and any status bit is. A driver disables the master, serves, and enables it again:
if something is pending then, the line rises anew, which a message-signalled interrupt sees as
an edge. Source: PRM SKL vol 3 "GT/Display interrupts"; Linux i915 gen8_irq_handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.interrupts import BANKS, MASTER_ENABLE, MASTER_IRQ, Bank

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineFacts
    from mediator.softgpu.gpu import SoftGpu
    from mmio_trap.register_map import Register

_BANKS = tuple((bank.iir >> 2, bank.ier >> 2, bank.sources) for bank in BANKS)
"""For the sake of speed: dwords of IIR and IER, and what they raise."""


def raise_engine_event(gpu: SoftGpu, facts: EngineFacts, ring_imr: int, bit: int) -> None:
    """Latch event ``bit`` (0..15) of an engine unless a mask holds it back; lock held.

    RING_IMR has its bits where the bank has them: those of BCS are the upper half's.
    """
    event = 1 << (bit + facts.interrupt_shift)
    if not ring_imr & event:
        latch(gpu, facts.interrupt_bank, event)


def latch(gpu: SoftGpu, bank: Bank, bits: int) -> None:
    """Set ``bits`` in the bank's IIR where its IMR allows, and update the line."""
    values = gpu.registers.values
    allowed = bits & ~values[bank.imr >> 2]
    if not allowed:
        return
    again = values[bank.iir >> 2] & allowed
    if again:
        gpu.queued_events[bank.iir] = gpu.queued_events.get(bank.iir, 0) | again
    values[bank.iir >> 2] |= allowed
    gpu.counters.interrupts += 1
    update_line(gpu)


def pending(gpu: SoftGpu) -> int:
    """Status bits of the master register: one for each source with an enabled, latched event."""
    values = gpu.registers.values
    status = 0
    for iir, ier, sources in _BANKS:
        active = values[iir] & values[ier]
        if active:
            for bits, master_bit in sources:
                if active & bits:
                    status |= master_bit
    return status


def update_line(gpu: SoftGpu) -> None:
    """Drive the function's interrupt line from master enable and pending sources."""
    enabled = gpu.registers.values[MASTER_IRQ >> 2] & MASTER_ENABLE
    gpu.interrupts.set_level(bool(enabled and pending(gpu)))


def read_master(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """GEN8_MASTER_IRQ: the enable bit and the live status bits."""
    return (gpu.registers.values[MASTER_IRQ >> 2] & MASTER_ENABLE) | pending(gpu)


def write_master(gpu: SoftGpu, _register: Register[SoftGpu], value: int) -> None:
    """Only the enable bit is writable."""
    gpu.registers.values[MASTER_IRQ >> 2] = value & MASTER_ENABLE
    update_line(gpu)


def write_bank(gpu: SoftGpu, _register: Register[SoftGpu], _value: int) -> None:
    """IMR or IER of a bank has changed: the line follows."""
    update_line(gpu)


def clear_events(gpu: SoftGpu, register: Register[SoftGpu], left: int) -> None:
    """IIR: events were cleared but for ``left``; those that had come a second time show again."""
    queued = gpu.queued_events.pop(register.offset, 0)
    if queued:
        gpu.registers.values[register.offset >> 2] = left | queued
        if queued & left:
            gpu.queued_events[register.offset] = queued & left
    update_line(gpu)
