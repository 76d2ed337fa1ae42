"""The loop: it serves what is ready, rests by its pace, and ends at once."""

from __future__ import annotations

import os
import select
import threading
import time

from tests.unit.vgpu_ctl.pacing.test_paced_workers import PATIENCE_S, spend
from vgpu_ctl.pacing.pace import Pace
from vgpu_ctl.pacing.paced_loop import PacedLoop


def test_what_is_posted_is_called_in_its_thread() -> None:
    loop = PacedLoop("loop", Pace(1.0, 1.0), lambda: -1.0)
    called: list[threading.Thread] = []
    is_over = threading.Event()
    loop.start()
    for _ in range(10):
        loop.post(lambda: called.append(threading.current_thread()))
    loop.post(is_over.set)
    assert is_over.wait(PATIENCE_S)
    loop.stop()
    assert len(called) == 10
    assert threading.current_thread() not in called
    loop.post(is_over.clear)  # too late: nothing
    assert is_over.is_set()


def test_it_takes_its_share_of_a_processor_and_no_more() -> None:
    """Of a descriptor that is ready all the time, as that of a flood is."""
    spent, fd = [0.0], os.eventfd(1, os.EFD_NONBLOCK)
    loop = PacedLoop("loop", Pace(0.05, 0.02), lambda: 0.0)

    def handle(_events: int) -> None:
        spend(1e-3)
        spent[0] += 1e-3

    loop.watch(fd, select.EPOLLIN, handle)
    began = time.monotonic()
    loop.start()
    time.sleep(1.0)
    loop.stop()
    assert 0 < spent[0] <= 0.05 * (time.monotonic() - began) + 0.02 + 5e-3
    os.close(fd)


def test_it_ends_while_it_rests() -> None:
    is_called = threading.Event()
    loop = PacedLoop("loop", Pace(1e-4, 1e-4), lambda: 0.0)

    def spend_and_tell() -> None:
        spend(0.05)
        is_called.set()

    loop.post(spend_and_tell)
    loop.start()
    assert is_called.wait(PATIENCE_S)
    began = time.monotonic()
    loop.stop()  # 0.05 s at a ten thousandth are 500 s
    assert time.monotonic() - began < PATIENCE_S


def test_who_is_forgotten_while_others_are_served_is_not_called() -> None:
    first, second = os.eventfd(1, os.EFD_NONBLOCK), os.eventfd(1, os.EFD_NONBLOCK)
    loop = PacedLoop("loop", Pace(1.0, 1.0), lambda: -1.0)
    called: list[str] = []
    is_over = threading.Event()

    def act(name: str) -> None:
        called.append(name)
        loop.forget(first)
        loop.forget(second)
        is_over.set()

    loop.watch(first, select.EPOLLIN, lambda _: act("first"))
    loop.watch(second, select.EPOLLIN, lambda _: act("second"))
    loop.start()
    assert is_over.wait(PATIENCE_S)
    loop.stop()
    assert len(called) == 1
    for descriptor in (first, second):
        os.close(descriptor)
