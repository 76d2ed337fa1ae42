"""The counters that vgpud prints when a client leaves."""

import json

import pytest

from tests.guests.served import parse_counters, parse_name, parse_summary

SUMMARY = {
    "name": "vgpu1",
    "type": "V9_2",
    "weight": 8,
    "share": 0.5,
    "requests": 3,
    "gpu_seconds": 1.5,
    "wait_p50_ms": 0.1,
    "wait_p99_ms": 0.2,
    "reads": 10,
    "writes": 20,
    "hangs": 0,
    "world_switches": 1,
    "rejections": {"register": 2},
}


def test_words_and_json_are_both_read() -> None:
    assert parse_counters("served /s reads=12 writes=3") == {"reads": 12, "writes": 3}
    assert parse_counters('served {"reads": 12, "seconds": 1.5}') == {"reads": 12}
    assert parse_counters("served {broken") == {}


def test_a_vgpus_summary() -> None:
    line = f"served {json.dumps(SUMMARY)}"
    assert parse_name(line) == "vgpu1"
    summary = parse_summary(line)
    assert (summary.requests, summary.traps, summary.rejections) == (3, 30, {"register": 2})


def test_lines_that_are_no_vgpus_summary() -> None:
    assert parse_name('served {"reads": 12}') is None
    assert parse_name("served 5") is None
    assert parse_name("served {broken") is None
    without = {key: value for key, value in SUMMARY.items() if key not in ("hangs", "reads")}
    with pytest.raises(ValueError, match="lacks reads, hangs"):
        parse_summary(f"served {json.dumps(without)}")
