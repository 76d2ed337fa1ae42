"""The register state page of a shadow context: made from a guest's, and carried back into it.

A state page is a batch of register loads that the hardware carries out with privilege. The shadow
therefore takes headers and register offsets from `gen9/context_image.py` and only values from the
guest; what its ring registers, batches and page tables say is the mediator's own. Source: PRM
SKL vol 7 "Logical Ring Context Format"; Linux i915 gt/intel_lrc.c.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import (
    BATCH_BUFFER_END,
    INDIRECT_CONTEXT_OFFSET,
    LAYOUTS,
    STATE_DWORDS,
    ContextControl,
    ImageIndex,
)
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.vgpu.register_policy import ROW_POLICY, Policy
from mediator.workload.command_stream import Target

_MASK_ALL = 0xFFFF_0000
_BATCH_VALID = 1 << 0
_BATCH_ADDRESS = 0xFFFF_FFFC
_KEPT_CONTROL = ContextControl.RS_ENABLE | ContextControl.INHIBIT_SYNC_SWITCH
_LEVELS = ((ImageIndex.BB_ADDR_UDW, "first"), (ImageIndex.SBB_ADDR_UDW, "second"))
_BATCHES = slice(ImageIndex.BB_ADDR_UDW, ImageIndex.SBB_STATE + 1)
_STARTS = (ImageIndex.BB_START_ADDR_UDW, ImageIndex.BB_START_ADDR)
SAVED_FROM = 0x40
"""From this dword on a save belongs to the hardware alone; before, the driver writes too."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch buffer that a context was switched out of: where it goes on."""

    address: int
    ppgtt: bool


@dataclass(slots=True)
class RingFields:
    """What the shadow's ring registers say, and its page tables."""

    head: int
    tail: int
    start: int
    control: int
    root: int
    indirect: int = 0
    """INDIRECT_CTX: hardware address and cache lines."""
    per_context: int = 0
    """BB_PER_CTX_PTR: hardware address and valid bit."""
    first: Batch | None = None
    second: Batch | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things stand in the state page of one engine."""

    template: array[int]
    """Headers and register offsets; values 0."""
    values: tuple[slice, ...]
    """Values of the blocks that the hardware alone saves, one slice for each block."""
    mediators: tuple[int, ...]
    """Values among them that no guest may give: their registers are none of a context's own."""
    end: int
    """First dword after the register loads: what is private to the hardware follows."""


@cache
def plan(engine: str) -> Plan:
    """The plan of the engine called ``engine``."""
    facts = next(facts for facts in ENGINES if facts.name == engine)
    layout = LAYOUTS[facts.engine_class]
    template = array("I", bytes(4 * STATE_DWORDS))
    values, mediators = [], []
    for block in layout.blocks:
        template[block.index] = block.header
        for register in block.registers:
            address = template[register.index - 1] = register.address(facts.mmio_base)
            if block.index >= SAVED_FROM and ROW_POLICY[address] is not Policy.CONTEXT:
                mediators.append(register.index)
        if block.index >= SAVED_FROM:
            first = block.registers[0].index
            values.append(slice(first, first + 2 * len(block.registers), 2))
    template[layout.end] = BATCH_BUFFER_END
    return Plan(template, tuple(values), tuple(mediators), layout.end + 1)


def inhibited(page: Sequence[int]) -> bool:
    """Whether the page asks not to be restored: the context has never run."""
    return bool(page[ImageIndex.CONTEXT_CONTROL] & ContextControl.RESTORE_INHIBIT)


def save_inhibited(page: Sequence[int]) -> bool:
    """Whether the page asks not to be saved: the hardware writes head and time alone."""
    return bool(page[ImageIndex.CONTEXT_CONTROL] & ContextControl.SAVE_INHIBIT)


def interrupted(page: Sequence[int]) -> tuple[Batch | None, Batch | None]:
    """The batches, first and second level, in which the context stands."""
    if inhibited(page):
        return None, None
    found = []
    for index, _ in _LEVELS:
        lower = page[index + 2]
        address = page[index] << 32 | lower & _BATCH_ADDRESS
        ppgtt = bool(page[index + 4] & reg.BB_STATE_PPGTT)
        found.append(Batch(address, ppgtt) if lower & _BATCH_VALID else None)
    return found[0], found[1]


