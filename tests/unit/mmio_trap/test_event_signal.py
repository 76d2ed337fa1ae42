"""Signals to an eventfd whose other holder does with it what it likes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from errno import EINVAL, ENOSYS
from pathlib import Path

import pytest

from mmio_trap import event_signal
from mmio_trap.event_signal import EventSignal, check_signals
from tests.open_files import open_fds

FULL = 0xFFFF_FFFF_FFFF_FFFE
PATIENCE_S = 60.0

TEASER = """
import os, sys
fd = int(sys.argv[1])
os.set_blocking(fd, True)
os.write(1, b"!")
while True:  # full, empty for an instant, full again
    os.eventfd_read(fd)
    os.eventfd_write(fd, 0xFFFF_FFFF_FFFF_FFFE)
"""


@pytest.fixture
def eventfd() -> Iterator[int]:
    fd = os.eventfd(0)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("aside", [False, True])
def test_each_signal_adds_one(eventfd: int, aside: bool) -> None:
    check_signals()
    signal = EventSignal(eventfd)
    for count in (1, 2, 1000):
        for _ in range(count):
            signal.signal(aside=aside)
        assert os.eventfd_read(eventfd) == count
    signal.close()


def test_the_duplicate_is_what_is_signalled() -> None:
    """The descriptor that was passed is closed after its message, and its number used again."""
    before = open_fds()
    passed = os.eventfd(0)
    other = os.dup(passed)
    signal = EventSignal(passed)
    os.close(passed)
    signal.signal()
    assert os.eventfd_read(other) == 1
    signal.close()
    os.close(other)
    assert open_fds() <= before


def _often(signal: EventSignal, times: int) -> None:
    for _ in range(times):
        signal.signal()


def test_a_full_counter_that_would_block_holds_nobody_up(eventfd: int) -> None:
    os.eventfd_write(eventfd, FULL)
    signal = EventSignal(eventfd)
    thread = threading.Thread(target=_often, args=(signal, 100), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert os.eventfd_read(eventfd) >= FULL
    signal.signal()
    assert os.eventfd_read(eventfd) == 1
    signal.close()


def test_a_counter_that_fills_at_the_wrong_moment_holds_nobody_up(eventfd: int) -> None:
    """Another process fills and empties it as fast as it can, and lets writes block."""
    signal = EventSignal(eventfd)
    command = [sys.executable, "-c", TEASER, str(eventfd)]
    with subprocess.Popen(command, pass_fds=[eventfd], stdout=subprocess.PIPE) as teaser:
        assert teaser.stdout is not None
        assert teaser.stdout.read(1) == b"!"
        os.eventfd_write(eventfd, 1)  # it begins
        thread = threading.Thread(target=_often, args=(signal, 200_000), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        stuck = thread.is_alive()
        teaser.kill()
    assert not stuck
    signal.close()


def test_what_the_kernel_does_not_carry_out_is_said(
    eventfd: int, caplog: pytest.LogCaptureFixture
) -> None:
    signal = EventSignal(eventfd)
    signal._operations[0] = None
    signal.signal()
    assert "an eventfd was not signalled: Bad address" in caplog.text
    signal.close()


def test_a_machine_without_the_means(monkeypatch: pytest.MonkeyPatch, eventfd: int) -> None:
    """It is said when a client gives an eventfd, and by the check at the start."""
    with monkeypatch.context() as patch:
        patch.setattr("platform.machine", lambda: "pdp11")
        with pytest.raises(OSError, match="no number here for pdp11") as caught:
            event_signal._Completions()
        assert caught.value.errno == ENOSYS
    monkeypatch.setattr(event_signal, "_RING_MAGIC", 5)
    with pytest.raises(OSError, match="unknown ring 0xa10a10a1") as caught:
        event_signal._Completions()
    assert caught.value.errno == ENOSYS
    monkeypatch.setattr(event_signal, "_SLOTS", 0)
    with pytest.raises(OSError, match=r"io_setup\(2\): Invalid argument$"):
        event_signal._Completions()
    monkeypatch.setattr(event_signal, "_FAILURE", caught.value)
    for needs in (check_signals, lambda: EventSignal(eventfd)):
        with pytest.raises(OSError, match="unknown ring"):
            needs()


@pytest.mark.parametrize("aside", [False, True])
def test_many_threads_share_the_means(aside: bool) -> None:
    others = [os.eventfd(0) for _ in range(4)]
    signals = [EventSignal(fd) for fd in others]
    threads = [
        threading.Thread(target=lambda each=each: [each.signal(aside=aside) for _ in range(5000)])
        for each in signals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [os.eventfd_read(fd) for fd in others] == [5000] * 4
    for each, fd in zip(signals, others, strict=True):
        each.close()
        os.close(fd)


def test_a_pipe_that_is_called_eventfd_is_none(tmp_path: Path) -> None:
    path = tmp_path / "[eventfd]"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(OSError, match=r"not an eventfd but /.*eventfd") as caught:
        EventSignal(fd)
    assert caught.value.errno == EINVAL
    os.close(fd)
