"""A brief run of the messages' fuzzer, and proof that it would see a difference."""

from __future__ import annotations

from typing import Any

import pytest

from mediator.softgpu.eu.messages import lanes
from tests.fuzz.eu_messages import Disagreement, fuzz

pytest.importorskip("mediator.softgpu.eu.native.worker")


def test_c_and_python_agree() -> None:
    assert fuzz(1, scenes=20) == 20


def test_a_difference_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin that mixes two lanes up."""
    real = lanes.Lanes.active

    def active(self: lanes.Lanes) -> Any:
        found = list(real(self))
        return [(lane, found[0][1]) for lane, _ in found]

    monkeypatch.setattr(lanes.Lanes, "active", active)
    with pytest.raises(Disagreement, match=r"seed \d+: [a-z, ]*(responses|ram)"):
        fuzz(1, scenes=20)


@pytest.mark.modes
def test_c_and_python_agree_for_longer() -> None:
    assert fuzz(1000, scenes=600) == 600
