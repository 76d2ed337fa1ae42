"""DEVICE_SET_IRQS: each data form with each action, and each way to get it wrong."""

import os
import time
from errno import EINVAL

import pytest

from mmio_trap.vfio_user.protocol import Command, SetIrqs
from tests.protocol.conftest import Rig

INTX, MSI, MSIX, ERR, REQ = range(5)
NONE, BOOL, EVENTFD, MASK, UNMASK, TRIGGER = (1 << i for i in range(6))


def body(index: int, flags: int, start: int = 0, count: int = 1, data: bytes = b"") -> bytes:
    return SetIrqs(20 + len(data), flags, index, start, count).pack() + data


def fired(eventfd: int) -> int:
    """How often the eventfd was written since the last call."""
    try:
        return os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0


def test_golden_bytes(rig: Rig, eventfds: list[int]) -> None:
    request = bytes.fromhex(
        "0100 0800 24000000 00000000 00000000 14000000 24000000 01000000 00000000 01000000"
    )
    expected = bytes.fromhex("0100 0800 10000000 01000000 00000000")
    assert rig.raw(request, eventfds[:1]) == expected
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 1


def test_msi_fires_on_each_rising_edge(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER, 0, 4), eventfds)
    for level in (True, True, False, False, True):
        rig.interrupts.set_level(level)
    assert [fired(fd) for fd in eventfds] == [2, 0, 0, 0]


def test_msi_enabled_under_a_raised_line_fires(rig: Rig, eventfds: list[int]) -> None:
    rig.interrupts.set_level(True)
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), eventfds[:1])
    assert fired(eventfds[0]) == 1


@pytest.mark.parametrize("disable", [body(MSI, NONE | TRIGGER, 0, 0), body(MSI, EVENTFD | TRIGGER)])
def test_msi_disabled(rig: Rig, eventfds: list[int], disable: bytes) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), eventfds[:1])
    rig.ask(Command.DEVICE_SET_IRQS, disable)
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 0


def test_disabling_twice_is_fine(rig: Rig) -> None:
    for index in (INTX, MSI, MSIX, ERR, REQ):
        rig.ask(Command.DEVICE_SET_IRQS, body(index, NONE | TRIGGER, 0, 0))


def test_eventfd_is_replaced(rig: Rig, eventfds: list[int]) -> None:
    for fd in eventfds[:2]:
        rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), [fd])
    rig.interrupts.set_level(True)
    assert [fired(fd) for fd in eventfds[:2]] == [0, 1]


def test_trigger_by_none_and_by_bool(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER, 0, 4), eventfds)
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, NONE | TRIGGER, 1, 2))
    assert [fired(fd) for fd in eventfds] == [0, 1, 1, 0]
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, BOOL | TRIGGER, 1, 3, b"\1\0\1"))
    assert [fired(fd) for fd in eventfds] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("mask", "unmask"),
    [
        (body(MSI, NONE | MASK), body(MSI, NONE | UNMASK)),
        (body(MSI, BOOL | MASK, data=b"\1"), body(MSI, BOOL | UNMASK, data=b"\1")),
    ],
)
def test_masked_msi_fires_when_unmasked(
    rig: Rig, eventfds: list[int], mask: bytes, unmask: bytes
) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), eventfds[:1])
    rig.ask(Command.DEVICE_SET_IRQS, mask)
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 0
    rig.ask(Command.DEVICE_SET_IRQS, unmask)
    assert fired(eventfds[0]) == 1
    rig.ask(Command.DEVICE_SET_IRQS, unmask)
    assert fired(eventfds[0]) == 0


def test_bool_zero_does_nothing(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), eventfds[:1])
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, BOOL | MASK, data=b"\0"))
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 1


def test_intx_is_an_automasked_level(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | TRIGGER), eventfds[:1])
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 1
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, NONE | UNMASK))
    assert fired(eventfds[0]) == 1  # the line is still up
    rig.interrupts.set_level(False)
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, NONE | UNMASK))
    assert fired(eventfds[0]) == 0
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 1
    rig.interrupts.set_level(False)
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 0  # automasked since it fired


def test_intx_masked_by_message(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | TRIGGER), eventfds[:1])
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, NONE | MASK))
    rig.interrupts.set_level(True)
    assert fired(eventfds[0]) == 0
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, BOOL | UNMASK, data=b"\1"))
    assert fired(eventfds[0]) == 1


def test_intx_unmasked_by_eventfd(rig: Rig, eventfds: list[int]) -> None:
    trigger, unmask = eventfds[:2]
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | TRIGGER), [trigger])
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | UNMASK), [unmask])
    rig.interrupts.set_level(True)
    assert fired(trigger) == 1
    os.eventfd_write(unmask, 1)
    deadline = time.monotonic() + 10
    while not (again := fired(trigger)) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert again == 1
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | UNMASK))


