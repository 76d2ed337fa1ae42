"""The registers of a context as one engine saves and restores them.

Where each register stands in the image and in the register file is worked out once per engine,
since every context switch goes through here.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mediator.gen9.context_image import BATCH_BUFFER_END, LAYOUTS, STATE_DWORDS, ImageIndex

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from mediator.gen9.engines import EngineFacts

_MASK_ALL = 0xFFFF_0000
_SAVED_ONLY = (ImageIndex.TIMESTAMP, ImageIndex.IPEHR)
"""Saved for the reader of the image; the engine goes on with its own."""

_Places = tuple[tuple[int, int], ...]
"""Pairs of (dword of the register state page, dword of the register file)."""


class RegisterImage:
    """The part of the register state page that the engine itself saves and restores."""

    def __init__(self, facts: EngineFacts) -> None:
        layout = LAYOUTS[facts.engine_class]
        blocks = [block for block in layout.blocks if block.index > ImageIndex.PDP0_LDW]
        self.first = blocks[0].index
        """First dword of the page that a save writes: before it, the driver writes too."""
        self.end = layout.end + 1
        self._template = array("I", bytes(4 * STATE_DWORDS))
        self._template[layout.end] = BATCH_BUFFER_END
        plain: list[tuple[int, int]] = []
        masked: list[tuple[int, int]] = []
        for block in blocks:
            self._template[block.index] = block.header
            for register in block.registers:
                address = register.address(facts.mmio_base)
                self._template[register.index - 1] = address
                (masked if register.masked else plain).append((register.index, address >> 2))
        self._plain: _Places = tuple(plain)
        self._masked: _Places = tuple(masked)
        self._loaded: _Places = tuple(place for place in plain if place[0] not in _SAVED_ONLY)
        self.offsets = tuple(4 * at for _, at in (*self._loaded, *self._masked))
        """BAR0 offsets of the registers that belong to a context."""

    def save(self, values: Sequence[int]) -> array[int]:
        """The register state page with the values of the register file in place."""
        page = self._template[:]
        for index, at in self._plain:
            page[index] = values[at]
        for index, at in self._masked:
            page[index] = _MASK_ALL | values[at]
        return page

    def restore(self, image: Sequence[int], values: MutableSequence[int]) -> None:
        """Load the image into the register file; a masked register by its write-enable bits."""
        for index, at in self._loaded:
            values[at] = image[index]
        for index, at in self._masked:
            value = image[index]
            enabled = value >> 16
            values[at] = (values[at] & ~enabled & 0xFFFF) | (value & enabled)
