"""Workers wait for each other, and none waits for one that has failed."""

import threading

import pytest

from tests.guests.boot import GuestFailure
from tests.guests.workers import Together

PATIENCE_S = 20.0


def test_all_start_together_and_end_when_each_has_done_its_share() -> None:
    together = Together(3)
    started: list[int] = []

    def work(number: int) -> None:
        together.start(PATIENCE_S)
        started.append(number)
        together.done()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    assert not started
    assert not together.all_done
    together.start(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(started) == [0, 1]
    assert not together.all_done
    together.done()
    assert together.all_done


def test_nobody_waits_for_one_that_failed() -> None:
    together = Together(2)
    together.give_up()
    assert together.all_done
    with pytest.raises(GuestFailure, match="another guest"):
        together.start(PATIENCE_S)
