"""Interrupts under threads and with nothing connected; SET_IRQS itself is tested by protocol."""

from __future__ import annotations

import os
import threading
from errno import EINVAL

import pytest

from mmio_trap.irq import INTX, MSI, Interrupts
from tests.unit.mmio_trap.guest_file import open_fds


def test_line_without_anything_connected() -> None:
    for counts in ((1, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 1, 0, 0, 0), ()):
        interrupts = Interrupts(counts)
        interrupts.set_level(True)
        interrupts.set_level(False)
        assert interrupts.delivered == 0
        assert not interrupts.msi_enabled
        interrupts.close()


def test_close_releases_every_descriptor() -> None:
    before = open_fds()
    interrupts = Interrupts((1, 2, 0, 0, 0))
    eventfd = os.eventfd(0)
    interrupts.set_triggers(INTX, 0, [eventfd])
    interrupts.set_triggers(MSI, 0, [eventfd, eventfd])
    interrupts.set_unmask_eventfd(eventfd)
    interrupts.set_unmask_eventfd(eventfd)
    os.close(eventfd)
    interrupts.close()
    interrupts.close()
    assert open_fds() == before


def test_refused_eventfds_change_nothing() -> None:
    before = open_fds()
    interrupts = Interrupts((1, 2, 0, 0, 0))
    eventfd = os.eventfd(0)
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="not an eventfd") as caught:
        interrupts.set_triggers(MSI, 0, [eventfd, writer])
    assert caught.value.errno == EINVAL
    assert not interrupts.msi_enabled
    with pytest.raises(OSError, match="not an eventfd"):
        interrupts.set_unmask_eventfd(reader)
    for fd in (eventfd, reader, writer):
        os.close(fd)
    assert open_fds() == before


def test_gaps_between_eventfds() -> None:
    interrupts = Interrupts((1, 3, 0, 0, 0))
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts.set_triggers(MSI, 0, [eventfd, None, eventfd])
    for vector in range(3):
        interrupts.trigger(MSI, vector)
    assert os.eventfd_read(eventfd) == 2
    interrupts.close()
    os.close(eventfd)


def test_edges_from_one_thread_while_the_client_reconfigures() -> None:
    """Every rising edge is delivered or held; nothing writes to a closed descriptor."""
    interrupts = Interrupts((1, 1, 0, 0, 0))
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    stop = threading.Event()
    failures: list[OSError] = []

    def toggle() -> None:
        try:
            while not stop.is_set():
                interrupts.set_level(True)
                interrupts.set_level(False)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=toggle)
    thread.start()
    for _ in range(300):
        interrupts.set_triggers(MSI, 0, [eventfd])
        interrupts.mask(MSI, 0)
        interrupts.unmask(MSI, 0)
        interrupts.disable(MSI)
    stop.set()
    thread.join(10)
    assert failures == []
    interrupts.set_triggers(MSI, 0, [eventfd])
    interrupts.set_level(True)
    assert os.eventfd_read(eventfd) >= 1
    interrupts.close()
    os.close(eventfd)
