"""From a vGPU to its state and back; what a state is says `state.py`. The vGPU's lock is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.vgpu import fences
from mediator.vgpu.mmio_table import REGISTER_MAP
from mediator.vgpu.state import VgpuState

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu


def state_of(vgpu: Vgpu) -> VgpuState:
    """The state of ``vgpu`` as plain data, part of which is still its own."""
    values = vgpu.registers.values
    return VgpuState(
        device_id=vgpu.identity.device_id,
        type=vgpu.type.name,
        private_ggtt=vgpu.private_ggtt,
        part=[(own.start, own.stop) for own in vgpu.plan.part],
        config=vgpu.config.snapshot(),
        registers={
            offset: values[offset >> 2]
            for offset, row in REGISTER_MAP.by_offset.items()
            if values[offset >> 2] != row.reset
        },
        ggtt=vgpu.ggtt.state(),
        second_events=vgpu.second_events,
        engines={name: engine.state for name, engine in vgpu.engines.items()},
        saved_images=vgpu.saved_images,
        counters=vgpu.counters,
    )


def check_fits(vgpu: Vgpu, state: VgpuState) -> None:
    """Raises ValueError unless ``vgpu`` can go on from ``state``; needs no lock."""
    here = state_of(vgpu)
    for name in ("device_id", "private_ggtt", "part"):
        theirs, ours = getattr(state, name), getattr(here, name)
        if theirs != ours:
            raise ValueError(f"vGPU state with {name} {theirs}, this vGPU has {ours}")
    unknown = state.registers.keys() - REGISTER_MAP.by_offset.keys()
    if unknown:
        raise ValueError(f"vGPU state with a register at {min(unknown):#x}, which is unknown")
    if state.engines.keys() != vgpu.engines.keys():
        raise ValueError(f"vGPU state with the engines {sorted(state.engines)}")
    if state.saved_images.keys() != vgpu.engines.keys():
        raise ValueError(f"vGPU state with saved images of {sorted(state.saved_images)}")
    state.counters.check()


def take_over(vgpu: Vgpu, state: VgpuState) -> None:
    """``vgpu``, which is off the hardware, becomes what ``state`` says."""
    vgpu.config.load(state.config)
    vgpu.registers.reset()
    for offset, value in state.registers.items():
        vgpu.registers.values[offset >> 2] = value
    vgpu.ggtt.load(state.ggtt)
    vgpu.install_all()
    vgpu.fences = fences.decode_all(vgpu.registers.values, vgpu.type.fences)
    for name, engine in vgpu.engines.items():
        engine.state = state.engines[name]
        for element in engine.lists.elements:
            element.forget_here()
    vgpu.second_events = state.second_events
    vgpu.saved_images = state.saved_images
    vgpu.counters = state.counters
