"""Facts of Gen9 page tables: entry bits and levels of the GGTT and the 4-level PPGTT.

Source: PRM SKL vol 5 "Memory Views" (GGTT page table entry; PPGTT "Page Walk in Legacy 64b Mode");
the same numbers stand in i915's intel_gtt.h. Cache bits (PWT, PCD, PAT) are left out: a coherent
model has no use for them.
"""

from __future__ import annotations

from typing import Final

from mediator.gen9.field import Field

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
ENTRY_SIZE: Final = 8
TABLE_ENTRIES: Final = 512

PHYSICAL_BITS: Final = 39
"""Width of Gen9 client parts' DMA addresses."""

GGTT_ADDRESS_BITS: Final = 32
PPGTT_ADDRESS_BITS: Final = 48

PRESENT: Final = 1 << 0
"""Every level, GGTT and PPGTT."""

WRITABLE: Final = 1 << 1
"""PPGTT, every level: clear = writes through it are discarded."""

PAGE_SIZE_BIT: Final = 1 << 7
"""PS. In a PD entry: a page of 2 MiB; in a PDP entry: a page of 1 GiB. (PAT in a PT entry.)"""

INTERMEDIATE_PAGE_SIZE: Final = 1 << 11
"""IPS. In a PD entry: its page table describes pages of 64 KiB in every 16th entry."""

ADDRESS = Field(38, 12)
"""Physical address bits that a part with 39-bit DMA can reach."""

ADDRESS_BEYOND = Field(45, 39)
"""Physical address bits of the architecture that such a part lacks: non-zero is a fault."""

LEVEL_SHIFTS: Final = (39, 30, 21, 12)
"""Lowest address bit that indexes the PML4, PDP, PD and PT."""

LARGE_PAGE_SHIFTS: Final = {30: 30, 21: 21}
"""Level shift at which PS ends the walk -> shift of the page: 1 GiB and 2 MiB."""

PAGE_64K_SHIFT: Final = 16
