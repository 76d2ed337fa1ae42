"""Interrupts: vectors set up oddly, eventfds that are full, wait, or are something else."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from mmio_trap.device import IrqIndex
from mmio_trap.vfio_user.protocol import RequestError, SetIrqs, SetIrqsFlag
from tests.fuzz.hostile_guest.actions.maps import KINDS
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest, descriptor
from tests.fuzz.hostile_guest.chance import Chance, chance_of
from tests.gpu_driver import ENGINE_BASES, MI_USER_INTERRUPT

_FULL = (1 << 64) - 2
_TRIGGER = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_TRIGGER
_DATA = (SetIrqsFlag.DATA_NONE, SetIrqsFlag.DATA_BOOL, SetIrqsFlag.DATA_EVENTFD)
_ACTIONS = (SetIrqsFlag.ACTION_MASK, SetIrqsFlag.ACTION_UNMASK, SetIrqsFlag.ACTION_TRIGGER)


def cause_some(guest: AttackerGuest, chance: Chance, count: int = 40) -> None:
    """Work on an engine that interrupts ``count`` times."""
    driver = guest.driver
    driver.write32(0x44200, 1 << 31)
    context = guest.new_context(chance.choice([*ENGINE_BASES]))
    driver.add_request(context, [MI_USER_INTERRUPT] * count)
    driver.submit(context)


def full_eventfd(guest: AttackerGuest, chance: Chance) -> None:
    """A write to it would wait, if it may."""
    flags = os.EFD_NONBLOCK if chance.once_in(2) else 0
    fd = descriptor(guest, os.eventfd(0, flags | os.EFD_CLOEXEC))
    os.eventfd_write(fd, _FULL)
    with suppress(RequestError):
        guest.client.set_irqs(chance.choice((0, 1)), _TRIGGER, fds=(fd,))
    cause_some(guest, chance)


def blocking_eventfd(guest: AttackerGuest, chance: Chance) -> None:
    """Emptied, filled and made blocking again and again, while interrupts come.

    Who looks whether it has room, and then writes, waits when it was filled in between.
    """
    fd = descriptor(guest, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
    with suppress(RequestError):
        guest.client.set_irqs(IrqIndex.MSI, _TRIGGER, fds=(fd,))
    ends, chance_of_thread = threading.Event(), chance_of(chance.getrandbits(32))

    def fill_and_drain() -> None:
        deadline = time.monotonic() + 3.0
        while not ends.is_set() and time.monotonic() < deadline:
            os.set_blocking(fd, False)
            with suppress(BlockingIOError):
                os.eventfd_read(fd)
            with suppress(BlockingIOError):
                os.eventfd_write(fd, _FULL)
            os.set_blocking(fd, True)
            ends.wait(0.3 if chance_of_thread.once_in(50) else 0.0005)
        os.set_blocking(fd, False)
        with suppress(BlockingIOError):
            os.eventfd_read(fd)

    thread = threading.Thread(target=fill_and_drain)
    thread.start()
    guest.stack.callback(thread.join)
    guest.stack.callback(ends.set)
    for _ in range(chance.randrange(1, 5)):
        cause_some(guest, chance, 100)


def other_files(guest: AttackerGuest, chance: Chance) -> None:
    """Pipes, sockets, files and what not in an eventfd's place; full ones, too."""
    ends = os.pipe()
    for fd in ends:
        descriptor(guest, fd)
    if chance.once_in(2):
        os.set_blocking(ends[1], False)
        with suppress(BlockingIOError):
            while True:
                os.write(ends[1], bytes(65536))
        os.set_blocking(ends[1], True)
    kinds = (lambda: os.dup(ends[1]), lambda: os.dup(ends[1]), *KINDS)
    fd = descriptor(guest, chance.choice(kinds)())
    with suppress(RequestError):
        guest.client.set_irqs(chance.choice((0, 1, 1)), _TRIGGER, fds=(fd,))
    cause_some(guest, chance)


def set_up(guest: AttackerGuest, chance: Chance) -> None:
    """Any index, vectors, data and action; masks and triggers in any order."""
    for _ in range(chance.randrange(1, 12)):
        flags = int(chance.choice(_DATA) | chance.choice(_ACTIONS))
        if chance.once_in(10):
            flags = chance.edge()
        count = chance.choice((0, 1, 1, 1, 2, chance.edge()))
        asked = SetIrqs(
            SetIrqs.LAYOUT.size,
            flags,
            chance.choice((0, 1, 1, 2, 3, 4, 5, chance.edge())),
            chance.choice((0, 0, 0, 1, chance.edge())),
            count,
        )
        data = bytes(count if count < 8 and flags & SetIrqsFlag.DATA_BOOL else 0)
        fds = []
        if flags & SetIrqsFlag.DATA_EVENTFD and chance.randrange(4):
            fds = [descriptor(guest, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))]
        with suppress(RequestError):
            guest.client.request(8, asked.pack() + data, fds)
    if chance.once_in(2):
        cause_some(guest, chance)


def new_eventfds(guest: AttackerGuest, chance: Chance) -> None:
    """One after another for the same vector, while it interrupts."""
    for _ in range(chance.choice((3, 100))):
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            guest.client.set_irqs(IrqIndex.MSI, _TRIGGER, fds=(fd,))
        finally:
            os.close(fd)
        if chance.once_in(10):
            cause_some(guest, chance)


def unmask_eventfd(guest: AttackerGuest, chance: Chance) -> None:
    """INTx with an eventfd that unmasks it: it is written to, read by others, or closed."""
    trigger, unmask = (
        descriptor(guest, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)) for _ in range(2)
    )
    with suppress(RequestError):
        guest.client.set_irqs(IrqIndex.INTX, _TRIGGER, fds=(trigger,))
        flags = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_UNMASK
        guest.client.set_irqs(IrqIndex.INTX, flags, fds=(unmask,))
    cause_some(guest, chance)
    for _ in range(chance.choice((1, 200))):
        os.eventfd_write(unmask, 1)
