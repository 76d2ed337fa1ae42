"""The register table of the software GPU: the plain rows of Gen9 with its handlers attached.

The rows stand in `gen9/register_facts.py`, those of the engines come from `engine_registers.py`.
Anything else reads 0, ignores writes and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from mediator.gen9 import interrupts as irq
from mediator.gen9 import registers as reg
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.gen9.register_facts import plain_rows
from mediator.softgpu import power
from mediator.softgpu.display_power import read_power_wells
from mediator.softgpu.fences import write_fence
from mediator.softgpu.fuses import read_fuse
from mediator.softgpu.interrupt import clear_events, read_master, write_bank, write_master
from mediator.softgpu.invalidation import write_flush_control, write_tlb_invalidate
from mediator.softgpu.reset import read_gdrst, write_gdrst
from mmio_trap.register_map import Access, Register, RegisterMap, register_array

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu

    Reader = Callable[[SoftGpu, Register[SoftGpu]], int]
    Writer = Callable[[SoftGpu, Register[SoftGpu], int], None]

_PVINFO = 0x78000
_PVINFO_HEAD_DWORDS = 5
"""Magic, version and capabilities: all that a driver looks at where no mediator is."""

_READERS: dict[int, Reader] = {
    reg.FORCEWAKE_ACK_RENDER: power.read_forcewake_ack,
    reg.FORCEWAKE_ACK_MEDIA: power.read_forcewake_ack,
    reg.FORCEWAKE_ACK_GT: power.read_forcewake_ack,
    reg.GEN6_GT_GFX_RC6: power.read_residency,
    reg.GEN6_GT_CORE_STATUS: power.read_core_status,
    reg.PWRGT_STATUS: power.read_domain_status,
    reg.GEN6_RPSTAT1: power.read_frequency,
    reg.GDRST: read_gdrst,
    irq.MASTER_IRQ: read_master,
    **dict.fromkeys(KABY_LAKE_GT2.fuses, read_fuse),
    **dict.fromkeys(reg.PWR_WELL_CTL, read_power_wells),
}
_WRITERS: dict[int, Writer] = {
    reg.FORCEWAKE_RENDER: power.write_forcewake,
    reg.FORCEWAKE_MEDIA: power.write_forcewake,
    reg.FORCEWAKE_GT: power.write_forcewake,
    reg.GEN6_RC_CONTROL: power.write_power_control,
    reg.PCODE_MAILBOX: power.write_pcode_mailbox,
    reg.GDRST: write_gdrst,
    reg.GFX_FLSH_CNTL: write_flush_control,
    **dict.fromkeys(reg.TLB_CONTROLS, write_tlb_invalidate),
    **dict.fromkeys(
        range(reg.FENCE_BASE, reg.FENCE_BASE + reg.FENCE_COUNT * reg.FENCE_BYTES, 4), write_fence
    ),
    irq.MASTER_IRQ: write_master,
    **{at: write_bank for bank in irq.BANKS for at in (bank.imr, bank.ier)},
    **{bank.iir: clear_events for bank in irq.BANKS},
}


def build_map(engine_rows: Iterable[Register[SoftGpu]]) -> RegisterMap[SoftGpu]:
    """The checked table: these rows and ``engine_rows``. ValueError names a row that is wrong."""
    rows = [*table_rows(), *engine_rows]
    rows.sort(key=lambda row: row.offset)
    return RegisterMap(rows, reg.REGISTER_BLOCK_SIZE)


def table_rows() -> list[Register[SoftGpu]]:
    """All rows but those of the engines."""
    rows = [
        replace(row, read=_READERS.get(row.offset), write=_WRITERS.get(row.offset))
        for row in plain_rows()
    ]
    return rows + register_array(
        "PVINFO",
        _PVINFO,
        _PVINFO_HEAD_DWORDS,
        access=Access.RO,
        source="i915 i915_pvinfo.h: no mediator",
    )
