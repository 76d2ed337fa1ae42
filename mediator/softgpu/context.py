"""Saving and restoring a logical ring context: the image in memory and the engine's registers.

An image is a stream of commands (`image_load.py`). One that is as a save leaves it is restored
without parsing it, with the same effect. Layout facts stand in `gen9/context_image.py`. Source: PRM
SKL vol 7 "Logical Ring Context Format"; Linux i915 intel_lrc.c. A save never writes the dwords that
the driver owns (ring tail, start, control and the page directory), since the driver may be writing
them at the same time; it writes all the rest, page for page.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.commands import BCS
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
    Descriptor,
)
from mediator.gen9.pte import PAGE_SIZE
from mediator.softgpu import hidden_state
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.eu.dispatch import interrupted as interrupted_walker
from mediator.softgpu.execlist import lrca
from mediator.softgpu.hidden_state import HiddenState
from mediator.softgpu.image_load import ImageLoad
from mediator.softgpu.pipeline_state import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from mediator.softgpu.engine import Engine

Action = Callable[[ContextState], None]

_FORCE_RESTORE = int(Descriptor.FORCE_RESTORE)
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
_HIDDEN_BYTES = 4 * (STATE_DWORDS - hidden_state.FIRST)
_BEFORE_HIDDEN = bytes(PAGE_SIZE - _HIDDEN_BYTES)


class ContextError(ValueError):
    """A context image, or its work-around batch, that the engine cannot run."""


def restore(engine: Engine, running: ContextState) -> None:
    """Load the image that ``running.descriptor`` names into the engine and into ``running``.

    Raises PageFault when the image is not mapped and ContextError when it makes no sense.
    """
    mode = running.descriptor >> DESCRIPTOR_ADDRESSING_SHIFT & DESCRIPTOR_ADDRESSING_MASK
    if mode != Addressing.LEGACY_64B:
        raise ContextError(f"context addressing mode {mode}: only 48-bit page tables are modelled")
    state, kept = _state_address(running), engine.register_image
    page = engine.ggtt.read(state, _STATE.size)
    load: ImageLoad | None = None
    image: Sequence[int] = _STATE.unpack(page)
    if engine.gpu.strictness.image_as_commands or not kept.fits_head(page):
        load = ImageLoad(engine, running.descriptor, state)
        load.head()
        image = load.words
    inhibited = bool(image[ImageIndex.CONTEXT_CONTROL] & _RESTORE_INHIBIT)
    _restore_page_directory(engine, image)
    if inhibited:
        if not engine.gpu.strictness.inhibit_keeps_state:
            engine.reset_context_state()
    elif load is not None or not _restore_known(engine, running, page, image):
        if load is None:
            load = ImageLoad(engine, running.descriptor, state)
            load.words[:] = array("I", page)
        load.rest()
        image = load.words
        running.arbitration, running.predicate = load.state.arbitration, load.state.predicate
        running.clip, running.interrupted = load.state.clip, load.state.interrupted
    _restore_ring(engine, running, image)
    control = image[ImageIndex.CONTEXT_CONTROL]
    running.inhibit_switch = bool(control & _INHIBIT_SYNC_SWITCH)
    values, base = engine.gpu.registers.values, engine.mmio_base
    values[(base + reg.RING_CONTEXT_CONTROL) >> 2] = control & 0xFFFF
    if not inhibited:
        _restore_batches(running, image)
    engine.clock.set(0 if inhibited else image[ImageIndex.CTX_TIMESTAMP])
    _run_indirect(engine, running, image[ImageIndex.INDIRECT_CTX])
    _run_per_context(engine, running, image[ImageIndex.BB_PER_CTX_PTR])
    if values[(base + reg.RING_MI_MODE) >> 2] & reg.MI_MODE_STOP_RING:
        engine.abandon = True  # the image stops its ring: i915 clears the bit for that reason


def reload_tail(engine: Engine, running: ContextState) -> None:
    """Lite restore: the running context takes its ring's new tail from the image."""
    if not engine.ppgtt.stale:
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

    _leave_ring(values, base, running)
    engine.resident = running
    put(ImageIndex.RING_HEAD, running.ring.head)
    put(ImageIndex.CTX_TIMESTAMP, engine.context_timestamp())
    if control & _SAVE_INHIBIT:
        return
    put(ImageIndex.CONTEXT_CONTROL, _MASK_ALL | control)
    put(ImageIndex.BB_ADDR_UDW, *_batches(base, running))
    kept, pages = engine.register_image, engine.pipeline.image
    hidden = HiddenState(running.arbitration, running.predicate, running.clip)
    commands = hidden_state.pack(hidden, clips=engine.engine_class == BCS)
    write(state + 4 * kept.first, kept.save(state, values, b"" if pages else commands))
    if pages:
        rest = _interrupted_pages(engine, running) + commands.rjust(PAGE_SIZE, b"\0")
        if pages is not running.loaded_pages or rest != running.loaded_rest:
            write(state + PAGE_SIZE, pages + rest)


