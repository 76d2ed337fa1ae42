"""A trace: what was noted, up to its room."""

from __future__ import annotations

from mediator.vgpu.trace import INSTANT, Record, Trace


def test_records_are_taken_once_in_order() -> None:
    trace = Trace()
    trace.add("traps", "read RCS0_TAIL", 5, 7, "0x2030")
    trace.add("interrupts", "interrupt", 9)
    assert trace.take() == [
        Record("traps", "read RCS0_TAIL", 5, 7, "0x2030"),
        Record("interrupts", "interrupt", 9, INSTANT, ""),
    ]
    assert trace.take() == []


def test_what_has_no_room_is_counted() -> None:
    trace = Trace(room=2)
    for number in range(5):
        trace.add("slices", "slice", number)
    assert [record.start_ns for record in trace.take()] == [0, 1]
    assert trace.dropped == 3
    trace.add("slices", "slice", 9)
    assert [record.start_ns for record in trace.take()] == [9]
