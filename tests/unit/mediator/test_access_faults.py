"""What an address space says of an access that it cannot do: where, and whether it writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.softgpu.address_space import AddressSpace, PageFault
from tests.guest_ram import PAGE, GuestRam

AT = 5 * PAGE + 16
_ACCESSES: dict[str, tuple[Callable[[AddressSpace], object], int, bool]] = {
    "page": (lambda space: space.page(AT), AT & -PAGE, False),
    "read_pages": (lambda space: space.read_pages(AT & -PAGE, 1), AT & -PAGE, False),
    "read": (lambda space: space.read(AT, 3), AT, False),
    "read over two pages": (lambda space: space.read(AT - PAGE, 2 * PAGE), AT & -PAGE, False),
    "read_u32": (lambda space: space.read_u32(AT), AT & -PAGE, False),
    "read_u64": (lambda space: space.read_u64(AT), AT, False),
    "read_u64 of halves": (lambda space: space.read_u64(AT + 4), AT + 4, False),
    "write": (lambda space: space.write(AT, b"abc"), AT, True),
    "write over two pages": (lambda space: space.write(AT - PAGE, bytes(PAGE)), AT & -PAGE, True),
    "write_u32": (lambda space: space.write_u32(AT, 1), AT, True),
    "write_u64": (lambda space: space.write_u64(AT, 1), AT, True),
    "write_u64 of halves": (lambda space: space.write_u64(AT + 4, 1), AT + 4, True),
    "atomic": (lambda space: space.atomic(AT, 4, 7, 1, 0), AT, True),
    "atomic of 8": (lambda space: space.atomic(AT, 8, 7, 1, 0), AT, True),
    "atomic of 16": (lambda space: space.atomic(AT, 16, 7, 1, 0), AT, True),
}
"""Each with the address that cannot be reached, and whether it is a write."""


@pytest.mark.parametrize("name", _ACCESSES)
@pytest.mark.parametrize("reason", ["page not present", "page outside guest memory"])
def test_a_fault_says_what_was_tried_and_where(name: str, reason: str) -> None:
    ram = GuestRam(1)
    access, address, writes = _ACCESSES[name]
    pages = {4: ram.page()}
    if reason == "page outside guest memory":
        pages[5] = ram.start + ram.size
    with pytest.raises(PageFault) as raised:
        access(ram.ggtt(pages))
    fault = raised.value
    assert (fault.address, fault.write, fault.reason) == (address, writes, reason)


@pytest.mark.parametrize("write", [False, True])
def test_a_translation_that_fails_is_of_the_access_it_is_for(write: bool) -> None:
    with pytest.raises(PageFault) as raised:
        GuestRam(1).ggtt({}).translate(AT, write=write)
    assert (raised.value.address, raised.value.write) == (AT, write)


def test_a_run_of_stores_begins_nowhere_that_cannot_be_written() -> None:
    """Not counted, so that the single command says why."""
    ram = GuestRam(1)
    commands = memoryview(bytearray(64)).cast("I")
    for pages in ({}, {5: ram.start + ram.size}):
        assert ram.ggtt(pages).store_run(commands, 0x10400002, AT) == 0
