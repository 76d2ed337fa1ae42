"""Every number that a module states at its top against a second statement of it, in `numbers/`.

Software that is tested with its own constants works with any number; hardware, kernels, clients
and guests do not. Whoever changes one changes it in both places; a new one belongs there, too.
"""

from __future__ import annotations

import importlib
from functools import reduce
from typing import Any

import pytest

from tests.style.number_text import number_text
from tests.style.numbers import NUMBERS

_MODULES: dict[str, Any] = {name: importlib.import_module(name) for name in sorted(NUMBERS)}
"""Imported here and in no test: else a module's lines would seem to be run by that test alone."""


def _told(text: str) -> dict[str, str]:
    told: dict[str, str] = {}
    last = ""
    for part in text.split():
        name, is_new, value = part.partition("=")
        if is_new:
            told[last := name] = value
        else:
            told[last] += part
    return told


@pytest.mark.parametrize("name", _MODULES)
def test_numbers(name: str) -> None:
    told = _told(NUMBERS[name])
    found = {each: number_text(reduce(getattr, each.split("."), _MODULES[name])) for each in told}
    assert found == told, "see tests/style/numbers"
