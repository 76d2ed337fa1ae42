"""VERSION: what two peers tell each other before anything else.

A pair of 16-bit numbers and a NUL-terminated JSON object of capabilities (vfio-user
specification, VFIO_USER_VERSION). QEMU's client refuses a reply larger than its own request
(194 bytes of JSON), so the reply names only what differs from what the peer would assume.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from errno import EINVAL
from struct import Struct

from mmio_trap.vfio_user.protocol import MAX_DATA_XFER_SIZE, MAX_MSG_FDS, RequestError

MAJOR = 0
MINOR = 0
MAX_VERSION_SIZE = 4096
"""Bytes of a VERSION payload that are looked at; QEMU's has 198."""

_NUMBERS = Struct("<HH")
_DEFAULT_MSG_FDS = 1
_DEFAULT_DATA_XFER_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Version:
    """One side's VERSION: numbers, and the capabilities this project uses."""

    major: int = MAJOR
    minor: int = MINOR
    max_msg_fds: int = MAX_MSG_FDS
    max_data_xfer_size: int = MAX_DATA_XFER_SIZE

    def pack(self) -> bytes:
        """The payload on the wire."""
        capabilities = {
            "max_msg_fds": self.max_msg_fds,
            "max_data_xfer_size": self.max_data_xfer_size,
        }
        text = json.dumps({"capabilities": capabilities}, separators=(",", ":"))
        return _NUMBERS.pack(self.major, self.minor) + text.encode() + b"\0"

    @classmethod
    def parse(cls, payload: bytes) -> Version:
        """The peer's VERSION. Raises RequestError EINVAL naming what is wrong.

        Unknown capabilities are ignored, absent ones have the specification's defaults.
        """
        if not _NUMBERS.size <= len(payload) <= MAX_VERSION_SIZE:
            raise RequestError(EINVAL, f"VERSION of {len(payload)} bytes")
        major, minor = _NUMBERS.unpack_from(payload)
        text = payload[_NUMBERS.size :]
        capabilities = _capabilities(text) if text else {}
        return cls(
            major,
            minor,
            _count(capabilities, "max_msg_fds", _DEFAULT_MSG_FDS),
            _count(capabilities, "max_data_xfer_size", _DEFAULT_DATA_XFER_SIZE),
        )


def negotiate(client: Version) -> Version:
    """The server's answer to ``client``. Raises RequestError EINVAL for another major number."""
    if client.major != MAJOR:
        raise RequestError(EINVAL, f"VERSION {client.major}.{client.minor}: major must be {MAJOR}")
    return Version(minor=min(client.minor, MINOR))


def _capabilities(text: bytes) -> dict[str, object]:
    if text[-1:] != b"\0":
        raise RequestError(EINVAL, "VERSION: JSON is not NUL-terminated")
    try:
        tree = json.loads(text[:-1])
    except (ValueError, RecursionError) as error:
        raise RequestError(EINVAL, "VERSION: not JSON") from error
    capabilities = tree.get("capabilities", {}) if isinstance(tree, dict) else None
    if not isinstance(capabilities, dict):
        raise RequestError(EINVAL, "VERSION: capabilities are not an object")
    return capabilities


def _count(capabilities: dict[str, object], name: str, default: int) -> int:
    value = capabilities.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise RequestError(EINVAL, f"VERSION: {name} is not a 32-bit count")
    return value
