"""Compare answers with a reference: exactly, or within so many units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def differences(name: str, got: Array, expected: Array) -> list[str]:
    """What differs at all, as complaints."""
    wrong = np.flatnonzero(got.ravel() != expected.ravel())
    return _complaints(name, got.ravel(), expected.ravel(), wrong)


def inexact(
    name: str, got: Array, exact: Array, ulp: float, absolute: float = 0.0, share: float = 0.0
) -> list[str]:
    """What is further than ``ulp`` units of its own type (and ``absolute``) from ``exact``.

    ``exact`` is in a wider type, or already rounded. NaN equals NaN. A ``share`` of the elements
    may be wrong.
    """
    kind = got.dtype
    flat = got.ravel().astype(np.float64)
    wide = exact.ravel().astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = wide.astype(kind)
        unit = np.abs(np.spacing(np.abs(rounded))).astype(np.float64)
        bad = ~(np.abs(flat - wide) <= ulp * unit + absolute)
    bad &= ~(np.isnan(flat) & np.isnan(wide))
    bad &= ~(got.ravel() == rounded)
    wrong = np.flatnonzero(bad)
    if wrong.size <= share * flat.size:
        return []
    return _complaints(name, got.ravel(), rounded, wrong)


def _complaints(name: str, got: Array, expected: Array, wrong: Array) -> list[str]:
    if not wrong.size:
        return []
    first = int(wrong[0])
    how = f"{got[first]!r} instead of {expected[first]!r}"
    return [f"{name}: {wrong.size} of {got.size} elements differ, the first at {first}: {how}"]
