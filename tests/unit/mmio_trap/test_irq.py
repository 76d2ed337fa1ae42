"""Interrupts under threads and with nothing connected; SET_IRQS itself is tested by protocol."""

from __future__ import annotations

import os
import threading
from errno import EAGAIN, EINVAL, EMFILE

import pytest

from mmio_trap.irq import INTX, MSI, Interrupts
from tests.open_files import open_fds


def test_line_without_anything_connected() -> None:
    for counts in ((1, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (1,), (0,), ()):
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
    assert open_fds() <= before


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
    assert open_fds() <= before


def test_an_unmask_eventfd_that_cannot_be_watched_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No thread, or no descriptor for it: the client is told, and nothing stays open."""
    interrupts = Interrupts((1, 0, 0, 0, 0))
    eventfd = os.eventfd(0)

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def no_descriptor(_value: int, _flags: int) -> int:
        raise OSError(EMFILE, os.strerror(EMFILE))

    for owner, name, fails, said, errno in (
        (threading.Thread, "start", no_thread, "no thread for the unmask", EAGAIN),
        (os, "eventfd", no_descriptor, os.strerror(EMFILE), EMFILE),
    ):
        before = open_fds()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fails)
            with pytest.raises(OSError, match=said) as caught:
                interrupts.set_unmask_eventfd(eventfd)
        assert caught.value.errno == errno
        assert open_fds() <= before
    interrupts.set_unmask_eventfd(eventfd)
    interrupts.close()
    os.close(eventfd)


def test_who_waits_for_an_unmask_does_not_keep_the_process() -> None:
    interrupts = Interrupts((1, 0, 0, 0, 0))
    eventfd = os.eventfd(0)
    interrupts.set_unmask_eventfd(eventfd)
    (waiting,) = [each for each in threading.enumerate() if each.name == "intx-unmask"]
    assert waiting.daemon
    interrupts.disable(MSI)
    assert waiting.is_alive()
    interrupts.disable(INTX)
    assert not waiting.is_alive()
    os.close(eventfd)


@pytest.mark.parametrize(
    ("index", "replaced", "kept"), [(MSI, True, True), (MSI, False, False), (INTX, True, False)]
)
def test_a_mask_outlives_a_new_eventfd_of_an_msi_alone(
    index: int, replaced: bool, kept: bool
) -> None:
    interrupts = Interrupts((1, 1, 0, 0, 0))
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts.set_triggers(index, 0, [eventfd])
    interrupts.mask(index, 0)
    interrupts.set_triggers(index, 0, [eventfd if replaced else None])
    assert interrupts._vectors[index][0].masked is kept
    interrupts.close()
    os.close(eventfd)


def test_a_line_that_is_up_is_not_told_to_later_vectors() -> None:
    """Nor to those of an index that does not carry it, nor when nothing is armed."""
    interrupts = Interrupts((1, 2, 0, 1, 0))
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts.set_level(True)
    for index, start, fds in (
        (MSI, 1, [eventfd]),
        (MSI, 0, [None]),
        (MSI, 0, []),
        (3, 0, [eventfd]),
    ):
        interrupts.set_triggers(index, start, fds)
        assert interrupts.delivered == 0
    interrupts.set_triggers(MSI, 0, [eventfd])
    assert interrupts.delivered == 1
    interrupts.set_triggers(INTX, 0, [eventfd])
    assert interrupts.delivered == 1, "MSI carries it"
    interrupts.set_level(False)
    interrupts.set_triggers(MSI, 0, [eventfd])
    interrupts.disable(MSI)
    assert interrupts.delivered == 1
    interrupts.close()
    interrupts.set_triggers(MSI, 0, [eventfd])
    assert interrupts.delivered == 1, "closing lets the line down"
    interrupts.close()
    os.close(eventfd)


@pytest.mark.parametrize("level", [False, True])
def test_of_two_who_drive_the_line_alike_one_is_enough(level: bool) -> None:
    """The other got in between the look and the lock."""
    interrupts = Interrupts((1, 1, 0, 0, 0))
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts.set_triggers(MSI, 0, [eventfd])
    interrupts.set_level(not level)
    before = interrupts.delivered

    class Lock:
        def __enter__(self) -> None:
            interrupts._level = level

        def __exit__(self, *_: object) -> None:
            pass

    lock = interrupts._lock
    interrupts._lock = Lock()  # type: ignore[assignment]
    interrupts.set_level(level)
    interrupts._lock = lock
    assert interrupts.delivered == before
    assert interrupts._level is level
    interrupts.close()
    os.close(eventfd)


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
