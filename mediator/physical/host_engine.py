"""One engine of the physical GPU as the mediator drives it: by registers and memory alone.

Submits execution lists, reads the status buffer from the mediator's own status page, stops and
resets the engine, and keeps the idle context that takes the engine away from a vGPU. The order of
register accesses is that of Linux i915 (gt/intel_engine_cs.c, gt/intel_execlists_submission.c,
gt/intel_reset.c) for Gen9.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import STATE_DWORDS, STATE_OFFSET
from mediator.gen9.engines import EngineFacts
from mediator.gen9.execlist import (
    CSB_ENTRIES,
    CSB_RESET_POINTER,
    DESCRIPTOR_ADDRESSING_SHIFT,
    HWSP_CSB_OFFSET,
    HWSP_CSB_WRITE_POINTER_OFFSET,
    Addressing,
    Descriptor,
    Event,
)
from mediator.gen9.interrupts import EngineInterrupt
from mediator.physical.gpu import PhysicalGpu
from mediator.physical.idle_context import Ring, first_image, golden, idle_image
from mediator.physical.memory import Slab
from mediator.physical.partition import EMPTY_TABLES, PAGE

_LOG = logging.getLogger(__name__)

IDLE_CONTEXT_ID = 0x000F_FFFF
"""Upper descriptor dword of the mediator's own contexts: the last of 20 bits of context ids."""

ANSWER_TIMEOUT_S = 0.1
"""Hardware answers each of these requests within a millisecond."""
GOLDEN_TIMEOUT_S = 2.0
_FIRST_LOOKS = 16
_LEAST_LOOKS = 200
_PAUSE_S = 50e-6
_GDRST_PASSES = 2
"""As i915 does on Gen9: the first pass alone may leave the engine with state."""

_MASK_SHIFT = 16
_ALL = 0xFFFF_FFFF
_POINTER_DWORD = HWSP_CSB_WRITE_POINTER_OFFSET // 4
_FIRST_ENTRY_DWORD = HWSP_CSB_OFFSET // 4
_PROOF_OFFSET = 0x100
"""Bytes into the status page at which a golden context leaves `_PROOF`."""
_PROOF = 0x600D_C0DE

_MI_NOOP = 0
_MI_ARB_CHECK = 0x05 << 23
_MI_STORE_DATA_IMM_GGTT = 0x20 << 23 | 1 << 22 | 2
_IDLE_COMMANDS = (_MI_ARB_CHECK, _MI_NOOP)
"""An empty ring would do on software; hardware is never given a head that equals its tail."""


class HardwareError(RuntimeError):
    """The GPU does not answer as its documentation says."""


