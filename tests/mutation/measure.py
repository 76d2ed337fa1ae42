"""A pytest plugin that notes which lines each test runs: loaded where `cover.py` asks for it.

Each process of pytest writes a file of its own into the directory that MEASURE_TO names.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

_TO = Path(os.environ["MEASURE_TO"])
_HERE = Path.cwd()
_seconds: dict[str, float] = {}
_failed: set[str] = set()
_coverage = coverage.Coverage(
    data_file=None,
    config_file=False,
    source=[str(_HERE / room) for room in os.environ["MEASURE_ROOMS"].split()],
)
_coverage.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Lines from here to the end of the test are the test's."""
    _coverage.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _coverage.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """How long each test takes, and which cannot be used."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if not report.passed:
        _failed.add(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Write down what was seen."""
    _coverage.stop()
    data = _coverage.get_data()
    lines: dict[str, dict[str, list[int]]] = {}
    for file in data.measured_files():
        name = Path(file).relative_to(_HERE).as_posix()
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in contexts:
                if context:
                    lines.setdefault(context, {}).setdefault(name, []).append(line)
    seen: dict[str, Any] = {
        test: {"seconds": seconds, "lines": lines.get(test, {})}
        for test, seconds in _seconds.items()
        if test not in _failed
    }
    if seen:
        (_TO / f"{os.getpid()}.json").write_text(json.dumps(seen))
    gc.collect()
