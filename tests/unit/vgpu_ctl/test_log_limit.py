"""The limit on the log."""

from __future__ import annotations

import logging

from vgpu_ctl.log_limit import LogLimit


def record(level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("name", level, "path", 1, "hang %d", (7,), None)


def test_a_flood_is_cut_and_counted_and_errors_pass() -> None:
    now = [0.0]
    limit = LogLimit(burst=3, per_second=2.0, clock=lambda: now[0])
    assert [limit.filter(record()) for _ in range(10)] == [True] * 3 + [False] * 7
    assert limit.filter(record(logging.ERROR))
    now[0] = 0.5
    first = record(logging.WARNING)
    assert limit.filter(first)
    assert first.getMessage() == "hang 7 (7 records before this were left out)"
    assert not limit.filter(record())
    now[0] = 100.0
    assert [limit.filter(record()) for _ in range(4)] == [True] * 3 + [False]
