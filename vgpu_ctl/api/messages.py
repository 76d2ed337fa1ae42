"""Messages of the control API: one JSON object a line, in both directions over a Unix socket.

A request names its method; each gets one reply with its id, or, where a method streams, replies
with ``more`` true and then a last one. Nothing here does I/O.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

API_VERSION = 1
"""Grows when a client of the old version would misunderstand; others are refused."""
MAX_REQUEST = 64 << 10
"""Bytes of a request with its newline. A longer one ends the connection."""
MAX_REPLY = 16 << 20
"""Bytes of a reply with its newline."""


class ErrorCode(Enum):
    """What kind of failure, for programs. `vgpuctl` ends with a status for each."""

    FAILED = "failed"
    """Something did not work: the text says what."""
    INVALID = "invalid"
    """A value that is not allowed; ``field`` names it."""
    NOT_FOUND = "not-found"
    """There is no vGPU of that name or UUID."""
    EXISTS = "exists"
    """The name or UUID is taken."""
    BUSY = "busy"
    """Not in this state, or while a client is attached."""
    NO_CAPACITY = "no-capacity"
    """A GPU is short of something: the text says of what, and who has it."""
    PERMISSION = "permission"
    """The user at the other end of the socket may not do this."""
    UNSUPPORTED = "unsupported"
    """This GPU, policy or version cannot do it."""
    PROTOCOL = "protocol"
    """Not a request of this API."""


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not carried out. Nothing was changed, unless the text says so."""

    code: ErrorCode
    message: str
    field: str = ""
    """The parameter at fault; empty where none is."""
    hint: str = ""
    """What to do about it; may be empty."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request as it is on the wire."""

    api: int
    id: int
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply as it is on the wire: ``result`` or ``error``."""

    id: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorReply | None = None
    more: bool = False
    """Another reply to the same request follows."""


class ApiError(Exception):
    """A request that cannot be carried out; see `ErrorReply` for the parts."""

    def __init__(self, code: ErrorCode, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.hint = hint

    def reply(self) -> ErrorReply:
        """The same for the wire."""
        return ErrorReply(code=self.code, message=self.message, field=self.field, hint=self.hint)


def encode_line(message: Any) -> bytes:
    """``message`` as a line."""
    return msgspec.json.encode(message) + b"\n"
