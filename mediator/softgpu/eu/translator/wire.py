"""How the compiler process and its owner talk over a pair of pipes: frames with a fixed head."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

REQUEST: Final = struct.Struct("<IIIII")
"""SIMD width, 1 to keep all registers at the end, 1 for two threads at a time, the entry's place in
the code, bytes of code, which follow."""
REPLY: Final = struct.Struct("<IdI")
"""`Status`, seconds of processor time, bytes of the object or of the reason, which follow."""
MOST_REPLY_BYTES: Final = 16 << 20


class Status(IntEnum):
    """What became of a request. READY is sent once, before the first request."""

    READY = 1
    OBJECT = 2
    REFUSED = 3
    """The program cannot or shall not be translated; asking again gives the same answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the compiler process."""

    status: Status
    seconds: float
    content: bytes
