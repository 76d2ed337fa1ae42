"""Numbers as people read them."""

from __future__ import annotations

import pytest

from vgpu_ctl.cli.units import age, duration, percent, rate, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (64 << 20, "64 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 60, "1024 PiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0"),
        (2e-9, "0.00 µs"),
        (1.234e-6, "1.23 µs"),
        (0.0123, "12.3 ms"),
        (75.0, "75.0 s"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.9, "59 s"), (7200, "2 h"), (200_000, "2 d")]
)
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (0.5, "0.50"), (999, "999"), (1234, "1.23k"), (5e6, "5.00M")],
)
def test_rate(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_percent() -> None:
    assert (percent(None), percent(0.125), percent(1)) == ("", "12.5 %", "100.0 %")
