"""Execution lists: the event sequences that i915's CSB parser accepts (gen8_csb_parse)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.gen9.execlist import Descriptor, Event, Status
from mediator.softgpu.execlist import ContextStatus, Execlists


def descriptor(identity: int, lrca: int, flags: int = 0) -> int:
    return identity << 32 | lrca | Descriptor.VALID | flags


A = descriptor(0x20, 0x10000)
B = descriptor(0x40, 0x20000)
C = descriptor(0x60, 0x30000)


def submit(lists: Execlists, first: int, second: int = 0) -> bool:
    dwords = (second >> 32, second & 0xFFFFFFFF, first >> 32, first & 0xFFFFFFFF)
    return [lists.write_elsp(d) for d in dwords][-1]


def test_fourth_dword_submits() -> None:
    lists = Execlists()
    assert [lists.write_elsp(d) for d in (0, 0, A >> 32)] == [False] * 3
    assert lists.pending == []
    assert lists.write_elsp(A & 0xFFFFFFFF)
    assert lists.pending == [A]


def test_idle_engine_promotes_with_idle_to_active() -> None:
    lists = Execlists()
    submit(lists, A, B)
    status = lists.promote()
    assert (status.event, status.context_id) == (Event.IDLE_TO_ACTIVE, 0)
    assert lists.current == A
    assert lists.pending == []


def test_two_elements_complete_in_order() -> None:
    lists = Execlists()
    submit(lists, A, B)
    lists.promote()
    first, second = lists.complete(), lists.complete()
    assert (first.event, first.context_id) == (0x14, 0x20)
    assert (second.event, second.context_id) == (0x18, 0x40)
    assert lists.current is None


def test_same_context_is_a_lite_restore() -> None:
    lists = Execlists()
    submit(lists, A)
    lists.promote()
    submit(lists, A, B)
    assert lists.is_lite_restore()
    status = lists.lite_restore()
    assert (status.event, status.context_id) == (0x8002, 0x20)
    assert lists.active == [A, B]


def test_second_element_running_can_be_lite_restored() -> None:
    lists = Execlists()
    submit(lists, A, B)
    lists.promote()
    lists.complete()
    submit(lists, B, C)
    assert lists.is_lite_restore()


def test_force_restore_is_no_lite_restore() -> None:
    lists = Execlists()
    submit(lists, A)
    lists.promote()
    submit(lists, A | Descriptor.FORCE_RESTORE)
    assert not lists.is_lite_restore()


def test_other_context_preempts() -> None:
    lists = Execlists()
    submit(lists, A)
    lists.promote()
    submit(lists, B)
    assert not lists.is_lite_restore()
    status = lists.preempt()
    assert (status.event, status.context_id) == (Event.PREEMPTED, 0x20)
    assert lists.current == B


def test_each_submission_is_acknowledged_exactly_once() -> None:
    lists = Execlists()
    events = []
    for pair in ((A, B), (B, C), (C, 0)):
        submit(lists, *pair)
        if lists.current is None:
            events.append(lists.promote())
        elif lists.is_lite_restore():
            events.append(lists.lite_restore())
        else:
            events.append(lists.preempt())
        events.append(lists.complete())
    promotes = [e for e in events if e.event & (Event.IDLE_TO_ACTIVE | Event.PREEMPTED)]
    assert len(promotes) == 3


def test_entries_start_at_zero_after_reset_and_wrap_at_six() -> None:
    lists = Execlists()
    for expected in (0, 1, 2, 3, 4, 5, 0):
        submit(lists, A)
        if expected % 2 == 0:
            lists.promote()
        else:
            lists.lite_restore()
        assert lists.write_pointer == expected


def test_submission_over_a_waiting_one_is_dropped_and_counted() -> None:
    lists = Execlists()
    submit(lists, A)
    assert not submit(lists, B)
    assert lists.pending == [A]
    assert lists.overruns == 1


@pytest.mark.parametrize("first", [0, A & ~int(Descriptor.VALID)])
def test_submission_without_a_valid_element_is_dropped(first: int) -> None:
    lists = Execlists()
    assert not submit(lists, first)
    assert lists.pending == []


def test_status_names_the_running_context() -> None:
    lists = Execlists()
    assert lists.status(arbitration=True) == (Status.ARBITRATION_ENABLED, 0)
    submit(lists, A, B)
    assert lists.status(arbitration=False)[0] & Status.QUEUE_FULL
    lists.promote()
    low, high = lists.status(arbitration=False)
    assert low & Status.LIST_0_ACTIVE
    assert high == 0x20
    lists.complete()
    assert lists.status(arbitration=False)[1] == 0x40


def test_yield_reports_the_semaphore() -> None:
    lists = Execlists()
    submit(lists, A, B)
    lists.promote()
    status = lists.yield_element()
    assert status.event == Event.WAIT_SEMAPHORE | Event.ELEMENT_SWITCH
    assert lists.current == B


@pytest.mark.parametrize("ends", [Execlists.complete, Execlists.yield_element])
def test_at_the_end_all_but_the_status_buffer_is_cold(
    ends: Callable[[Execlists], ContextStatus],
) -> None:
    lists = Execlists()
    submit(lists, A, B)
    lists.promote()
    for _ in range(2):
        assert lists.active == [A, B]
        ends(lists)
    cold = Execlists()
    for name in ("write_pointer", "entries", "last_reason"):
        setattr(cold, name, getattr(lists, name))
    assert lists == cold


@pytest.mark.parametrize("take", [Execlists.lite_restore, Execlists.preempt])
def test_a_list_begins_with_its_first_element(take: Callable[[Execlists], ContextStatus]) -> None:
    lists = Execlists()
    submit(lists, A, B)
    lists.promote()
    lists.complete()
    submit(lists, C, A)
    take(lists)
    assert (lists.element, lists.current, lists.pending) == (0, C, [])


def test_the_whole_status_register() -> None:
    """QUEUE_FULL 2, LIST_1_VALID 3, LIST_0_VALID 4, reason 13:5, element 15:14, 16, ACTIVE 18."""
    lists = Execlists()
    submit(lists, A, B)
    assert lists.status(arbitration=True) == (0x1000C, 0)
    lists.promote()
    assert lists.status(arbitration=True) == (0x5_4030, 0x20)
    submit(lists, C)
    assert lists.status(arbitration=False) == (0x4_403C, 0x20)
    lists.complete()
    assert lists.status(arbitration=False) == (0x4_829C, 0x40)
    lists.complete()
    assert lists.status(arbitration=False) == (0x30C, 0)
