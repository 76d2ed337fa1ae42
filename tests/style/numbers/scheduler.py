"""Of the scheduler: times, and its fixed point."""

from __future__ import annotations

NUMBERS = {
    "scheduler.cap": "WINDOW_NS=5F5E100 LEAST_NS=3D0900",
    "scheduler.policies.fifo": "LIMIT_NS=5F5E100",
    "scheduler.policies.timeslice": """
        SLICE_NS=F42400 LONGEST_PAUSE_NS=2FAF080 _OVERRUN=8 _LONG_SLICES=8 _FRACTION=14
    """,
}