def _restore_known(
    engine: Engine, running: ContextState, page: bytes, image: Sequence[int]
) -> bool:
    """Restore all but the head of an image that is as a save leaves it; False if it is not."""
    kept, state = engine.register_image, _state_address(running)
    if not kept.fits(state, page):
        return False
    count = engine.facts.context_pages - 2
    pages = engine.ggtt.read_pages(state + PAGE_SIZE, count) if count else page
    hidden = hidden_state.parse(pages[-_HIDDEN_BYTES:], clips=engine.engine_class == BCS)
    if hidden is None or (count and pages[-PAGE_SIZE:-_HIDDEN_BYTES] != _BEFORE_HIDDEN):
        return False
    if count and not _restore_pipeline(engine, running, pages):
        return False
    running.arbitration, running.predicate, running.clip = hidden
    kept.restore(image, engine.gpu.registers.values)
    return True


def _restore_pipeline(engine: Engine, running: ContextState, pages: bytes) -> bool:
    """Restore what a render context has more; False if it is not as a save leaves it."""
    pipeline = engine.pipeline
    rest = pages[IMAGE_BYTES:]
    walker = rest[: interrupted_walker.PAGES_BYTES]
    found = None
    if walker != interrupted_walker.NOTHING:
        found = interrupted_walker.parse(walker)
        if found is None:
            return False
    if not pages.startswith(pipeline.image) and not pipeline.restore(pages):
        return False
    if pages.startswith(pipeline.image):
        running.loaded_pages, running.loaded_rest = pipeline.image, rest
    running.interrupted = found
    return True


def _interrupted_pages(engine: Engine, running: ContextState) -> bytes:
    """The pages of the image for the command at which the context was interrupted, if any."""
    found = running.interrupted
    if found is None:
        return interrupted_walker.NOTHING
    if found.run is not None:
        found.token = engine.units.suspend(found.run, lrca(running.descriptor))
        found.run = None
    return interrupted_walker.pack(found)


def _restore_page_directory(engine: Engine, image: Sequence[int]) -> None:
    values, base = engine.gpu.registers.values, engine.mmio_base
    values[(base + reg.RING_PDP0_LDW) >> 2] = image[ImageIndex.PDP0_LDW]
    values[(base + reg.RING_PDP0_UDW) >> 2] = image[ImageIndex.PDP0_UDW]
    engine.load_page_directory()


def _state_address(running: ContextState) -> int:
    return lrca(running.descriptor) + STATE_OFFSET


def _restore_ring(engine: Engine, running: ContextState, image: Sequence[int]) -> None:
    """The ring's registers; an engine that still has the context's own may load the tail alone."""
    ring, resident = running.ring, engine.resident
    if resident is not None and _goes_on(engine, running.descriptor, resident.descriptor):
        last = resident.ring
        ring.head, ring.start, ring.control = last.head, last.start, last.control
        ring.tail = image[ImageIndex.RING_TAIL]
        return
    ring.head, ring.tail = image[ImageIndex.RING_HEAD], image[ImageIndex.RING_TAIL]
    ring.start, ring.control = image[ImageIndex.RING_START] & _PAGE_MASK, image[ImageIndex.RING_CTL]
    if not ring.control & reg.RING_CTL_VALID:
        raise ContextError(f"the ring of context {running.descriptor:#x} is not enabled")


def _goes_on(engine: Engine, descriptor: int, resident: int) -> bool:
    """Whether the context that is loaded is the one that left last, and no restore is forced."""
    same = (lrca(descriptor), descriptor >> 32) == (lrca(resident), resident >> 32)
    return engine.gpu.strictness.idle_keeps_ring and same and not descriptor & _FORCE_RESTORE


def _restore_batches(running: ContextState, image: Sequence[int]) -> None:
    for first, batch in (
        (ImageIndex.BB_ADDR_UDW, running.batch),
        (ImageIndex.SBB_ADDR_UDW, running.second),
    ):
        upper, lower, state = image[first], image[first + 2], image[first + 4]
        batch.address = upper << 32 | lower & ~0x3
        batch.active = bool(lower & _BATCH_VALID)
        batch.ppgtt = bool(state & reg.BB_STATE_PPGTT)


def _leave_ring(values: MutableSequence[int], base: int, running: ContextState) -> None:
    """The ring's registers stay when its context has gone."""
    ring = running.ring
    for offset, value in (
        (reg.RING_HEAD, ring.head),
        (reg.RING_TAIL, ring.tail),
        (reg.RING_START, ring.start),
        (reg.RING_CTL, ring.control),
    ):
        values[(base + offset) >> 2] = value


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
    engine.run_detour(detour)


def _run_per_context(engine: Engine, running: ContextState, pointer: int) -> None:
    """The per-context batch: privileged, from the GGTT, ended by MI_BATCH_BUFFER_END."""
    if not pointer & _PER_CTX_VALID:
        return
    detour = ContextState(descriptor=running.descriptor, workaround=True)
    detour.ring.control = reg.RING_CTL_VALID
    detour.batch.address = pointer & _PAGE_MASK
    detour.batch.active = True
    engine.run_detour(detour)
