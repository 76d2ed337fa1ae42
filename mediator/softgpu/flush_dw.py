"""MI_FLUSH_DW: the flush of the blitter and media engines with its post-sync operation.

Source: PRM SKL vol 2a MI_FLUSH_DW. As with PIPE_CONTROL there is nothing to flush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.field import Field
from mediator.softgpu.outcome import IllegalCommand
from mediator.softgpu.pipe_control import NOTIFY_INTERRUPT

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_STORE_INDEX: Final = 1 << 21
_TLB_INVALIDATE: Final = 1 << 18
_POST_SYNC: Final = Field(15, 14)
_NOTIFY: Final = 1 << 8
_USE_GGTT: Final = 1 << 2
"""In the address dword."""
_INDEX_OFFSET: Final = 0xFF8
_ADDRESS: Final = 0xFFFF_FFFF_FFF8
_DWORDS: Final = 4

_NO_WRITE, _WRITE_IMMEDIATE, _WRITE_TIMESTAMP = 0, 1, 3


def flush_dw(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_FLUSH_DW. The post-sync write is in memory before the notification is raised."""
    header = command[0]
    if header & _TLB_INVALIDATE:
        streamer.host.flush_tlb()
    operation = _POST_SYNC.get(header)
    if operation != _NO_WRITE:
        _write(streamer, operation, command)
    if header & _NOTIFY:
        streamer.host.notify(NOTIFY_INTERRUPT)
    return None


def _write(streamer: Streamer, operation: int, command: list[int]) -> None:
    """A timestamp, or the immediate data: a dword, or a qword where the command has a fifth."""
    if operation not in {_WRITE_IMMEDIATE, _WRITE_TIMESTAMP}:
        raise IllegalCommand(f"MI_FLUSH_DW with post-sync operation {operation}")
    command += [0] * (_DWORDS - len(command))
    use_global = command[1] & _USE_GGTT
    if streamer.refuse_global("MI_FLUSH_DW", use_global or command[0] & _STORE_INDEX):
        return  # a status page is in the GGTT
    host = streamer.host
    if command[0] & _STORE_INDEX:
        page = host.status_page if use_global else host.context_page
        space, address = streamer.space(use_global=1), page + (command[1] & _INDEX_OFFSET)
    else:
        space = streamer.space(use_global=use_global)
        address = (command[1] | command[2] << 32) & _ADDRESS
    if operation == _WRITE_TIMESTAMP:
        space.write_u64(address, host.timestamp())
    elif len(command) > _DWORDS:
        space.write_u64(address, command[3] | command[4] << 32)
    else:
        space.write_u32(address, command[3])
