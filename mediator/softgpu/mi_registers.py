"""MI commands that move values between registers, memory and the command.

Source: PRM SKL vol 2a. Register operands are BAR0 offsets. Reading is free to every batch,
writing is not (`gen9/privilege.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.commands import RCS, REGISTER_MASK
from mediator.gen9.field import Field
from mediator.gen9.registers import RING_NOPID
from mediator.softgpu.mi_memory import USE_GGTT, operand_address
from mediator.softgpu.outcome import IllegalCommand
from mediator.softgpu.predicate import state_is_set

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_BYTE_DISABLES: Final = Field(11, 8)
_WRITE_NOPID: Final = 1 << 22
_PREDICATED: Final = 1 << 21
"""MI_STORE_REGISTER_MEM on the render engine, the only one with MI_PREDICATE."""
_NOPID: Final = Field(21, 0)
_BYTE_MASKS: Final = tuple(
    sum(0xFF << 8 * byte for byte in range(4) if disables >> byte & 1) for disables in range(16)
)
"""Bits that a value of the byte-disable field leaves alone."""


def noop(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_NOOP: with bit 22, note its identification number."""
    if command[0] & _WRITE_NOPID:
        streamer.host.write_register(streamer.mmio_base + RING_NOPID, _NOPID.get(command[0]))
    return None


def load_register_imm(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_LOAD_REGISTER_IMM: any number of pairs of register and value."""
    kept = _BYTE_MASKS[_BYTE_DISABLES.get(command[0])]
    if not len(command) % 2:
        raise IllegalCommand(f"MI_LOAD_REGISTER_IMM of {len(command)} dwords")
    write = streamer.host.write_register if streamer.privileged else streamer.write_register
    for i in range(1, len(command), 2):
        offset, value = command[i] & REGISTER_MASK, command[i + 1]
        if kept:
            value = (value & ~kept) | (streamer.host.read_register(offset) & kept)
        write(offset, value)
    return None


def store_register_mem(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_STORE_REGISTER_MEM: a register into memory; with bit 21 if the predicate state is set."""
    if (
        command[0] & _PREDICATED
        and streamer.host.engine_class == RCS
        and not state_is_set(streamer)
    ):
        streamer.host.counters.predicated["MI_STORE_REGISTER_MEM"] += 1
        return None
    value = streamer.host.read_register(command[1] & REGISTER_MASK)
    use_global = command[0] & USE_GGTT
    if not streamer.refuse_global("MI_STORE_REGISTER_MEM", use_global):
        space = streamer.space(use_global=use_global)
        space.write_u32(operand_address(command[2], command[3]), value)
    return None


def load_register_mem(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_LOAD_REGISTER_MEM: a dword of memory into a register."""
    use_global = command[0] & USE_GGTT
    if not streamer.refuse_global("MI_LOAD_REGISTER_MEM", use_global):
        space = streamer.space(use_global=use_global)
        value = space.read_u32(operand_address(command[2], command[3]))
        streamer.write_register(command[1] & REGISTER_MASK, value)
    return None


def load_register_reg(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_LOAD_REGISTER_REG: one register into another."""
    value = streamer.host.read_register(command[1] & REGISTER_MASK)
    streamer.write_register(command[2] & REGISTER_MASK, value)
    return None
