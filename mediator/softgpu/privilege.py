"""What the batches of a context's own address space may do on one engine.

Source: PRM SKL vol 7 "User Mode Privileged Commands"; Linux i915 i915_cmd_parser.c; GVT-g
handlers.c, which keeps guests from the bit of RING_MODE that ends all checks. Which registers are
open to all stands in `gen9/privilege.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.commands import BCS
from mediator.gen9.privilege import user_registers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.gen9.engines import EngineFacts
    from mediator.softgpu.strictness import Strictness

_SLOTS = reg.RING_FORCE_TO_NONPRIV_COUNT


class Privilege:
    """The privilege check of one engine, by its registers as they are now."""

    def __init__(self, facts: EngineFacts, values: Sequence[int], strictness: Strictness) -> None:
        """``values``: the GPU's register file, dword by dword."""
        self._values = values
        self._mode = (facts.mmio_base + reg.RING_MODE) >> 2
        self._first_slot = (facts.mmio_base + reg.RING_FORCE_TO_NONPRIV) >> 2
        self._open = user_registers(facts.engine_class, facts.mmio_base)
        self._all_open = facts.engine_class == BCS and strictness.bcs_unprotected

    @property
    def checked(self) -> bool:
        """User batches are held back: RING_MODE has not switched that off."""
        return not self._values[self._mode] & reg.GFX_PRIVILEGE_CHECK_DISABLE

    def may_write(self, offset: int) -> bool:
        """Whether a user batch may write the register at BAR0 ``offset``."""
        if self._all_open or offset in self._open:
            return True
        slots = self._values[self._first_slot : self._first_slot + _SLOTS]
        return any(offset == slot & reg.FORCE_TO_NONPRIV_ADDRESS_MASK for slot in slots)
