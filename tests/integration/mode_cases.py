"""On which modes a test of vGPUs runs: few are quick tests, all are run in `make test`.

Cases that the quick run leaves out have the marker `modes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from tests.integration.vgpu_rig import PAIR, Mode, as_strict

Value = TypeVar("Value")


def cases(
    modes: Iterable[Mode],
    quick: Collection[Mode] = PAIR,
    *,
    strict: Collection[Mode] = PAIR,
    quick_strict: Collection[Mode] = (),
) -> list[Mode | ParameterSet]:
    """Parameters for ``modes``; what is neither native nor ``quick`` waits for `make test`.

    Those that are in ``strict`` come a second time, on a GPU that is as bad as hardware may be: in
    the quick run if they are in ``quick_strict`` too.
    """
    chosen = list(modes)
    kind = [mode if mode.native or mode in quick else _thorough(mode) for mode in chosen]
    worse = [
        as_strict(mode) if mode in quick_strict else _thorough(as_strict(mode))
        for mode in chosen
        if mode in strict
    ]
    return [*kind, *worse]


def few(values: Sequence[Value], quick: int = 1) -> list[Value | ParameterSet]:
    """Parameters for ``values``, of which the first ``quick`` are in the quick run."""
    return [*values[:quick], *(_thorough(value) for value in values[quick:])]


def _thorough(value: object) -> ParameterSet:
    return pytest.param(value, marks=pytest.mark.modes)
