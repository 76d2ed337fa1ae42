"""Commands as a driver writes them: each function gives the dwords of one command.

Written from PRM SKL vol 2a, apart from the tables that the product reads: they may disagree here.
Addresses are 48 bits in the context's page tables, or with ``ggtt`` in the GGTT.
"""

from __future__ import annotations

from collections.abc import Sequence

MI_NOOP = 0
MI_USER_INTERRUPT = 0x02 << 23
MI_ARB_CHECK = 0x05 << 23
MI_ARB_ON = 0x08 << 23 | 1
MI_ARB_OFF = 0x08 << 23
MI_BATCH_BUFFER_END = 0x0A << 23
MI_BATCH_BUFFER_START_PPGTT = 0x31 << 23 | 1 << 8 | 1
MI_STORE_DATA_IMM = 0x20 << 23 | 2
MI_STORE_DATA_IMM_GGTT = 0x20 << 23 | 1 << 22 | 2
MI_FLUSH_DW_POST_SYNC = 0x26 << 23 | 1 << 14 | 2
MI_SEMAPHORE_WAIT_GGTT_POLL_EQ = 0x1C << 23 | 1 << 22 | 1 << 15 | 4 << 12 | 2
ILLEGAL = 0x7F << 23

GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, EQUAL, NOT_EQUAL = range(6)
"""Compare operations of a semaphore: memory against the command's value."""

_GGTT = 1 << 22


def _split(address: int) -> tuple[int, int]:
    return address & 0xFFFF_FFFF, address >> 32 & 0xFFFF


def store_dword(address: int, value: int, *, ggtt: bool = False) -> list[int]:
    """MI_STORE_DATA_IMM."""
    return [MI_STORE_DATA_IMM | ggtt * _GGTT, *_split(address), value]


def store_qword(address: int, value: int, *, ggtt: bool = False) -> list[int]:
    """MI_STORE_DATA_IMM of 8 bytes."""
    header = 0x20 << 23 | 1 << 21 | 3 | ggtt * _GGTT
    return [header, *_split(address), value & 0xFFFF_FFFF, value >> 32]


def store_index(offset: int, value: int, *, per_process: bool = False) -> list[int]:
    """MI_STORE_DATA_INDEX: into the engine's status page, or the context's own."""
    return [0x21 << 23 | per_process << 21 | 1, offset, value]


def semaphore_wait(
    address: int, value: int, *, compare: int = EQUAL, ggtt: bool = False
) -> list[int]:
    """MI_SEMAPHORE_WAIT in poll mode: until memory ``compare`` ``value`` holds."""
    header = 0x1C << 23 | 1 << 15 | compare << 12 | 2 | ggtt * _GGTT
    return [header, value, *_split(address)]


def load_register(*pairs: tuple[int, int]) -> list[int]:
    """MI_LOAD_REGISTER_IMM of (register, value) pairs."""
    return [0x22 << 23 | 2 * len(pairs) - 1, *(dword for pair in pairs for dword in pair)]


def store_register(register: int, address: int, *, ggtt: bool = False) -> list[int]:
    """MI_STORE_REGISTER_MEM."""
    return [0x24 << 23 | 2 | ggtt * _GGTT, register, *_split(address)]


def load_register_memory(register: int, address: int, *, ggtt: bool = False) -> list[int]:
    """MI_LOAD_REGISTER_MEM."""
    return [0x29 << 23 | 2 | ggtt * _GGTT, register, *_split(address)]


def copy_dword(
    target: int, source: int, *, target_ggtt: bool = False, source_ggtt: bool = False
) -> list[int]:
    """MI_COPY_MEM_MEM."""
    header = 0x2E << 23 | 3 | source_ggtt << 22 | target_ggtt << 21
    return [header, *_split(target), *_split(source)]


def atomic_add(address: int, value: int, *, ggtt: bool = False) -> list[int]:
    """MI_ATOMIC: a dword is added to, with the operand in the command."""
    header = 0x2F << 23 | 1 << 18 | 1 << 17 | 0x07 << 8 | 9 | ggtt * _GGTT
    return [header, *_split(address), value, *[0] * 7]


def batch_start(address: int, *, ggtt: bool = False, second: bool = False) -> list[int]:
    """MI_BATCH_BUFFER_START: with ``ggtt`` the batch is privileged."""
    header = 0x31 << 23 | second << 22 | (not ggtt) << 8 | 1
    return [header, *_split(address)]


def update_ggtt(address: int, *entries: int) -> list[int]:
    """MI_UPDATE_GTT: GGTT entries from that of ``address`` on."""
    halves = [half for entry in entries for half in (entry & 0xFFFF_FFFF, entry >> 32)]
    return [0x23 << 23 | len(halves), address & 0xFFFF_F000, *halves]


def pipe_control(flags: int, address: int = 0, value: int = 0) -> list[int]:
    """PIPE_CONTROL with its flags as they are."""
    return [0x7A00_0004, flags, *_split(address), value & 0xFFFF_FFFF, value >> 32]


def post_sync(engine: str, address: int, value: int, *, ggtt: bool = True) -> list[int]:
    """A write of ``value`` when everything before is done: PIPE_CONTROL or MI_FLUSH_DW."""
    if engine == "rcs0":
        stall_and_write = 1 << 20 | 1 << 14
        return pipe_control(stall_and_write | ggtt << 24, address, value)
    low, high = _split(address)
    return [MI_FLUSH_DW_POST_SYNC, low | ggtt << 2, high, value]


def invalidate(engine: str) -> list[int]:
    """What i915 puts before a request: caches and translations are dropped."""
    if engine == "rcs0":
        return pipe_control(1 << 20 | 1 << 18 | 0b1111 << 2)
    return [0x26 << 23 | 1 << 18 | 2, 0, 0, 0]


def color_blit(address: int, pitch: int, width: int, height: int, color: int) -> list[int]:
    """XY_COLOR_BLT of 32-bit pixels into a linear surface: pitch in bytes, sizes in pixels."""
    header = 2 << 29 | 0x50 << 22 | 3 << 20 | 5
    return [header, 3 << 24 | 0xF0 << 16 | pitch, 0, height << 16 | width, *_split(address), color]


def copy_blit(
    target: int, source: int, pitch: int, width: int, height: int, *, fast: bool = False
) -> list[int]:
    """XY_SRC_COPY_BLT, or XY_FAST_COPY_BLT, of 32-bit pixels between linear surfaces."""
    header = 2 << 29 | (0x42 << 22 if fast else 0x53 << 22 | 3 << 20) | 8
    format_and_pitch = (3 << 24 if fast else 3 << 24 | 0xCC << 16) | pitch
    corners = [0, height << 16 | width]
    return [header, format_and_pitch, *corners, *_split(target), 0, pitch, *_split(source)]


def padded(dwords: Sequence[int]) -> list[int]:
    """``dwords`` with an MI_NOOP after them where they are odd: a ring's tail counts qwords."""
    return [*dwords, *[MI_NOOP] * (len(dwords) % 2)]
