"""What answers the messages of one thread group: C where it is built, Python otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediator.softgpu.eu.messages.python_messages import PythonMessages

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.bases import Bases
    from mediator.softgpu.eu.message_port import Call, MessageFault


class GroupMessages(Protocol):
    """`message_port.Messages` of one thread group, with its shared local memory."""

    def attach(self, space: AddressSpace) -> None:
        """Go on in ``space``, after `close`."""

    def close(self) -> None:
        """Let go of the space."""

    def take_discarded(self) -> int:
        """Writes to read-only pages since the last call."""

    def send(self, call: Call) -> MessageFault | None:
        """Carry a message out."""


def group_messages(space: AddressSpace, bases: Bases, slm_bytes: int) -> GroupMessages:
    """Attached to ``space``; shared local memory is zero."""
    try:
        from mediator.softgpu.eu.messages.native_messages import NativeMessages
    except ImportError:
        return PythonMessages(space, bases, slm_bytes)
    return NativeMessages(space, bases, slm_bytes)