def test_msi_takes_over_from_intx_and_back(rig: Rig, eventfds: list[int]) -> None:
    intx, msi = eventfds[:2]
    rig.ask(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | TRIGGER), [intx])
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), [msi])
    rig.interrupts.set_level(True)
    assert (fired(intx), fired(msi)) == (0, 1)
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, NONE | TRIGGER, 0, 0))
    assert (fired(intx), fired(msi)) == (1, 0)


def test_full_eventfd_does_not_block(rig: Rig) -> None:
    blocking = os.eventfd((1 << 32) - 1)
    os.eventfd_write(blocking, (1 << 64) - 2 - ((1 << 32) - 1))
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER), [blocking])
    rig.interrupts.set_level(True)
    assert os.get_blocking(blocking)
    os.close(blocking)


def test_error_interrupt_takes_an_eventfd(rig: Rig, eventfds: list[int]) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(ERR, EVENTFD | TRIGGER), eventfds[:1])
    rig.interrupts.trigger(ERR, 0)
    assert fired(eventfds[0]) == 1


@pytest.mark.parametrize(
    ("payload", "fds"),
    [
        (b"", 0),
        (body(MSI, EVENTFD | TRIGGER)[:19], 1),
        (SetIrqs(19, EVENTFD | TRIGGER, MSI, 0, 1).pack(), 1),
        (body(MSI, 0), 0),
        (body(MSI, NONE), 0),
        (body(MSI, TRIGGER), 0),
        (body(MSI, NONE | BOOL | TRIGGER, data=b"\1"), 0),
        (body(MSI, NONE | MASK | UNMASK), 0),
        (body(MSI, NONE | TRIGGER | 64), 0),
        (body(MSI, NONE | TRIGGER | 1 << 31), 0),
        (body(MSI, NONE | TRIGGER, 0, 5), 0),
        (body(MSI, NONE | TRIGGER, 4, 1), 0),
        (body(MSI, NONE | TRIGGER, 0xFFFFFFFF, 0xFFFFFFFF), 0),
        (body(MSI, NONE | TRIGGER, 1, 0), 0),
        (body(MSI, NONE | MASK, 0, 0), 0),
        (body(MSI, BOOL | TRIGGER, 0, 0), 0),
        (body(MSIX, EVENTFD | TRIGGER), 1),
        (body(5, NONE | TRIGGER), 0),
        (body(0xFFFFFFFF, NONE | TRIGGER), 0),
        (body(ERR, NONE | MASK), 0),
        (body(ERR, NONE | UNMASK), 0),
        (body(MSI, BOOL | TRIGGER, 0, 2, b"\1"), 0),
        (body(MSI, BOOL | TRIGGER, 0, 1, b"\1\1"), 0),
        (body(MSI, NONE | TRIGGER, 0, 1, b"\1"), 0),
        (body(MSI, NONE | TRIGGER), 1),
        (body(MSI, EVENTFD | TRIGGER, 0, 2), 1),
        (body(MSI, EVENTFD | TRIGGER, 0, 1), 2),
        (body(MSI, EVENTFD | TRIGGER, 0, 0), 0),
        (body(MSI, EVENTFD | MASK), 1),
        (body(MSI, EVENTFD | UNMASK), 1),
        (body(INTX, EVENTFD | MASK), 1),
    ],
)
def test_malformed_is_refused(rig: Rig, eventfds: list[int], payload: bytes, fds: int) -> None:
    assert rig.refuse(Command.DEVICE_SET_IRQS, payload, eventfds[:fds]) == EINVAL
    rig.interrupts.set_level(True)
    assert not any(fired(fd) for fd in eventfds)


@pytest.mark.parametrize("action", [TRIGGER, UNMASK])
def test_descriptor_that_is_no_eventfd_is_refused(rig: Rig, memfd: int, action: int) -> None:
    assert rig.refuse(Command.DEVICE_SET_IRQS, body(INTX, EVENTFD | action), [memfd]) == EINVAL


def test_refused_set_keeps_the_old_one(rig: Rig, eventfds: list[int], memfd: int) -> None:
    rig.ask(Command.DEVICE_SET_IRQS, body(MSI, EVENTFD | TRIGGER, 0, 2), eventfds[:2])
    payload = body(MSI, EVENTFD | TRIGGER, 0, 2)
    assert rig.refuse(Command.DEVICE_SET_IRQS, payload, [eventfds[2], memfd]) == EINVAL
    rig.interrupts.set_level(True)
    assert [fired(fd) for fd in eventfds[:3]] == [1, 0, 0]