def build(
    facts: EngineFacts,
    page: array[int],
    golden: Sequence[int],
    ring: RingFields,
    private: array[int],
) -> bytes:
    """The shadow's state page (4096 bytes) for the guest's ``page``.

    A context that has never run gets ``golden`` values: nothing of the one before it stays in the
    registers. So does any context for a register that the policy does not leave to contexts: no
    command of the guest can have changed it. ``private`` is what stands behind the register loads:
    dwords that hardware saved (`private_part.py`).
    """
    shape = plan(facts.name)
    made = shape.template[:]
    never_ran = inhibited(page)
    source = golden if never_ran else page
    for values in shape.values:
        made[values] = array("I", source[values])
    for index in shape.mediators:
        made[index] = golden[index]
    made[shape.end :] = private
    control = page[ImageIndex.CONTEXT_CONTROL] & _KEPT_CONTROL
    made[ImageIndex.CONTEXT_CONTROL] = _MASK_ALL | control
    made[ImageIndex.MI_MODE] &= ~reg.MI_MODE_STOP_RING  # stopping is not a context's to do
    made[ImageIndex.RING_HEAD] = ring.head
    made[ImageIndex.RING_TAIL] = ring.tail
    made[ImageIndex.RING_START] = ring.start
    made[ImageIndex.RING_CTL] = ring.control
    made[ImageIndex.CTX_TIMESTAMP] = 0 if never_ran else page[ImageIndex.CTX_TIMESTAMP]
    for index, level in _LEVELS:
        batch = getattr(ring, level)
        if batch is not None:
            made[index] = batch.address >> 32
            made[index + 2] = batch.address & _BATCH_ADDRESS | _BATCH_VALID
            made[index + 4] = reg.BB_STATE_PPGTT if batch.ppgtt else 0
    made[ImageIndex.BB_PER_CTX_PTR] = ring.per_context
    made[ImageIndex.INDIRECT_CTX] = ring.indirect
    made[ImageIndex.INDIRECT_CTX_OFFSET] = INDIRECT_CONTEXT_OFFSET
    made[ImageIndex.PDP0_UDW] = ring.root >> 32
    made[ImageIndex.PDP0_LDW] = ring.root & 0xFFFF_FFFF
    return made.tobytes()


def carry_back(
    facts: EngineFacts,
    saved: array[int],
    guest: array[int],
    to_guest: Callable[[int], Target | None],
    put: Callable[[int, bytes], None],
    *,
    whole: bool,
) -> None:
    """Write what the hardware ``saved`` into the guest's page, which held ``guest`` before.

    ``guest`` is brought up to date as well. ``put`` takes a dword index and bytes. ``to_guest``
    gives the guest's place of a batch that ran as a shadow. The dwords that the
    driver owns (tail, start, control, page tables) are not written: it may be writing them now.
    Not ``whole``: head and time alone are written, as where the guest inhibits its save.
    """
    end = plan(facts.name).end
    changed: list[slice[int, int, None]] = [
        slice(ImageIndex.RING_HEAD, ImageIndex.RING_HEAD + 1),
        slice(ImageIndex.CTX_TIMESTAMP, ImageIndex.CTX_TIMESTAMP + 1),
    ]
    control = guest[ImageIndex.CONTEXT_CONTROL]
    if whole and not control & ContextControl.SAVE_INHIBIT:
        kept = _MASK_ALL | (control & 0xFFFF & ~ContextControl.RESTORE_INHIBIT)
        saved[ImageIndex.CONTEXT_CONTROL] = kept
        _name_batches(saved, to_guest)
        for index in _STARTS:  # of no use to the guest: the mediator's addresses
            saved[index] = guest[index]
        saved[_BATCHES.start + 1 : _BATCHES.stop : 2] = guest[
            _BATCHES.start + 1 : _BATCHES.stop : 2
        ]
        changed.append(slice(SAVED_FROM, end))
        if kept != control:
            changed.append(slice(ImageIndex.CONTEXT_CONTROL, ImageIndex.CONTEXT_CONTROL + 1))
        if saved[_BATCHES] != guest[_BATCHES]:
            changed.append(_BATCHES)
        if saved[end:] != guest[end:]:
            changed.append(slice(end, STATE_DWORDS))
    for part in changed:
        guest[part] = fresh = saved[part]
        put(part.start, fresh.tobytes())


def _name_batches(saved: array[int], to_guest: Callable[[int], Target | None]) -> None:
    """Batches that ran as shadows get the guest's places."""
    for index, _ in _LEVELS:
        lower = saved[index + 2]
        if lower & _BATCH_VALID and not saved[index + 4] & reg.BB_STATE_PPGTT:
            place = to_guest(saved[index] << 32 | lower & _BATCH_ADDRESS) or Target(0)
            saved[index] = place.address >> 32
            saved[index + 2] = place.address & _BATCH_ADDRESS | _BATCH_VALID
            saved[index + 4] = reg.BB_STATE_PPGTT if place.user else 0
