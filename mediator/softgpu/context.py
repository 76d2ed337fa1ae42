"""Saving and restoring a logical ring context: the image in memory and the engine's registers.

Layout facts stand in `gen9/context_image.py`. Source: PRM SKL vol 7 "Logical Ring Context
Format"; Linux i915 intel_lrc.c. A save never writes the dwords that the driver owns (ring tail,
start, control and the page directory), since the driver may be writing them at the same time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import (
    STATE_DWORDS,
    STATE_OFFSET,
    ContextControl,
    ImageIndex,
)
from mediator.gen9.execlist import (
    DESCRIPTOR_ADDRESSING_MASK,
    DESCRIPTOR_ADDRESSING_SHIFT,
    Addressing,
)
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.execlist import lrca

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.engine import Engine

Action = Callable[[ContextState], None]

_RESTORE_INHIBIT = int(ContextControl.RESTORE_INHIBIT)
_SAVE_INHIBIT = int(ContextControl.SAVE_INHIBIT)
_INHIBIT_SYNC_SWITCH = int(ContextControl.INHIBIT_SYNC_SWITCH)

_STATE = struct.Struct(f"<{STATE_DWORDS}I")
_BATCH_VALID = 1 << 0
_BATCH_OFFSETS = (reg.RING_BB_ADDR_UDW, reg.RING_BB_ADDR, reg.RING_BB_STATE)
_SECOND_OFFSETS = (reg.RING_SBB_ADDR_UDW, reg.RING_SBB_ADDR, reg.RING_SBB_STATE)
_MASK_ALL = 0xFFFF_0000
_PAGE_MASK = ~0xFFF
_CACHE_LINE = 64
_INDIRECT_LINES_MASK = 0x3F
_PER_CTX_VALID = 1 << 0

_HIDDEN_DWORDS = 5
_HIDDEN_INDEX = 0x3F0
"""From here, after the last block, the state page keeps what no register shows (predication)."""


class ContextError(ValueError):
    """A context image, or its work-around batch, that the engine cannot run."""


def restore(engine: Engine, running: ContextState) -> None:
    """Load the image that ``running.descriptor`` names into the engine and into ``running``.

    Raises PageFault when the image is not mapped and ContextError when it makes no sense.
    """
    mode = running.descriptor >> DESCRIPTOR_ADDRESSING_SHIFT & DESCRIPTOR_ADDRESSING_MASK
    if mode != Addressing.LEGACY_64B:
        raise ContextError(f"context addressing mode {mode}: only 48-bit page tables are modelled")
    image = _STATE.unpack(engine.ggtt.read(_state_address(running), _STATE.size))
    _restore_ring(running, image)
    control = image[ImageIndex.CONTEXT_CONTROL]
    running.inhibit_switch = bool(control & _INHIBIT_SYNC_SWITCH)
    values, base = engine.gpu.registers.values, engine.mmio_base
    values[(base + reg.RING_CONTEXT_CONTROL) >> 2] = control & 0xFFFF
    values[(base + reg.RING_PDP0_LDW) >> 2] = image[ImageIndex.PDP0_LDW]
    values[(base + reg.RING_PDP0_UDW) >> 2] = image[ImageIndex.PDP0_UDW]
    engine.load_page_directory()
    if control & _RESTORE_INHIBIT:
        engine.set_context_timestamp(0)
        engine.reset_context_registers()
    else:
        engine.set_context_timestamp(image[ImageIndex.CTX_TIMESTAMP])
        _restore_batches(running, image)
        engine.register_image.restore(image, values)
    _run_indirect(engine, running, image[ImageIndex.INDIRECT_CTX])
    _run_per_context(engine, running, image[ImageIndex.BB_PER_CTX_PTR])


def reload_tail(engine: Engine, running: ContextState) -> None:
    """Lite restore: the running context takes its ring's new tail from the image."""
    engine.ppgtt.flush()
    address = _state_address(running) + 4 * ImageIndex.RING_TAIL
    running.ring.tail = engine.ggtt.read_u32(address)


