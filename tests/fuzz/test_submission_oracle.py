"""A brief run of the oracle over sequences, and proof that its judge sees a tail that goes back."""

from __future__ import annotations

import os

import pytest

from mediator.workload.ring_copy import RingCopy
from tests.fuzz.submission_oracle import Escape, fuzz

TRIALS = int(os.environ.get("SUBMISSION_FUZZ_TRIALS", "60"))
"""About a third of a second each."""


def test_a_few_sequences_without_an_escape() -> None:
    executed = fuzz(0, 3)
    assert executed["MI_STORE_DATA_IMM"] > 100


@pytest.mark.modes
def test_no_sequence_gets_out() -> None:
    executed = fuzz(1, TRIALS)
    assert min(executed[name] for name in ("MI_BATCH_BUFFER_START", "MI_SEMAPHORE_WAIT")) > TRIALS


@pytest.mark.modes
def test_the_judge_sees_a_tail_that_goes_back_under_the_hardware(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RingCopy, "goes_on", lambda _copy, _tail: True)
    with pytest.raises(Escape):
        fuzz(2, 400)
