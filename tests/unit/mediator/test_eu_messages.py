"""Messages as the interpreter sends them, in Python and through the extension."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mediator.softgpu.eu.message_port import Messages
from tests.unit.mediator.message_bench import (
    ABSENT,
    BASE,
    KINDS,
    PAGE,
    READ_ONLY,
    World,
    buffer_state,
    call,
    world,
)

PORT_1, GATEWAY = 12, 3


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[World, Messages]]:
    with world() as made:
        yield made, request.param(made)


def test_a_response_is_written_in_place(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.put(BASE, struct.pack("<8I", *range(8)))
    made.bind(0, buffer_state(BASE, 32))
    sent = call(PORT_1, 1 << 14 | 2 << 12 | 0xE << 8, struct.pack("<8I", *range(0, 32, 4)), 1)
    assert messages.send(sent) is None
    assert sent.response.view("<u4").tolist() == list(range(8))


def test_a_fault_names_the_page_and_goes_on_being_one(pair: tuple[World, Messages]) -> None:
    hole = BASE + ABSENT * PAGE
    sent = call(
        PORT_1, 0x19 << 14 | 2 << 12 | 0xE << 8, struct.pack("<8Q", *[hole] * 8) + bytes(32)
    )
    fault = pair[1].send(sent)
    assert fault is not None
    assert (fault.address, fault.write, fault.reason) == (hole, True, "page not present")
    assert pair[1].send(call(7, 0, bytes(32))) == fault


def test_a_barrier_marks_its_thread_and_an_unknown_message_has_no_address(
    pair: tuple[World, Messages],
) -> None:
    sent = call(GATEWAY, 4, bytes(32), mask=1)
    assert pair[1].send(sent) is None
    assert sent.thread["arrived"] == 1
    fault = pair[1].send(call(6, 5, bytes(32)))
    assert fault is not None
    assert fault.address is None
    assert "function 6" in fault.reason


def test_time_is_the_threads_own(pair: tuple[World, Messages]) -> None:
    sent = call(GATEWAY, 3, bytes(32), 1)
    thread: Any = sent.thread
    thread["tm0"] = (1, 2, 3, 4)
    assert pair[1].send(sent) is None
    assert sent.response.view("<u4").tolist() == [1, 2, *[0xEEEE_EEEE] * 6]


def test_what_comes_back_to_no_register_is_not_written(pair: tuple[World, Messages]) -> None:
    """The descriptor names registers of a response that the destination (null) has not."""
    made, messages = pair
    made.put(BASE, b"\xaa" * 32)
    made.bind(0, buffer_state(BASE, 32))
    around = np.zeros(4096, np.uint8)
    sent = call(PORT_1, 1 << 14 | 2 << 12 | 0xE << 8, struct.pack("<8I", *range(0, 32, 4)), 31)
    assert messages.send(replace(sent, response=around[2048:2048])) is None
    assert not around.any()


def test_a_second_part_of_no_register_is_zeros(pair: tuple[World, Messages]) -> None:
    """The extended descriptor, of an address register, names registers that the message has not."""
    made, messages = pair
    made.bind(0, buffer_state(BASE, 32))
    made.put(BASE, b"\xff" * 32)
    around = np.full(4096, 0xAA, np.uint8)
    sent = call(PORT_1, 9 << 14 | 2 << 12 | 0xE << 8, struct.pack("<8I", *range(0, 32, 4)))
    assert messages.send(replace(sent, extended=15 << 6, more=around[2048:2048])) is None
    assert made.get(BASE, 32) == bytes(32)


GLOBAL_READ, GLOBAL_ADD, GLOBAL_WRITE = (
    0x11 << 14 | 2 << 12 | 0xE << 8,
    0x12 << 14 | 1 << 13 | 7 << 8,
    0x19 << 14 | 2 << 12 | 0xE << 8,
)
_BEYOND = 1 << 38 | 3
"""A page of memory that the guest has not."""


@pytest.mark.parametrize(
    ("function", "write"), [(GLOBAL_READ, False), (GLOBAL_ADD, True), (GLOBAL_WRITE, True)]
)
@pytest.mark.parametrize(
    ("entry", "reason"), [(0, "page not present"), (_BEYOND, "page outside guest memory")]
)
def test_a_fault_tells_what_was_to_be_done(
    pair: tuple[World, Messages], function: int, write: bool, entry: int, reason: str
) -> None:
    """An atomic operation was to write. The first channel's page is the one that is named."""
    made, messages = pair
    made.point(3, entry)
    made.point(4, entry)
    at = [BASE + 3 * PAGE + 0x10, BASE + 4 * PAGE, *[BASE] * 6]
    sent = call(PORT_1, function, struct.pack("<8Q", *at), 1, more=struct.pack("<8I", *[1] * 8))
    fault = messages.send(sent)
    assert fault is not None
    assert fault.address is not None
    assert fault.address & -PAGE == BASE + 3 * PAGE
    assert (fault.write, fault.reason) == (write, reason)


@pytest.mark.parametrize(
    ("function", "discarded"), [(GLOBAL_READ, 0), (GLOBAL_ADD, 5), (GLOBAL_WRITE, 5)]
)
def test_what_is_written_to_read_only_pages_is_discarded_and_counted(
    pair: tuple[World, Messages], function: int, discarded: int
) -> None:
    made, messages = pair
    place = BASE + READ_ONLY * PAGE
    made.put(place, struct.pack("<8I", *range(10, 18)))
    at = [place + 4 * n for n in range(8)]
    data = struct.pack("<8I", *[1] * 8)
    sent = call(PORT_1, function, struct.pack("<8Q", *at), 1, 0x1F, more=data)
    assert messages.send(sent) is None
    assert made.get(place, 32) == struct.pack("<8I", *range(10, 18))
    if function != GLOBAL_WRITE:
        assert sent.response.view("<u4").tolist() == [*range(10, 15), *[0xEEEE_EEEE] * 3]
    answering: Any = messages
    assert answering.take_discarded() == discarded
    assert answering.take_discarded() == 0
