"""Numbers as people read them. Pure."""

from __future__ import annotations

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FRACTIONS = ((1.0, 1.0, "s"), (1e-3, 1e-3, "ms"), (0.0, 1e-6, "µs"))
_AGES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size(count: int) -> str:
    """Bytes: `64 MiB`."""
    value = float(count)
    for unit in _BINARY:
        if abs(value) < 1024 or unit == _BINARY[-1]:
            return f"{value:.4g} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes everything")


def duration(seconds: float | None) -> str:
    """A short time, to three digits: `1.25 ms`; None: unknown."""
    if seconds is None:
        return ""
    if seconds == 0:
        return "0"
    for least, scale, unit in _FRACTIONS:
        if seconds >= least:
            return f"{_three_digits(seconds / scale)} {unit}"
    return f"{seconds} s"


def age(seconds: float) -> str:
    """A long time, its largest unit only: `3 h`."""
    for length, unit in _AGES:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def percent(part: float | None) -> str:
    """A part of a whole: `12.5 %`; None: unknown."""
    return "" if part is None else f"{part * 100:.1f} %"


def rate(per_second: float | None) -> str:
    """Something a second, to three digits: `1.2k`; None: unknown."""
    if per_second is None:
        return ""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= scale:
            return f"{_three_digits(per_second / scale)}{unit}"
    return _three_digits(per_second)


def frequency(hertz: float) -> str:
    """`350 MHz`."""
    return f"{hertz / 1e6:.0f} MHz"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value else "0"
