"""Registers that report how the part was made: their values belong to the GPU's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu


def read_fuse(gpu: SoftGpu, register: Register[SoftGpu]) -> int:
    """The value that the served GPU model has there."""
    return gpu.identity.fuses[register.offset]
