"""The register table of a vGPU: Gen9's rows with the handlers of a vGPU, and what commands may do.

The rows stand in `gen9/register_facts.py`, those of the engines come from `engine_registers.py`,
the policy of each from `register_policy.py`. It fails closed: an offset without a row reads 0,
ignores writes and is counted, and a command that touches one is refused. Nothing here reaches the
hardware except by `Vgpu.read_hardware` and `Vgpu.note_switched`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mediator.gen9 import interrupts as irq
from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.gen9.register_facts import plain_rows
from mediator.vgpu import power
from mediator.vgpu.engine_registers import engine_rows
from mediator.vgpu.fences import write_fence
from mediator.vgpu.interrupt import read_master, write_bank, write_events, write_master
from mediator.vgpu.pvinfo import pvinfo_rows
from mediator.vgpu.register_policy import (
    COMMAND_STORED,
    OACONTROL,
    PERFORMANCE_GAPS,
    ROW_POLICY,
    SWITCHED,
    VOLATILE,
    Policy,
    hardware_value,
    virtual_value,
)
from mediator.workload.view import RegisterUse
from mmio_trap.register_map import Access, Register, RegisterMap

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu

    Reader = Callable[[Vgpu, Register[Vgpu]], int]
    Writer = Callable[[Vgpu, Register[Vgpu], int], None]

__all__ = [
    "ENGINE_ROWS",
    "POLICY",
    "REGISTER_MAP",
    "SWITCHED",
    "VOLATILE",
    "Policy",
    "command_read",
    "command_target",
    "command_write",
    "hardware_value",
    "virtual_value",
]


def _read_hardware(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    """The hardware's counter or state."""
    return vgpu.read_hardware(register.offset)


