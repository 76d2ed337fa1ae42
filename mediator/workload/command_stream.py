"""A copy of commands while it is audited, and what the checks ask and do there."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from mediator.errors import GuestError, Reason
from mediator.gen9.commands import REGISTER_MASK, decode
from mediator.gen9.privilege import user_registers
from mediator.gen9.registers import REGISTER_BLOCK_SIZE
from mediator.workload.view import RegisterUse

if TYPE_CHECKING:
    from mediator.workload.view import AuditView


ARBITRATION_ON: Final = 1 << 0
"""In MI_ARB_ON_OFF."""


AUDIT_WORK: Final = 110_000
"""What one audit may do, in units of which the slowest takes 0.6 us. A ring of 512 KiB, full of
requests as i915 makes them, takes 103,000. C passes over commands that need no look for nothing."""
CHECK_WORK: Final = 3
"""Units of a command with a check; one without, before it, has one."""
PAIR_WORK: Final = 3
"""Units of one of the registers that a command loads."""
VIRTUAL_WORK: Final = 32
"""Units of a register of the control block that is read or written: the handlers of some ask the
hardware, whose lock the engines have too."""
DROP_WORK: Final = 16
"""Units of something that is left out, counted and perhaps logged."""
UPDATE_WORK: Final = 64
"""Units of a change of GGTT entries, each of which has one more."""
MOST_DROPPED: Final = 1024
"""What one submission may have left out; i915 has some ten."""


@dataclass(slots=True)
class Counts:
    """What one audit saw, and what it cost: the guest's lock is held meanwhile."""

    work: int = 0
    """Units of work done; the same for the same commands, however busy the machine is."""
    commands: int = 0
    user_batches: int = 0
    """Batches in the context's own address space."""
    privileged_batches: int = 0
    dropped: int = 0
    """Commands and register writes left out."""

    def spend(self, units: int) -> None:
        """Account for work. Raises GuestError where there has been too much."""
        self.work += units
        if self.work > AUDIT_WORK:
            raise GuestError(
                Reason.TOO_LARGE, f"more to audit at once than {AUDIT_WORK} units of work allow"
            )


class Target(NamedTuple):
    """Where a batch begins, as its guest knows it."""

    address: int
    user: bool = False
    """In the context's own address space, and so without privilege; else in the GGTT."""


@dataclass(slots=True)
class Stream:
    """Commands being audited: a private copy, which is patched in place."""

    view: AuditView
    counts: Counts
    where: str
    """For messages."""
    in_ring: bool
    """A ring or an indirect context: no batch that could end."""
    user: bool = False
    """It has no privilege where it stands, though its copy runs with it."""
    dwords: array[int] = field(default_factory=lambda: array("I"))
    begins: bytearray = field(default_factory=bytearray)
    """A byte for each dword that was looked at, 1 where a command begins; of no meaning from the
    dword on at which the audit ends."""
    refused: int | None = None
    """Dword of the command for which the stream was refused."""
    patched: bool = False
    missing: int | None = None
    """Address of the page that is missing behind its last dword."""
    arbitration_off: list[int] = field(default_factory=list)
    """Dwords of the commands that turned arbitration off, since it was on."""
    jumps: list[tuple[int, Target]] = field(default_factory=list)
    """Starts of batches that are shadowed: dword of the command, where the batch is."""

    def name(self, at: int) -> str:
        """Name of the command at dword ``at``."""
        dw0 = self.dwords[at]
        found = decode(dw0, self.view.engine_class)
        return f"command {dw0:#010x}" if found is None else found[0].name

    def refuse(self, reason: Reason, at: int, text: str) -> NoReturn:
        """Fail the submission because of the command at dword ``at``."""
        self.refused = at
        raise GuestError(
            reason,
            f"{self.name(at)} {text}, at {self.where}+{4 * at:#x}",
            command=self.dwords[at],
            offset=4 * at if self.in_ring else None,
        )

    def drop(self, reason: Reason, at: int, text: str) -> None:
        """Count something of the command at dword ``at`` that is left out."""
        self.counts.dropped += 1
        self.counts.spend(DROP_WORK)
        if self.counts.dropped > MOST_DROPPED:
            self.refuse(Reason.TOO_LARGE, at, f"is one of over {MOST_DROPPED} to be left out")
        self.view.reject(reason, f"{self.name(at)} {text}, at {self.where}+{4 * at:#x}")

    def blank(self, at: int, length: int) -> None:
        """Turn ``length`` dwords into MI_NOOP."""
        self.dwords[at : at + length] = array("I", bytes(4 * length))
        self.patched = True

    def put(self, at: int, *dwords: int) -> None:
        """Replace the dwords from ``at`` on."""
        self.dwords[at : at + len(dwords)] = array("I", dwords)
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
        if use is not RegisterUse.VIRTUAL:
            return use, 0
        self.counts.spend(VIRTUAL_WORK)
        return use, value

    def target_use(self, operand: int) -> RegisterUse:
        """How the register of ``operand`` may be written with a value not known yet."""
        offset = operand & REGISTER_MASK
        if offset >= REGISTER_BLOCK_SIZE or not self._may_write(offset):
            return RegisterUse.REFUSED
        return self.view.register_target(offset)

    def write_use(self, operand: int, value: int) -> RegisterUse:
        """How ``value`` may be written to the register of ``operand``; VIRTUAL is written now."""
        offset = operand & REGISTER_MASK
        if offset >= REGISTER_BLOCK_SIZE or not self._may_write(offset):
            return RegisterUse.REFUSED
        use = self.view.register_write(offset, value)
        if use is RegisterUse.VIRTUAL:
            self.counts.spend(VIRTUAL_WORK)
        return use

    def _may_write(self, offset: int) -> bool:
        view = self.view
        return not self.user or offset in user_registers(view.engine_class, view.mmio_base)

    def arbitrate(self) -> None:
        """Have arbitration on here: commands that turned it off turn it on."""
        for at in self.arbitration_off:
            self.put(at, self.dwords[at] | ARBITRATION_ON)
        self.arbitration_off.clear()

    def keep_register(self, at: int) -> None:
        """Clear the bits of a register operand that do not count."""
        if self.dwords[at] & ~REGISTER_MASK:
            self.put(at, self.dwords[at] & REGISTER_MASK)
