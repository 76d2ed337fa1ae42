"""The EU's messages: C routines and Python twins agree, memory compared as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.message_world import both, scene
from tests.property.page_world import Pages, Ram, pages

native: Any = pytest.importorskip("mediator.softgpu.eu.native.worker")
_ANY_SEED = st.integers(0, (1 << 32) - 1)
_QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def ram() -> Iterator[Ram]:
    made = Ram()
    with made.memory.using():
        yield made
    made.close()


def _agree(ram: Ram, drawn: Pages, seed: int, count: int) -> None:
    made = scene(drawn, Random(seed), count)
    by_c, by_python = both(native, made, drawn, ram)
    assert by_c.responses == by_python.responses
    assert by_c.faults == by_python.faults
    assert by_c.slm == by_python.slm
    assert by_c.ram == by_python.ram
    assert (by_c.discarded, by_c.arrived) == (by_python.discarded, by_python.arrived)


@_QUIET
@given(pages(), _ANY_SEED)
def test_c_and_twin_agree(ram: Ram, drawn: Pages, seed: int) -> None:
    _agree(ram, drawn, seed, 24)


@pytest.mark.modes
@settings(_QUIET, max_examples=400)
@given(pages(), _ANY_SEED)
def test_c_and_twin_agree_at_length(ram: Ram, drawn: Pages, seed: int) -> None:
    _agree(ram, drawn, seed, 32)
