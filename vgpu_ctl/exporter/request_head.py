"""Reading the head of an HTTP request from a client that may stall, drip or flood."""

from __future__ import annotations

import re
import socket

LONGEST = 16 << 10
"""Bytes of a request's first line and headers together. Prometheus sends some 300."""
_END = re.compile(rb"\r?\n\r?\n")
_END_LENGTH = 4
_CHUNK = 4096


class HeadTooLarge(Exception):
    """More than ``LONGEST`` bytes and no end of the headers."""


def read_head(connection: socket.socket) -> bytes:
    """The request up to the empty line that ends its headers; what follows is dropped.

    Empty when the client ends without a request. Raises HeadTooLarge, and OSError as the socket
    does: who waits for how long is the socket's matter.
    """
    received = bytearray()
    searched = 0
    while (end := _END.search(received, searched)) is None:
        if len(received) > LONGEST:
            raise HeadTooLarge
        searched = max(0, len(received) - _END_LENGTH)
        more = connection.recv(_CHUNK)
        if not more:
            return b""
        received += more
    return bytes(received[: end.end()])
