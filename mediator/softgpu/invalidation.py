"""Registers that drop cached translations.

Source: PRM SKL vol 2c (GFX_FLSH_CNTL, TLB invalidation registers); Linux i915 gt/intel_ggtt.c and
gt/intel_tlb.c. A software GPU needs no time for it, so the busy bit is never seen set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu


def write_flush_control(gpu: SoftGpu, _register: Register[SoftGpu], _value: int) -> None:
    """GFX_FLSH_CNTL: GGTT entries written before this are in force after it."""
    gpu.publish_entries()


def write_tlb_invalidate(gpu: SoftGpu, register: Register[SoftGpu], _value: int) -> None:
    """An engine's TLB control: drop the translations, then clear the request bit."""
    gpu.publish_entries()
    gpu.registers.values[register.offset >> 2] = 0
