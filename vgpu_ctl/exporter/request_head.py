"""The head of an HTTP request: its end in what has come so far, and what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

LONGEST = 16 << 10
"""Bytes of a request's first line and headers together. Prometheus sends some 300."""
_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/([0-9]{1,3})\.[0-9]{1,3}\r?")


class BadHead(Exception):
    """It cannot be answered; ``status`` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """What is asked for."""

    method: str
    path: str
    """Without a query."""


def is_complete(received: bytearray) -> bool:
    """Whether the headers have ended, or are too long anyway."""
    return len(received) > LONGEST or _END.search(received) is not None


def parsed(received: bytearray) -> Head:
    """The head at the start of ``received``, which is complete. Raises BadHead.

    Headers and what comes after them are not looked at.
    """
    end = _END.search(received)
    if end is None or end.end() > LONGEST:
        raise BadHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    line = _LINE.fullmatch(bytes(received[: end.start()].split(b"\n", 1)[0]))
    if line is None:
        raise BadHead(HTTPStatus.BAD_REQUEST)
    method, target, major = (group.decode() for group in line.groups())
    if int(major) != 1:
        raise BadHead(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return Head(method, target.partition("?")[0])
