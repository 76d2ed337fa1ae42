"""Resets: one engine through GDRST, all of them, and what survives.

Source: PRM SKL vol 2c GDRST, RESET_CTL; Linux i915 intel_reset.c. An engine reset returns that
engine's registers and execution lists to cold values and abandons its context without saving it;
GGTT, the other engines and the interrupt banks keep their state. A full reset does it for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.registers import GDRST, GDRST_FULL

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu
    from mmio_trap.register_map import Register


def write_gdrst(gpu: SoftGpu, _register: Register[SoftGpu], value: int) -> None:
    """Reset the engines named by ``value``; the bits read 0 again when they are done."""
    gpu.answers.ask(GDRST)
    if not gpu.answers.late:
        _reset(gpu, value)


def read_gdrst(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """GDRST: the resets that are not done yet."""
    value = gpu.registers.values[GDRST >> 2]
    if value and gpu.answers.there(GDRST):
        _reset(gpu, value)
    return gpu.registers.values[GDRST >> 2]


def _reset(gpu: SoftGpu, value: int) -> None:
    for engine in gpu.engines.values():
        if value & (GDRST_FULL | engine.facts.reset_bit):
            engine.reset()
    gpu.flush_translations()
    gpu.registers.values[GDRST >> 2] = 0