def _read_fault(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    """A fault register: a fault of this vGPU on the hardware shows at once."""
    return vgpu.read_fault(register.offset)


def _write_switched(vgpu: Vgpu, register: Register[Vgpu], value: int) -> None:
    """A register that the hardware has while it is in this vGPU's world."""
    vgpu.note_switched(register.offset, value)


def _write_gdrst(vgpu: Vgpu, _register: Register[Vgpu], value: int) -> None:
    """GDRST: reset the virtual engines that ``value`` names; the bits read 0 again at once."""
    is_full = bool(value & reg.GDRST_FULL)
    named = [each for each in vgpu.engines.values() if is_full or value & each.facts.reset_bit]
    for engine in named:
        engine.reset()
    if is_full:
        vgpu.counters.full_resets += 1
    else:
        vgpu.counters.engine_resets += len(named)
    vgpu.registers.values[reg.GDRST >> 2] = 0


def _write_tlb_control(vgpu: Vgpu, register: Register[Vgpu], _value: int) -> None:
    """A TLB invalidation is done at once: submissions bring the translations that they need."""
    vgpu.registers.values[register.offset >> 2] = 0


_READERS: dict[int, Reader] = {
    **dict.fromkeys(
        (reg.GEN8_RING_FAULT_REG, reg.GEN8_FAULT_TLB_DATA0, reg.GEN8_FAULT_TLB_DATA1), _read_fault
    ),
    **dict.fromkeys(
        (reg.FORCEWAKE_ACK_RENDER, reg.FORCEWAKE_ACK_MEDIA, reg.FORCEWAKE_ACK_GT),
        power.read_forcewake_ack,
    ),
    **dict.fromkeys(KABY_LAKE_GT2.fuses, power.read_fuse),
    **dict.fromkeys(reg.PWR_WELL_CTL, power.read_power_wells),
    irq.MASTER_IRQ: read_master,
}
_WRITERS: dict[int, Writer] = {
    reg.GFX_FLSH_CNTL: lambda vgpu, _row, _value: vgpu.flush_ggtt(),
    reg.PCODE_MAILBOX: power.write_pcode_mailbox,
    reg.GDRST: _write_gdrst,
    **dict.fromkeys(reg.TLB_CONTROLS, _write_tlb_control),
    **dict.fromkeys(
        range(reg.FENCE_BASE, reg.FENCE_BASE + reg.FENCE_COUNT * reg.FENCE_BYTES, 4), write_fence
    ),
    irq.MASTER_IRQ: write_master,
    **{at: write_bank for bank in irq.BANKS for at in (bank.imr, bank.ier)},
    **{bank.iir: write_events for bank in irq.BANKS},
}


def _by_policy(row: Register[Vgpu]) -> Register[Vgpu]:
    """The row with what its policy adds."""
    match ROW_POLICY[row.offset]:
        case Policy.PASSTHROUGH_READ:
            return replace(row, access=Access.RO, read=row.read or _read_hardware)
        case Policy.SWITCHED:
            return replace(row, write=_write_switched)
    return row


def plain_table_rows() -> list[Register[Vgpu]]:
    """All rows but those of the engines."""
    plain: list[Register[Vgpu]] = [
        _by_policy(replace(row, read=_READERS.get(row.offset), write=_WRITERS.get(row.offset)))
        for row in plain_rows()
    ]
    gaps: list[Register[Vgpu]] = [
        Register(f"PERFORMANCE[{n}]", at, Access.RW, source="i915 i915_perf.c")
        for n, at in enumerate(PERFORMANCE_GAPS)
    ]
    return plain + gaps + pvinfo_rows()


ENGINE_ROWS: dict[str, list[Register[Vgpu]]] = {
    facts.name: [_by_policy(row) for row in engine_rows(facts)] for facts in ENGINES
}
"""By engine name: what returns to its reset value when the engine is reset."""

REGISTER_MAP: RegisterMap[Vgpu] = RegisterMap(
    sorted(
        (*plain_table_rows(), *(row for rows in ENGINE_ROWS.values() for row in rows)),
        key=lambda row: row.offset,
    ),
    reg.REGISTER_BLOCK_SIZE,
)

POLICY: dict[int, Policy] = {
    offset: ROW_POLICY.get(offset, Policy.EMULATED) for offset in REGISTER_MAP.by_offset
}
"""The policy of every row, by BAR0 offset."""

_HARDWARE = frozenset(
    {
        *(offset for offset, policy in POLICY.items() if policy is Policy.CONTEXT),
        *(offset for offset in VOLATILE if offset != OACONTROL),
    }
)
"""Registers that a guest's commands use on the hardware."""
_READABLE = _HARDWARE | {
    offset for offset, policy in POLICY.items() if policy is Policy.PASSTHROUGH_READ
}
_VIRTUAL_WRITE = COMMAND_STORED | set(SWITCHED)
"""Registers whose virtual value a command may set."""


def register_name(offset: int) -> str:
    """What logs and traces call the register at BAR0 ``offset``."""
    row = REGISTER_MAP.by_offset.get(offset & ~3)
    return row.name if row is not None else f"unknown register {offset:#x}"


def command_read(vgpu: Vgpu, offset: int) -> tuple[RegisterUse, int]:
    """How a privileged command of the guest may read BAR0 ``offset``; the value, for VIRTUAL."""
    if offset in _READABLE:
        return RegisterUse.PASS, 0
    if offset in REGISTER_MAP.by_offset:
        return RegisterUse.VIRTUAL, vgpu.registers.read32(offset)
    return RegisterUse.REFUSED, 0


def command_target(offset: int) -> RegisterUse:
    """How a privileged command may write BAR0 ``offset``, whatever the value. Writes nothing."""
    if offset in _HARDWARE:
        return RegisterUse.PASS
    return RegisterUse.VIRTUAL if offset in _VIRTUAL_WRITE else RegisterUse.REFUSED


def command_write(vgpu: Vgpu, offset: int, value: int) -> RegisterUse:
    """How a privileged command may write ``value``; a VIRTUAL register has it now.

    ``value`` is what the command has, write-enable bits of a masked register included.
    """
    use = command_target(offset)
    if use is RegisterUse.VIRTUAL:
        vgpu.registers.write32(offset, value)
    return use
