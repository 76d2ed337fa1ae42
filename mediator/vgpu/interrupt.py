"""Virtual interrupts of a vGPU: engine event -> bank -> master -> the PCI function's line.

An event passes the engine's RING_IMR, then the IMR of its bank, and is latched in IIR; where IIR
and IER meet, the master register shows its status bit; the line is up while the master enable and
any status bit are set. A message-signalled interrupt sees each rise of the line, so a driver that
enables the master again with something pending hears of it again.
Source: PRM SKL vol 3 "GT/Display interrupts"; facts in `gen9/interrupts.py`. The vGPU's lock is
held in all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.interrupts import BANKS, MASTER_ENABLE, MASTER_IRQ, Bank
from mediator.gen9.registers import RING_IMR

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineFacts
    from mediator.vgpu.vgpu import Vgpu
    from mmio_trap.register_map import Register


_BANKS = tuple((bank.iir >> 2, bank.ier >> 2, bank.sources) for bank in BANKS)
"""For the sake of speed: dwords of IIR and IER, and what they raise."""


def raise_engine_event(vgpu: Vgpu, facts: EngineFacts, bit: int) -> None:
    """Event ``bit`` (0..15) of an engine has happened: latch it unless a mask holds it back.

    RING_IMR has its bits where the bank has them: those of BCS are the upper half's.
    """
    raise_engine_events(vgpu, facts, 1 << bit)


def raise_engine_events(vgpu: Vgpu, facts: EngineFacts, bits: int) -> None:
    """As `raise_engine_event` for each of ``bits`` (16 bits), with one look at the line."""
    events = bits << facts.interrupt_shift
    events &= ~vgpu.registers.values[(facts.mmio_base + RING_IMR) >> 2]
    if events:
        latch(vgpu, facts.interrupt_bank, events)


def latch(vgpu: Vgpu, bank: Bank, bits: int) -> None:
    """Set ``bits`` in the bank's IIR where its IMR lets them through; the line follows."""
    values = vgpu.registers.values
    allowed = bits & ~values[bank.imr >> 2]
    if allowed:
        twice = values[bank.iir >> 2] & allowed
        if twice:
            vgpu.second_events[bank.iir] = vgpu.second_events.get(bank.iir, 0) | twice
        values[bank.iir >> 2] |= allowed
        update_line(vgpu)


def pending(vgpu: Vgpu) -> int:
    """Status bits of the master register: one for each source with a latched, enabled event."""
    values = vgpu.registers.values
    status = 0
    for iir, ier, sources in _BANKS:
        active = values[iir] & values[ier]
        if active:
            for bits, master_bit in sources:
                if active & bits:
                    status |= master_bit
    return status


def update_line(vgpu: Vgpu) -> None:
    """Drive the function's line; also after registers were reset or loaded.

    Not while it is held: who serves several events lets the guest hear of all of them at once.
    """
    if vgpu.line_held:
        return
    enabled = vgpu.registers.values[MASTER_IRQ >> 2] & MASTER_ENABLE
    delivered = vgpu.interrupts.delivered
    vgpu.interrupts.set_level(bool(enabled and pending(vgpu)))
    if vgpu.trace is not None and vgpu.interrupts.delivered != delivered:
        vgpu.note("interrupts", f"interrupt, master {pending(vgpu):#x}", vgpu.clock())


def read_master(vgpu: Vgpu, _register: Register[Vgpu]) -> int:
    """GEN8_MASTER_IRQ: the enable bit, and the status bits as they are now."""
    return (vgpu.registers.values[MASTER_IRQ >> 2] & MASTER_ENABLE) | pending(vgpu)


def write_master(vgpu: Vgpu, _register: Register[Vgpu], value: int) -> None:
    """Of GEN8_MASTER_IRQ only the enable bit can be written."""
    vgpu.registers.values[MASTER_IRQ >> 2] = value & MASTER_ENABLE
    update_line(vgpu)


def write_bank(vgpu: Vgpu, _register: Register[Vgpu], _value: int) -> None:
    """IMR or IER of a bank has changed."""
    update_line(vgpu)


def write_events(vgpu: Vgpu, register: Register[Vgpu], remaining: int) -> None:
    """IIR was written: what was cleared and had come twice is there once more.

    Without this, a driver whose posted write clears an event that came after it looked would
    never hear of that event.
    """
    second = vgpu.second_events
    twice = second.get(register.offset, 0)
    if twice:
        vgpu.registers.values[register.offset >> 2] = remaining | twice
        second[register.offset] = twice & remaining
    update_line(vgpu)
