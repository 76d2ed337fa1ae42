"""Execution lists of a virtual engine: the events a guest sees, and EXECLIST_STATUS."""

from __future__ import annotations

import pytest

from mediator.gen9.execlist import CSB_ENTRIES, CSB_RESET_POINTER, Event, Status
from mediator.vgpu.execlist import Element, Execlists

VALID = 1


def element(identity: int, lrca: int = 0) -> Element:
    return Element(identity << 32 | (lrca or identity << 12) | VALID)


def submit(lists: Execlists, first: Element, second: Element | None = None) -> None:
    """Through the port, as a guest does."""
    high = second.descriptor if second else 0
    for dword in (high >> 32, high, first.descriptor >> 32, first.descriptor):
        taken = lists.take_port(dword & 0xFFFF_FFFF)
    assert taken is not None
    lists.pending = taken


def test_the_fourth_dword_completes_a_submission() -> None:
    lists = Execlists()
    first, second = element(7), element(9)
    dwords = [second.context_id, second.descriptor & 0xFFFF_FFFF, first.context_id]
    assert [lists.take_port(dword) for dword in dwords] == [None, None, None]
    assert lists.take_port(first.descriptor & 0xFFFF_FFFF) == [first, second]
    assert lists.written == []


@pytest.mark.parametrize(("first", "second"), [(0, 9), (7, 0), (0, 0)])
def test_elements_that_are_not_valid_are_left_out(first: int, second: int) -> None:
    lists = Execlists()
    for dword in (second, second and VALID, first):
        lists.take_port(dword)
    taken = lists.take_port(first and VALID)
    assert taken is not None
    assert [e.context_id for e in taken] == [identity for identity in (first, second) if identity]


def test_an_element_names_its_context() -> None:
    made = Element(0x1234_5678_9ABC_D019)
    assert (made.lrca, made.context_id) == (0x9ABC_D000, 0x1234_5678)
    assert made.same_context(Element(0x1234_5678_9ABC_D001))
    assert not made.same_context(Element(0x1234_5679_9ABC_D019))
    assert not made.same_context(Element(0x1234_5678_9ABC_E019))


def test_two_contexts_run_to_their_ends() -> None:
    lists = Execlists()
    submit(lists, element(1), element(2))
    assert lists.promote() == (Event.IDLE_TO_ACTIVE, 0)
    assert (lists.current, lists.pending) == (element(1), [])
    assert lists.complete() == (Event.CONTEXT_COMPLETE | Event.ELEMENT_SWITCH, 1)
    assert (lists.current, lists.rest) == (element(2), [element(2)])
    assert lists.complete() == (Event.CONTEXT_COMPLETE | Event.ACTIVE_TO_IDLE, 2)
    assert (lists.current, lists.elements) == (None, [])


def test_a_wait_lets_the_next_element_run() -> None:
    lists = Execlists()
    submit(lists, element(1), element(2))
    lists.promote()
    assert lists.wait() == (Event.WAIT_SEMAPHORE | Event.ELEMENT_SWITCH, 1)
    assert lists.wait() == (Event.WAIT_SEMAPHORE | Event.ACTIVE_TO_IDLE, 2)


@pytest.mark.parametrize("lite", [False, True])
def test_a_pending_list_takes_the_place_of_the_running_one(lite: bool) -> None:
    lists = Execlists()
    submit(lists, element(1), element(2))
    lists.promote()
    lists.complete()
    submit(lists, element(2 if lite else 3))
    assert [e.context_id for e in lists.elements] == [2, 2 if lite else 3]
    reason = Event.PREEMPTED | Event.LITE_RESTORE if lite else Event.PREEMPTED
    assert lists.preempt(lite=lite) == (reason, 2)
    assert (lists.element, lists.pending) == (0, [])
    assert lists.complete()[1] == (2 if lite else 3)


def test_the_status_buffer_is_a_ring() -> None:
    lists = Execlists()
    assert lists.write_pointer == lists.read_pointer == CSB_RESET_POINTER
    seen = []
    for identity in range(1, CSB_ENTRIES):
        submit(lists, element(identity))
        seen += [lists.promote(), lists.complete()]
    first = (len(seen) - CSB_ENTRIES) % CSB_ENTRIES
    newest = seen[-CSB_ENTRIES:]
    assert lists.entries == newest[-first:] + newest[:-first] if first else newest
    assert lists.write_pointer == (CSB_RESET_POINTER + len(seen)) % CSB_ENTRIES
    assert lists.entries[lists.write_pointer] == seen[-1]


def test_nothing_ends_where_nothing_runs() -> None:
    with pytest.raises(AssertionError, match="no element runs"):
        Execlists().complete()


def test_status_of_an_idle_engine() -> None:
    assert Execlists().status() == (Status.ARBITRATION_ENABLED, 0)


def test_status_says_what_runs_waits_and_came_last() -> None:
    lists = Execlists()
    submit(lists, element(1), element(2))
    low, high = lists.status()
    assert low & (Status.QUEUE_FULL | Status.LIST_1_VALID) == 0b1100
    assert not low & Status.LIST_0_VALID
    lists.promote()
    low, high = lists.status()
    assert (
        low & (Status.LIST_0_VALID | Status.LIST_0_ACTIVE | Status.QUEUE_FULL) == 1 << 18 | 1 << 4
    )
    assert (low >> 5 & 0x1FF, low >> 14 & 3, high) == (Event.IDLE_TO_ACTIVE, 1, 1)
    lists.complete()
    low, high = lists.status()
    reason = Event.CONTEXT_COMPLETE | Event.ELEMENT_SWITCH
    assert (low >> 5 & 0x1FF, low >> 14 & 3, high) == (reason, 2, 2)
    lists.complete()
    low, high = lists.status()
    reason = Event.CONTEXT_COMPLETE | Event.ACTIVE_TO_IDLE
    assert (low, high) == (Status.ARBITRATION_ENABLED | reason << 5, 0)


# -- what becomes of submissions -------------------------------------------------------------------


def counted(identity: int, requests: int = 1, now: int = 0) -> Element:
    made = element(identity)
    made.requests, made.admitted_ns = requests, now
    return made


def test_a_submission_goes_over_to_the_list_that_has_its_context_too() -> None:
    """A lite restore: the end of the new element is that of both."""
    first, other, again = counted(7, 2, 100), counted(9, 1, 100), counted(7, 1, 200)
    first.started_ns = 150
    lists = Execlists(active=[first, other], pending=[again])
    lists.preempt(lite=True)
    assert (first.requests, other.requests, again.requests) == (0, 1, 3)
    assert (again.admitted_ns, again.started_ns) == (100, 150)


def test_a_submission_that_has_run_is_not_taken_over() -> None:
    """Element 0 has ended; the same context submitted anew stands for itself alone."""
    ended, running, again = counted(7), counted(9), counted(7)
    lists = Execlists(active=[ended, running], element=1, pending=[again])
    lists.preempt(lite=False)
    assert (ended.requests, running.requests, again.requests) == (1, 1, 1)


def test_times_that_nobody_knows_are_not_the_earliest() -> None:
    """It came from elsewhere, whose clock is another."""
    first, again = counted(7, 1, 0), counted(7, 1, 200)
    first.take_over(again)
    assert (first.requests, first.admitted_ns) == (2, 0)
    first, again = counted(7, 1, 0), counted(7, 1, 200)
    again.take_over(first)
    assert again.admitted_ns == 200
