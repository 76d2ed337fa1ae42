"""MI commands that write memory: immediate data, copies, atomics, page-table entries, reports.

Source: PRM SKL vol 2a. Addresses are 48 bits; bit 22 of the header picks the GGTT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.field import Field
from mediator.gen9.registers import RING_CS_GPR
from mediator.softgpu.atomic import SIZES, operation, returned
from mediator.softgpu.outcome import IllegalCommand

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

USE_GGTT: Final = 1 << 22
_ADDRESS: Final = 0xFFFF_FFFF_FFFC

_STORE_QWORD: Final = 1 << 21
_LENGTH: Final = 0x3FF
_STORE_DWORD_LENGTH: Final = 2
_INDEX_PER_PROCESS: Final = 1 << 21
_STATUS_OFFSET: Final = 0xFFC
_COPY_DESTINATION_GGTT: Final = 1 << 21
_GTT_ENTRY: Final = Field(31, 12)
_GTT_ENTRY_BYTES: Final = 8

_ATOMIC_DATA_SIZE: Final = Field(20, 19)
_ATOMIC_INLINE: Final = 1 << 18
_ATOMIC_RETURN: Final = 1 << 16
_ATOMIC_OPCODE: Final = Field(15, 8)
_ATOMIC_INLINE_DWORDS: Final = 11
_ATOMIC_OPERAND1_GPR: Final = 0
_ATOMIC_OPERAND2_GPR: Final = 2
_ATOMIC_RETURN_GPR: Final = 4

_REPORT_GGTT: Final = 1 << 0
_REPORT_ADDRESS: Final = 0xFFFF_FFFF_FFC0
_REPORT_BYTES: Final = 256
_REPORT_HEAD_OFFSET: Final = 0x10
"""Dword 4 of the per-process status page holds the reported ring head."""


def operand_address(low: int, high: int) -> int:
    """A dword-aligned 48-bit address from the two dwords of a command."""
    return (low | high << 32) & _ADDRESS


def store_data_imm(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_STORE_DATA_IMM: a dword, or with bit 21 a qword."""
    header = command[0]
    use_global = header & USE_GGTT
    if use_global and streamer.refuse_global("MI_STORE_DATA_IMM", use_global):
        return None
    host = streamer.host
    space = host.ggtt if use_global else host.ppgtt
    address = (command[1] | command[2] << 32) & _ADDRESS
    if not header & _STORE_QWORD:
        space.write_u32(address, command[3])
    elif len(command) > 4:
        space.write_u64(address, command[3] | command[4] << 32)
    else:
        raise IllegalCommand("MI_STORE_DATA_IMM of a qword in 4 dwords")
    return None


def store_run(streamer: Streamer, commands: memoryview) -> int:
    """Commands like the MI_STORE_DATA_IMM at the start of ``commands``, in a row; how many done.

    Dwords into one page only: what ends the run is carried out on its own.
    """
    header, low, high = commands[:3].tolist()
    use_global = header & USE_GGTT
    if header & (_STORE_QWORD | _LENGTH) != _STORE_DWORD_LENGTH:
        return 0
    if use_global and not streamer.privileged:
        return 0
    space = streamer.space(use_global=use_global)
    return space.store_run(commands, header, (low | high << 32) & _ADDRESS)


