"""The hostile guest: a short run on each mode. Nothing runs beside it: it looks at times."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.hostile_guest.__main__ import MODES
from tests.fuzz.hostile_guest.report import report
from tests.fuzz.hostile_guest.trial import Options, Trial

SECONDS = float(os.environ.get("HOSTILE_GUEST_SECONDS", "12"))
"""Of attack, for each mode."""
SEED = int(os.environ.get("HOSTILE_GUEST_SEED", "10"))


@pytest.mark.modes
@pytest.mark.timeout(300 + 3 * SECONDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_hostile_guest_hurts_nobody(mode: str) -> None:
    address_space, _, ggtt = mode.partition("/")
    trial = Trial(Options(address_space, ggtt, SEED, SECONDS, calibration_s=2.0))
    record = trial.run()
    trial.judge_times()
    print(report(record))
    assert record.violations == [], report(record)
    assert record.rounds > 0
    assert sum(record.steps.values()) > 0


@pytest.mark.modes
@pytest.mark.timeout(300 + 3 * SECONDS)
def test_hostile_kernels_hurt_nobody() -> None:
    trial = Trial(Options("shadow", "ballooned", SEED, SECONDS, calibration_s=2.0, kernels=True))
    record = trial.run()
    assert record.violations == [], report(record)
    assert any(name.startswith("kernels.") for name in record.steps)
