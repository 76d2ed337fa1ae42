"""PIPE_CONTROL: its post-sync operation, TLB invalidation and notification.

Source: PRM SKL vol 2a PIPE_CONTROL. Flushes, invalidations and stalls order nothing here, since
each command's writes are in memory before the next command is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.commands import REGISTER_MASK
from mediator.gen9.field import Field

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

NOTIFY_INTERRUPT: Final = 4
"""Interrupt bit of an engine: a PIPE_CONTROL or MI_FLUSH_DW with notification is done."""

_NOTIFY: Final = 1 << 8
_POST_SYNC: Final = Field(15, 14)
_TLB_INVALIDATE: Final = 1 << 18
_STORE_INDEX: Final = 1 << 21
_REGISTER_WRITE: Final = 1 << 23
_USE_GGTT: Final = 1 << 24
_ACTIVE: Final = _NOTIFY | _POST_SYNC.mask | _TLB_INVALIDATE | _REGISTER_WRITE
_DWORDS: Final = 6
_PS_DEPTH_COUNT: Final = 0x2350
"""64 bits: pixels that passed the depth test."""
_INDEX_OFFSET: Final = 0xFF8
_ADDRESS: Final = 0xFFFF_FFFF_FFF8

_WRITE_IMMEDIATE, _WRITE_DEPTH_COUNT = 1, 2


def pipe_control(streamer: Streamer, command: list[int]) -> Outcome:
    """PIPE_CONTROL. The post-sync write is in memory before the notification is raised."""
    flags = command[1]
    if not flags & _ACTIVE:
        return None
    if flags & _TLB_INVALIDATE:
        streamer.host.flush_tlb()
    if flags & (_POST_SYNC.mask | _REGISTER_WRITE):
        command += [0] * (_DWORDS - len(command))
        if flags & _REGISTER_WRITE:
            streamer.write_register(command[2] & REGISTER_MASK, command[4])
        else:
            _write_memory(streamer, flags, command)
    if flags & _NOTIFY:
        streamer.host.notify(NOTIFY_INTERRUPT)
    return None


def _write_memory(streamer: Streamer, flags: int, command: list[int]) -> None:
    """The post-sync write; a status page is in the GGTT, so a user batch may not index one."""
    if streamer.refuse_global("PIPE_CONTROL", flags & (_USE_GGTT | _STORE_INDEX)):
        return
    use_global = flags & _USE_GGTT
    host = streamer.host
    operation = _POST_SYNC.get(flags)
    if operation == _WRITE_IMMEDIATE:
        value = command[4] | command[5] << 32
    elif operation == _WRITE_DEPTH_COUNT:
        value = streamer.read_register_u64(_PS_DEPTH_COUNT)
    else:
        value = host.timestamp()
    if flags & _STORE_INDEX:
        page = host.status_page if use_global else host.context_page
        host.ggtt.write_u64(page + (command[2] & _INDEX_OFFSET), value)
    else:
        address = (command[2] | command[3] << 32) & _ADDRESS
        streamer.space(use_global=use_global).write_u64(address, value)
