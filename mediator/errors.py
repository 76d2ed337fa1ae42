"""What a guest can do wrong, by kind. Nothing here reaches past the guest that did it."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why the mediator refused something of a guest: the label of its counter."""

    UNKNOWN_COMMAND = "unknown-command"
    """No row in the command table of that engine, or a row that no guest may use."""
    BAD_COMMAND = "bad-command"
    """Too short, cut off by the end of its buffer, or operands that make no sense."""
    ADDRESS = "address"
    """A GGTT address that the vGPU does not own."""
    REGISTER = "register"
    """A register that commands of a guest may not touch that way."""
    CONTEXT = "context"
    """A context image or descriptor that cannot be run."""
    RING = "ring"
    """Ring head, tail, start or size that make no sense."""
    BATCH = "batch"
    """A privileged batch that is not terminated, or not in guest memory."""
    TOO_LARGE = "too-large"
    """More than the mediator keeps for one submission of a vGPU."""
    PAGE_TABLE = "page-table"
    """Page tables that are not in guest memory."""
    GGTT_ENTRY = "ggtt-entry"
    """A GGTT entry outside the vGPU's part, or that points beyond its memory."""
    SUBMISSION = "submission"
    """An execution list written while one was waiting, or that names a context twice."""


class GuestError(Exception):
    """A guest's request that the mediator does not carry out; ``text`` is for the log."""

    def __init__(
        self, reason: Reason, text: str, *, command: int = 0, offset: int | None = None
    ) -> None:
        """``command``: first dword of the command at fault; ``offset``: its bytes into the ring."""
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text
        self.command = command
        self.offset = offset


class Unfinished(Exception):
    """What was asked for takes long and is done in part: let others have their turn, ask again."""
