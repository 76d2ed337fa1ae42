"""A brief run of the oracle over sequences, and proof that its judge sees faults."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.submission_oracle import Escape, fuzz
from tests.ring_faults import plant

TRIALS = int(os.environ.get("SUBMISSION_FUZZ_TRIALS", "60"))
"""About a third of a second each."""


def test_a_few_sequences_without_an_escape() -> None:
    executed = fuzz(0, 3)
    assert executed["MI_STORE_DATA_IMM"] > 100


@pytest.mark.modes
def test_no_sequence_gets_out() -> None:
    executed = fuzz(1, TRIALS)
    assert min(executed[name] for name in ("MI_BATCH_BUFFER_START", "MI_SEMAPHORE_WAIT")) > TRIALS


SEEN_SOON = ["a tail goes back", "nothing is restored", "room is used again"]


@pytest.mark.modes
@pytest.mark.parametrize("fault", SEEN_SOON)
def test_the_judge_sees_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(fault, monkeypatch)
    with pytest.raises(Escape):
        fuzz(2, 400)
