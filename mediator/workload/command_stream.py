"""A copy of commands while it is audited, and what the checks ask and do there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from mediator.errors import GuestError, Reason
from mediator.gen9.commands import REGISTER_MASK, decode
from mediator.gen9.registers import REGISTER_BLOCK_SIZE
from mediator.workload.view import RegisterUse

if TYPE_CHECKING:
    from mediator.workload.view import AuditView


@dataclass(slots=True)
class Counts:
    """What one audit saw."""

    commands: int = 0
    user_batches: int = 0
    """Batches without privilege, which the audit leaves alone."""
    privileged_batches: int = 0
    dropped: int = 0
    """Commands and register writes left out."""


@dataclass(slots=True)
class Stream:
    """Commands being audited: a private copy, which is patched in place."""

    view: AuditView
    counts: Counts
    where: str
    """For messages."""
    in_ring: bool
    """A ring or an indirect context: no batch that could end."""
    dwords: list[int] = field(default_factory=list)
    patched: bool = False
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """Starts of privileged batches: dword of the command, the batch's GGTT address."""

    def name(self, at: int) -> str:
        """Name of the command at dword ``at``."""
        dw0 = self.dwords[at]
        found = decode(dw0, self.view.engine_class)
        return f"command {dw0:#010x}" if found is None else found[0].name

    def refuse(self, reason: Reason, at: int, text: str) -> NoReturn:
        """Fail the submission because of the command at dword ``at``."""
        raise GuestError(
            reason,
            f"{self.name(at)} {text}, at {self.where}+{4 * at:#x}",
            command=self.dwords[at],
            offset=4 * at if self.in_ring else None,
        )

    def drop(self, reason: Reason, at: int, text: str) -> None:
        """Count something of the command at dword ``at`` that is left out."""
        self.counts.dropped += 1
        self.view.reject(reason, f"{self.name(at)} {text}, at {self.where}+{4 * at:#x}")

    def blank(self, at: int, length: int) -> None:
        """Turn ``length`` dwords into MI_NOOP."""
        self.dwords[at : at + length] = [0] * length
        self.patched = True

    def put(self, at: int, *dwords: int) -> None:
        """Replace the dwords from ``at`` on."""
        self.dwords[at : at + len(dwords)] = dwords
        self.patched = True

    def check_global(self, at: int, low: int, size: int, mask: int) -> None:
        """The GGTT address in dwords ``low``, ``low`` + 1 of the command at ``at``.

        ``mask`` has the bits that count; all above bit 31 are ignored by hardware, and cleared.
        """
        dwords = self.dwords
        address = dwords[at + low] & mask
        if not self.view.owns(address, size):
            self.refuse(Reason.ADDRESS, at, f"with {size} bytes at GGTT {address:#x}")
        if dwords[at + low + 1]:
            self.put(at + low + 1, 0)

    def read_use(self, operand: int) -> tuple[RegisterUse, int]:
        """How the register of a command's ``operand`` may be read; its value unless PASS."""
        offset = operand & REGISTER_MASK
        if offset >= REGISTER_BLOCK_SIZE:
            return RegisterUse.REFUSED, 0
        use, value = self.view.register_read(offset)
        return use, value if use is RegisterUse.VIRTUAL else 0

    def target_use(self, operand: int) -> RegisterUse:
        """How the register of ``operand`` may be written with a value not known yet."""
        offset = operand & REGISTER_MASK
        if offset >= REGISTER_BLOCK_SIZE:
            return RegisterUse.REFUSED
        return self.view.register_target(offset)

    def write_use(self, operand: int, value: int) -> RegisterUse:
        """How ``value`` may be written to the register of ``operand``; VIRTUAL is written now."""
        offset = operand & REGISTER_MASK
        if offset >= REGISTER_BLOCK_SIZE:
            return RegisterUse.REFUSED
        return self.view.register_write(offset, value)

    def keep_register(self, at: int) -> None:
        """Clear the bits of a register operand that do not count."""
        if self.dwords[at] & ~REGISTER_MASK:
            self.put(at, self.dwords[at] & REGISTER_MASK)
