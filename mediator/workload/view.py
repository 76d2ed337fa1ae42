"""What the audit asks about the vGPU whose commands it looks at."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from mediator.gen9.engines import EngineClass


class RegisterUse(Enum):
    """What a privileged command of a guest may do with a register."""

    PASS = "pass"  # noqa: S105 - no password
    """The command reaches the hardware's register: part of the context, or harmless to read."""
    VIRTUAL = "virtual"
    """The register is the control block's: reads give its value, writes go to it."""
    REFUSED = "refused"
    """Nothing may happen; the write is dropped, the read gives 0, and it is counted."""


class AuditView(Protocol):
    """One engine of one vGPU as the command audit sees it. GGTT addresses are the guest's own."""

    engine_class: EngineClass
    mmio_base: int
    copies_user_batches: bool
    """The engine does not hold user batches back: they are audited too, and run from copies."""

    def owns(self, address: int, length: int) -> bool:
        """Whether all ``length`` bytes of GGTT from ``address`` on are the vGPU's part."""

    def read_ggtt(self, address: int, length: int) -> bytes:
        """A copy of ``length`` bytes of the guest's GGTT space. Raises GuestError."""

    def read_user(self, address: int, copy: memoryview) -> int:
        """Fill ``copy`` (bytes) from ``address`` on in the context's own address space.

        Returns how many bytes could be read before the first page that the guest's tables lack.
        """

    def register_read(self, offset: int) -> tuple[RegisterUse, int]:
        """How a command may read BAR0 ``offset``; the value, for VIRTUAL."""

    def register_write(self, offset: int, value: int) -> RegisterUse:
        """How a command may write ``value`` to BAR0 ``offset``; for VIRTUAL it is written now."""

    def register_target(self, offset: int) -> RegisterUse:
        """How a command may write BAR0 ``offset`` a value known only when it runs.

        Nothing is written now; what is not PASS is left out.
        """

    def place_batch(self, size: int, align: int) -> tuple[int, memoryview]:
        """Room for ``size`` bytes of shadow batch, at a multiple of ``align`` (up to a page).

        Its GGTT address on the hardware, above all that were given before, and its dwords. Raises
        GuestError TOO_LARGE.
        """

    def update_ggtt(self, address: int, entries: list[int]) -> None:
        """MI_UPDATE_GTT: write the guest's GGTT entries from that of ``address`` on."""

    def reject(self, reason: str, text: str) -> None:
        """Count and log something that was dropped without failing the submission."""
