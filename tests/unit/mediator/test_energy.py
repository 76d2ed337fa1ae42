"""The estimate of a GPU's energy."""

from __future__ import annotations

import pytest

from mediator.gen9.engines import ENGINES
from mediator.physical.energy import ENGINE_WATTS, IDLE_WATTS, estimate_joules


def test_every_engine_has_a_figure() -> None:
    assert set(ENGINE_WATTS) == {facts.name for facts in ENGINES}


def test_an_idle_gpu_uses_little() -> None:
    assert estimate_joules(10, {"rcs0": 0.0}, 300, 1150) == pytest.approx(10 * IDLE_WATTS)


def test_busy_engines_add_up() -> None:
    busy = {"rcs0": 2.0, "vcs0": 1.0, "unknown": 5.0}
    expected = 4 * IDLE_WATTS + 2 * ENGINE_WATTS["rcs0"] + ENGINE_WATTS["vcs0"]
    assert estimate_joules(4, busy, 1150, 1150) == pytest.approx(expected)


def test_half_the_frequency_takes_an_eighth() -> None:
    full = estimate_joules(0, {"rcs0": 1.0}, 1000, 1000)
    assert estimate_joules(0, {"rcs0": 1.0}, 500, 1000) == pytest.approx(full / 8)