@dataclass(frozen=True, slots=True)
class EnginePages:
    """Where an engine's pages stand in the mediator's slab: byte offsets."""

    status: int
    """Hardware status page."""
    ring: int
    """One page of ring."""
    context: int
    """`EngineFacts.context_pages` pages of logical ring context."""


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Look at ``condition`` until it holds; False when ``timeout_s`` seconds pass before.

    It is looked at often in any case: a process that stood still has not waited for the hardware.
    """
    for _ in range(_FIRST_LOOKS):
        if condition():
            return True
    deadline, looks = time.monotonic() + timeout_s, 0
    while looks < _LEAST_LOOKS or time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        looks += 1
        if condition():
            return True
    return False


def masked(bits: int, value: int) -> int:
    """A write to a MASKED register that changes ``bits`` (0..0xFFFF) to those of ``value``."""
    return bits << _MASK_SHIFT | value


class HostEngine:
    """One command streamer. Any thread may call, one at a time."""

    def __init__(
        self, gpu: PhysicalGpu, facts: EngineFacts, slab: Slab, pages: EnginePages
    ) -> None:
        self.facts = facts
        self.golden: array[int] = array("I", bytes(4 * STATE_DWORDS))
        """The register state page (1024 dwords) as hardware saved it after a run from cold.

        Ring, batch, page directory and time fields are 0. Empty until `record_golden`.
        """
        self.golden_pages = b""
        """The pages of the image behind it, as hardware saved them in that run."""
        self._gpu = gpu
        self._base = facts.mmio_base
        self._read32 = gpu.read32
        self._write32 = gpu.write32
        self._port = facts.mmio_base + reg.RING_ELSP
        self._status_address = slab.ggtt + pages.status
        self._status = _dwords(slab, pages.status, PAGE)
        self._commands = _dwords(slab, pages.ring, PAGE)
        self._state = _dwords(slab, pages.context + STATE_OFFSET, PAGE)
        behind = pages.context + STATE_OFFSET + PAGE
        count = facts.context_pages - (STATE_OFFSET + PAGE) // PAGE
        self._private = memoryview(slab.bytes)[behind : behind + count * PAGE]
        self._ring_address = slab.ggtt + pages.ring
        self._root = EMPTY_TABLES
        self._idle_image = self.golden
        self._descriptor = (
            IDLE_CONTEXT_ID << 32
            | (slab.ggtt + pages.context)
            | Descriptor.VALID
            | Descriptor.FORCE_RESTORE  # without, it might go on where it ended last time
            | Descriptor.PRIVILEGE
            | Addressing.LEGACY_64B << DESCRIPTOR_ADDRESSING_SHIFT
        )
        self._read_index = CSB_RESET_POINTER
        self._open = (
            1 << EngineInterrupt.CONTEXT_SWITCH | 1 << EngineInterrupt.MASTER_ERROR
        ) << facts.interrupt_shift
        self._imr = _ALL & ~self._open
        self._broken = False

    # -- registers ---------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        """The register at ``offset`` (bytes) from the engine's base."""
        return self._read32(self._base + offset)

    def write(self, offset: int, value: int) -> None:
        """Write the register at ``offset`` (bytes) from the engine's base."""
        self._write32(self._base + offset, value)

    def set_user_mask(self, imr: int) -> None:
        """Mask the engine's events as ``imr``, a RING_IMR value, asks.

        Context switch and error events stay open: the mediator needs them.
        """
        imr &= ~self._open
        if imr != self._imr:
            self._imr = imr
            self.write(reg.RING_IMR, imr)

    # -- submission --------------------------------------------------------------------------

    def submit(self, descriptor0: int, descriptor1: int = 0) -> None:
        """Write an execution list of one or two context descriptors (64 bits each)."""
        write, port = self._write32, self._port
        write(port, descriptor1 >> 32)
        write(port, descriptor1 & _ALL)
        write(port, descriptor0 >> 32)
        write(port, descriptor0 & _ALL)

    def submit_idle(self) -> None:
        """Submit the idle context: it puts every register it keeps to golden values and ends.

        Its events carry `IDLE_CONTEXT_ID`. It must not be running or waiting.
        """
        self._state[:] = self._idle_image
        self._private[:] = self.golden_pages
        self.submit(self._descriptor)

    def events(self) -> list[tuple[int, int]]:
        """New context status entries (event bits, context id), oldest first."""
        status = self._status
        pointer = status[_POINTER_DWORD]
        index = self._read_index
        if pointer == index:
            return []
        if pointer >= CSB_ENTRIES:
            if not self._broken:
                _LOG.error("%s: status buffer pointer is %#x", self.facts.name, pointer)
                self._broken = True
            return []
        found = []
        while index != pointer:
            index = (index + 1) % CSB_ENTRIES
            at = _FIRST_ENTRY_DWORD + 2 * index
            found.append((status[at], status[at + 1]))
        self._read_index = index
        return found

    @property
    def has_news(self) -> bool:
        """There are status entries that `events` has not given yet."""
        return bool(self._status[_POINTER_DWORD] != self._read_index)

    def hung(self) -> bool:
        """Whether the engine says that it stands until it is reset.

        An illegal command, a page fault that is its own, or a status buffer that makes no sense.
        The fault register keeps one fault: of two engines that fault, the second shows nothing.
        """
        if self._broken or self.read(reg.RING_EIR) & reg.EIR_INSTRUCTION_ERROR:
            return True
        return self._faulted()

    # -- life cycle ----------------------------------------------------------------------------

    def initialise(self) -> None:
        """Registers of a cold engine: execution lists on, status page, errors, mask."""
        self._broken = False
        self._forget_events()
        self.write(reg.RING_HWSTAM, _ALL)
        self.write(reg.RING_MODE, masked(reg.GFX_RUN_LIST_ENABLE, reg.GFX_RUN_LIST_ENABLE))
        self.write(reg.RING_MI_MODE, masked(reg.MI_MODE_STOP_RING, 0))
        self.write(reg.RING_HWS_PGA, self._status_address)
        self.write(reg.RING_EMR, _ALL)
        self.write(reg.RING_EIR, _ALL)
        self.write(reg.RING_EMR, _ALL & ~reg.EIR_INSTRUCTION_ERROR)
        self.write(reg.RING_IMR, self._imr)
        self.read(reg.RING_HWS_PGA)  # all of it is in force

    def record_golden(self) -> None:
        """Run a first context from cold and keep the registers that hardware saves.

        The engine is idle and initialised. Raises HardwareError when the context does not end.
        """
        address = self._status_address + _PROOF_OFFSET
        commands = (_MI_STORE_DATA_IMM_GGTT, address, 0, _PROOF, *_IDLE_COMMANDS)
        self._write_ring(commands)
        self._state[:] = first_image(self.facts, self._ring(len(commands)))
        self.submit(self._descriptor)
        if not wait_for(self._idle_completed, GOLDEN_TIMEOUT_S):
            raise HardwareError(
                f"{self.facts.name}: the first context does not end: EXECLIST_STATUS is "
                f"{self.read(reg.RING_EXECLIST_STATUS_LO):#x}, EIR {self.read(reg.RING_EIR):#x}"
            )
        if self._status[_PROOF_OFFSET // 4] != _PROOF:
            raise HardwareError(f"{self.facts.name}: the first context ran without effect")
        self.golden = golden(array("I", self._state))
        self.golden_pages = bytes(self._private)
        self._write_ring(_IDLE_COMMANDS)
        self._idle_image = idle_image(self.golden, self._ring(len(_IDLE_COMMANDS)))

    def stop(self) -> bool:
        """Stop the ring between two commands; False when it is not seen to stand."""
        self.write(reg.RING_MI_MODE, masked(reg.MI_MODE_STOP_RING, reg.MI_MODE_STOP_RING))
        return wait_for(
            lambda: bool(self.read(reg.RING_MI_MODE) & reg.MI_MODE_IDLE), ANSWER_TIMEOUT_S
        )

    def resume(self) -> None:
        """Let a stopped ring go on."""
        self.write(reg.RING_MI_MODE, masked(reg.MI_MODE_STOP_RING, 0))

    def reset(self) -> bool:
        """Reset the engine and initialise it; what it ran is lost, other engines go on.

        Returns False when hardware does not answer in time: the GPU needs a full reset.
        """
        try:
            self.require_reset()
        except HardwareError as error:
            _LOG.error("%s", error)
            return False
        return True

    def require_reset(self) -> None:
        """`reset` that raises HardwareError, naming register and value."""
        self.stop()  # a ring that does not stop is reset all the same
        try:
            self._request_reset()
            for _ in range(_GDRST_PASSES):
                self._write32(reg.GDRST, self.facts.reset_bit)
                if not wait_for(
                    lambda: not self._read32(reg.GDRST) & self.facts.reset_bit, ANSWER_TIMEOUT_S
                ):
                    value = self._read32(reg.GDRST)
                    raise HardwareError(f"{self.facts.name}: GDRST stays {value:#x}")
        finally:
            self.write(reg.RING_RESET_CTL, masked(reg.RESET_CTL_REQUEST, 0))
        if self._faulted():
            self._write32(reg.GEN8_RING_FAULT_REG, 0)
        self.initialise()

    # -- parts -----------------------------------------------------------------------------------

    def _request_reset(self) -> None:
        """Ask the engine to get ready for a reset, which a catastrophic error keeps it from."""
        if self.read(reg.RING_RESET_CTL) & reg.RESET_CTL_CAT_ERROR:
            bit, answer, expected = reg.RESET_CTL_CAT_ERROR, reg.RESET_CTL_CAT_ERROR, 0
        else:
            bit, answer, expected = (
                reg.RESET_CTL_REQUEST,
                reg.RESET_CTL_READY,
                reg.RESET_CTL_READY,
            )
        self.write(reg.RING_RESET_CTL, masked(bit, bit))
        if not wait_for(
            lambda: self.read(reg.RING_RESET_CTL) & answer == expected, ANSWER_TIMEOUT_S
        ):
            value = self.read(reg.RING_RESET_CTL)
            raise HardwareError(f"{self.facts.name}: not ready for reset: RESET_CTL is {value:#x}")

    def _faulted(self) -> bool:
        fault = self._read32(reg.GEN8_RING_FAULT_REG)
        return bool(
            fault & reg.RING_FAULT_VALID and reg.RING_FAULT_ENGINE.get(fault) == self.facts.fault_id
        )

    def _forget_events(self) -> None:
        """Both pointers to the last entry: the next event is entry 0."""
        self._status[_POINTER_DWORD] = self._read_index = CSB_RESET_POINTER
        pointers = reg.CONTEXT_STATUS_READ.put(CSB_RESET_POINTER, CSB_RESET_POINTER)
        self.write(reg.RING_CONTEXT_STATUS_PTR, masked(0xFFFF, pointers))

    def _idle_completed(self) -> bool:
        return any(
            identity == IDLE_CONTEXT_ID and event & Event.CONTEXT_COMPLETE
            for event, identity in self.events()
        )

    def _write_ring(self, commands: tuple[int, ...]) -> None:
        for index, dword in enumerate(commands):
            self._commands[index] = dword

    def _ring(self, dwords: int) -> Ring:
        return Ring(self._ring_address, PAGE, 4 * dwords, self._root)


def _dwords(slab: Slab, offset: int, size: int) -> memoryview:
    return slab.u32[offset // 4 : (offset + size) // 4]