def store_data_index(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_STORE_DATA_INDEX: a dword, or with 4 dwords a qword, into a hardware status page."""
    host = streamer.host
    page = host.context_page if command[0] & _INDEX_PER_PROCESS else host.status_page
    address = page + (command[1] & _STATUS_OFFSET)
    if len(command) > 3:
        host.ggtt.write_u64(address, command[2] | command[3] << 32)
    else:
        host.ggtt.write_u32(address, command[2])
    return None


def rs_store_data_imm(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_RS_STORE_DATA_IMM: the resource streamer's store, here in order with the rest."""
    streamer.host.ppgtt.write_u32(operand_address(command[1], command[2]), command[3])
    return None


def copy_mem_mem(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_COPY_MEM_MEM: one dword from memory to memory."""
    header = command[0]
    if streamer.refuse_global("MI_COPY_MEM_MEM", header & (USE_GGTT | _COPY_DESTINATION_GGTT)):
        return None
    source = streamer.space(use_global=header & USE_GGTT)
    destination = streamer.space(use_global=header & _COPY_DESTINATION_GGTT)
    value = source.read_u32(operand_address(command[3], command[4]))
    destination.write_u32(operand_address(command[1], command[2]), value)
    return None


def atomic(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_ATOMIC: read-modify-write of 4, 8 or 16 bytes.

    Operands are in the command (bit 18) or in GPR pairs 0/1 and 2/3; bit 16 returns the old
    value in GPR pair 4/5.
    """
    header = command[0]
    size_code = _ATOMIC_DATA_SIZE.get(header)
    if size_code >= len(SIZES):
        raise IllegalCommand("MI_ATOMIC with data size 3")
    size = SIZES[size_code]
    code = _ATOMIC_OPCODE.get(header)
    op = operation(code, size)
    if op is None:
        raise IllegalCommand(f"MI_ATOMIC operation {code:#x} on {size} bytes")
    if streamer.refuse_global("MI_ATOMIC", header & USE_GGTT):
        return None
    if header & _ATOMIC_INLINE:
        if len(command) < _ATOMIC_INLINE_DWORDS:
            raise IllegalCommand(f"MI_ATOMIC with inline data in {len(command)} dwords")
        operand1, operand2 = _join(command[3:11:2]), _join(command[4:11:2])
    else:
        operand1 = _read_gprs(streamer, _ATOMIC_OPERAND1_GPR)
        operand2 = _read_gprs(streamer, _ATOMIC_OPERAND2_GPR)
    space = streamer.space(use_global=header & USE_GGTT)
    address = operand_address(command[1], command[2])
    old, new = space.atomic(address, size, code, operand1, operand2)
    if header & _ATOMIC_RETURN:
        _return(streamer, returned(op, size, old, new), size)
    return None


def _join(dwords: list[int]) -> int:
    return sum(dword << 32 * i for i, dword in enumerate(dwords))


def _gpr(streamer: Streamer, number: int) -> int:
    return streamer.mmio_base + RING_CS_GPR + 8 * number


def _read_gprs(streamer: Streamer, first: int) -> int:
    low = streamer.read_register_u64(_gpr(streamer, first))
    return low | streamer.read_register_u64(_gpr(streamer, first + 1)) << 64


def _return(streamer: Streamer, value: int, size: int) -> None:
    offset = _gpr(streamer, _ATOMIC_RETURN_GPR)
    for i in range(size // 4):
        streamer.host.write_register(offset + 4 * i, value >> 32 * i & 0xFFFF_FFFF)


def update_gtt(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_UPDATE_GTT: page-table entries of the GGTT, two dwords each. Privileged."""
    entries = command[2:]
    if len(entries) % 2:
        raise IllegalCommand(f"MI_UPDATE_GTT with {len(entries)} dwords of entries")
    first = _GTT_ENTRY.get(command[1])
    if first + len(entries) // 2 > 1 << 20:
        raise IllegalCommand("MI_UPDATE_GTT past the end of the GGTT")
    ggtt = streamer.host.ggtt
    for i in range(0, len(entries), 2):
        entry = entries[i] | entries[i + 1] << 32
        offset = _GTT_ENTRY_BYTES * (first + i // 2)
        ggtt.write_entry(offset, entry.to_bytes(_GTT_ENTRY_BYTES, "little"))
    return None


def report_perf_count(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_REPORT_PERF_COUNT: a report with its identifier and time; the counters read 0."""
    use_global = command[1] & _REPORT_GGTT
    if streamer.refuse_global("MI_REPORT_PERF_COUNT", use_global):
        return None
    host = streamer.host
    address = (command[1] | command[2] << 32) & _REPORT_ADDRESS
    ticks = host.timestamp() & 0xFFFF_FFFF
    report = command[3].to_bytes(4, "little") + ticks.to_bytes(4, "little")
    streamer.space(use_global=use_global).write(address, report.ljust(_REPORT_BYTES, b"\0"))
    return None


def report_head(streamer: Streamer, _command: list[int]) -> Outcome:
    """MI_REPORT_HEAD: RING_HEAD into the context's status page."""
    host = streamer.host
    host.ggtt.write_u32(host.context_page + _REPORT_HEAD_OFFSET, streamer.ring_head)
    return None
