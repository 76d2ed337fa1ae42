"""The register state page of a context as one engine saves and restores it.

Where each register stands in the page and in the register file is worked out once per engine,
since every context switch goes through here. The page is a stream of commands; one that has the
shape of `gen9/context_image.py` is restored without parsing it (`fits`).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mediator.gen9.context_image import BATCH_BUFFER_END, LAYOUTS, STATE_DWORDS, ImageIndex
from mediator.softgpu import hidden_state

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from mediator.gen9.engines import EngineFacts

_MASK_ALL = 0xFFFF_0000
_DWORD = 0xFFFF_FFFF
_SAVED_ONLY = (ImageIndex.TIMESTAMP, ImageIndex.IPEHR)
"""Saved for the reader of the image; the engine goes on with its own."""
HEAD_DWORDS = 0x40
"""What is restored even where a context inhibits its restore: ring, batches, page tables."""
_MOST_REMEMBERED = 64

_Places = tuple[tuple[int, int], ...]
"""Pairs of (dword of the register state page, dword of the register file)."""


class RegisterImage:
    """The register state page of one engine's contexts."""

    def __init__(self, facts: EngineFacts) -> None:
        layout = LAYOUTS[facts.engine_class]
        blocks = [block for block in layout.blocks if block.index >= HEAD_DWORDS]
        self.first = blocks[0].index
        """First dword of the page that a save writes as a whole: the driver writes before it."""
        self.ring: dict[int, int] = {}
        """By BAR0 offset: the registers of the head, and the dword that has the value of each."""
        self._template = array("I", bytes(4 * STATE_DWORDS))
        self._template[layout.end] = BATCH_BUFFER_END
        fixed = array("I", _DWORD.to_bytes(4, "little") * STATE_DWORDS)
        """Bits of the page that the template decides: all but the values."""
        plain: list[tuple[int, int]] = []
        masked: list[tuple[int, int]] = []
        for block in layout.blocks:
            self._template[block.index] = block.header
            for register in block.registers:
                address = register.address(facts.mmio_base)
                self._template[register.index - 1] = address
                fixed[register.index] = 0
                if block.index < HEAD_DWORDS:
                    self.ring[address] = register.index
                else:
                    (masked if register.masked else plain).append((register.index, address >> 2))
        self._plain: _Places = tuple(plain)
        self._masked: _Places = tuple(masked)
        self._loaded: _Places = tuple(place for place in plain if place[0] not in _SAVED_ONLY)
        self.offsets = tuple(4 * at for _, at in (*self._loaded, *self._masked))
        """BAR0 offsets of the registers that belong to a context."""
        self._kinds = {
            **{4 * at: "kept" for _, at in self._plain},
            **{4 * at: "plain" for _, at in self._loaded},
            **{4 * at: "masked" for _, at in self._masked},
        }
        self._end = hidden_state.FIRST if facts.context_pages == 2 else STATE_DWORDS
        """Dwords of the page that have a shape: hidden state is not this object's business."""
        self._head = _number(self._template, HEAD_DWORDS), _number(fixed, HEAD_DWORDS)
        self._page = _number(self._template, self._end), _number(fixed, self._end)
        self._saved: dict[int, bytes] = {}
        """By GGTT address: pages from `first` on, as they were saved last."""

    def fits_head(self, page: bytes) -> bool:
        """Up to `HEAD_DWORDS`, ``page`` (4096 bytes) differs in values alone from one saved."""
        shape, fixed = self._head
        return int.from_bytes(page[: 4 * HEAD_DWORDS], "little") & fixed == shape

    def fits(self, address: int, page: bytes) -> bool:
        """The whole ``page`` (4096 bytes) at ``address`` differs in values alone from one saved.

        Its head does already. Hidden state is not looked at.
        """
        if page[4 * self.first :] == self._saved.get(address):
            return True
        shape, fixed = self._page
        return int.from_bytes(page[: 4 * self._end], "little") & fixed == shape

    def save(self, address: int, values: Sequence[int], hidden: bytes) -> bytes:
        """The page at ``address`` from dword `first` on, with the values of the register file.

        ``hidden`` stands at its end.
        """
        page = self._template[:]
        for index, at in self._plain:
            page[index] = values[at]
        for index, at in self._masked:
            page[index] = _MASK_ALL | values[at]
        saved = page[self.first : STATE_DWORDS - len(hidden) // 4].tobytes() + hidden
        if len(self._saved) >= _MOST_REMEMBERED:
            self._saved.clear()
        self._saved[address] = saved
        return saved

    def restore(self, image: Sequence[int], values: MutableSequence[int]) -> None:
        """Load the image into the register file; a masked register by its write-enable bits."""
        for index, at in self._loaded:
            values[at] = image[index]
        for index, at in self._masked:
            values[at] = _merge(values[at], image[index])

    def load(self, offset: int, value: int, values: MutableSequence[int]) -> bool:
        """`restore` for the one register at BAR0 ``offset``; False for one of another kind."""
        kind = self._kinds.get(offset)
        if kind is None:
            return False
        if kind == "plain":
            values[offset >> 2] = value
        elif kind == "masked":
            values[offset >> 2] = _merge(values[offset >> 2], value)
        return True


def _merge(old: int, value: int) -> int:
    enabled = value >> 16
    return (old & ~enabled & 0xFFFF) | (value & enabled)


def _number(words: array[int], count: int) -> int:
    return int.from_bytes(words[:count].tobytes(), "little")
