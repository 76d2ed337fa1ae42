"""On which modes a test of vGPUs runs: on few of them in `make check`, on all in `make test`.

Cases that the quick run leaves out have the marker `modes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from tests.integration.vgpu_rig import PAIR, Mode

Value = TypeVar("Value")


def cases(modes: Iterable[Mode], quick: Collection[Mode] = PAIR) -> list[Mode | ParameterSet]:
    """Parameters for ``modes``; what is neither native nor ``quick`` waits for `make test`."""
    return [mode if mode.native or mode in quick else _thorough(mode) for mode in modes]


def few(values: Sequence[Value], quick: int = 1) -> list[Value | ParameterSet]:
    """Parameters for ``values``, of which the first ``quick`` are in the quick run."""
    return [*values[:quick], *(_thorough(value) for value in values[quick:])]


def _thorough(value: object) -> ParameterSet:
    return pytest.param(value, marks=pytest.mark.modes)
