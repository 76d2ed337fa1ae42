"""The hostile guest, against daemons with a hole: what escapes through it is seen."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.hostile_guest.faulty_daemon import FAULTS
from tests.fuzz.hostile_guest.report import report
from tests.fuzz.hostile_guest.trial import Options, Trial

FAULT_S = 600.0
"""Within which a fault is found, also where the attacker has little of the processor; that ends the
attack, mostly after some seconds."""
TO_THE_END = {"kept-files": 45.0}
"""Seconds of attack for faults that show when all have left."""
BY_KERNELS = ("kept-registers",)
"""Faults that nothing but a kernel shows."""
SEED = int(os.environ.get("HOSTILE_GUEST_SEED", "10"))


@pytest.mark.modes
@pytest.mark.timeout(300 + 2 * FAULT_S)
@pytest.mark.parametrize("fault", FAULTS)
def test_it_finds_a_fault(fault: str) -> None:
    """A daemon with a hole: what escapes through it is seen."""
    options = Options(
        *("shadow", "ballooned", SEED, TO_THE_END.get(fault, FAULT_S)),
        calibration_s=1.0,
        fault=fault,
        only="kernels" if fault in BY_KERNELS else "",
        kernels=fault in BY_KERNELS,
    )
    record = Trial(options).run()
    assert record.violations, report(record)