def save(engine: Engine, running: ContextState) -> None:
    """Write the running context back into its image."""
    state = _state_address(running)
    values, base = engine.gpu.registers.values, engine.mmio_base
    control = values[(base + reg.RING_CONTEXT_CONTROL) >> 2] & ~_RESTORE_INHIBIT
    write = engine.ggtt.write

    def put(index: int, *dwords: int) -> None:
        write(state + 4 * index, struct.pack(f"<{len(dwords)}I", *dwords))

    put(ImageIndex.RING_HEAD, running.ring.head)
    put(ImageIndex.CTX_TIMESTAMP, engine.context_timestamp())
    if control & _SAVE_INHIBIT:
        return
    put(ImageIndex.CONTEXT_CONTROL, _MASK_ALL | control)
    put(ImageIndex.BB_ADDR_UDW, *_batches(base, running))
    kept = engine.register_image
    write(state + 4 * kept.first, kept.save(values)[kept.first : kept.end].tobytes())
    put(_HIDDEN_INDEX, *running.private())


def _state_address(running: ContextState) -> int:
    return lrca(running.descriptor) + STATE_OFFSET


def _restore_ring(running: ContextState, image: Sequence[int]) -> None:
    ring = running.ring
    ring.head, ring.tail = image[ImageIndex.RING_HEAD], image[ImageIndex.RING_TAIL]
    ring.start, ring.control = image[ImageIndex.RING_START] & _PAGE_MASK, image[ImageIndex.RING_CTL]
    if not ring.control & reg.RING_CTL_VALID:
        raise ContextError(f"the ring of context {running.descriptor:#x} is not enabled")


def _restore_batches(running: ContextState, image: Sequence[int]) -> None:
    for first, batch in (
        (ImageIndex.BB_ADDR_UDW, running.batch),
        (ImageIndex.SBB_ADDR_UDW, running.second),
    ):
        upper, lower, state = image[first], image[first + 2], image[first + 4]
        batch.address = upper << 32 | lower & ~0x3
        batch.active = bool(lower & _BATCH_VALID)
        batch.ppgtt = bool(state & reg.BB_STATE_PPGTT)
    running.restore_private(image[_HIDDEN_INDEX : _HIDDEN_INDEX + _HIDDEN_DWORDS])


def _batches(base: int, running: ContextState) -> list[int]:
    """Both batches as the image has them, from the first value to the last."""
    dwords = []
    for batch, offsets in ((running.batch, _BATCH_OFFSETS), (running.second, _SECOND_OFFSETS)):
        upper, lower, state = offsets
        dwords += [
            base + upper,
            batch.address >> 32,
            base + lower,
            batch.address & 0xFFFF_FFFC | int(batch.active),
            base + state,
            reg.BB_STATE_PPGTT if batch.ppgtt else 0,
        ]
    return dwords[1:]


def _run_indirect(engine: Engine, running: ContextState, pointer: int) -> None:
    """The indirect context batch: so many cache lines of commands, with no end command."""
    length = (pointer & _INDIRECT_LINES_MASK) * _CACHE_LINE
    if not length:
        return
    address = pointer & ~_INDIRECT_LINES_MASK
    detour = ContextState(descriptor=running.descriptor, workaround=True)
    detour.ring.start = address & _PAGE_MASK
    detour.ring.head = address & ~_PAGE_MASK
    detour.ring.tail = detour.ring.head + length
    detour.ring.control = detour.ring.tail & _PAGE_MASK | reg.RING_CTL_VALID
    engine.run_workaround(detour)


def _run_per_context(engine: Engine, running: ContextState, pointer: int) -> None:
    """The per-context batch: privileged, from the GGTT, ended by MI_BATCH_BUFFER_END."""
    if not pointer & _PER_CTX_VALID:
        return
    detour = ContextState(descriptor=running.descriptor, workaround=True)
    detour.ring.control = reg.RING_CTL_VALID
    detour.batch.address = pointer & _PAGE_MASK
    detour.batch.active = True
    engine.run_workaround(detour)
