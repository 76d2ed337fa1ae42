"""The judges of the hostile guest would see a failure; its attacker is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediator.physical.partition import GUEST_GGTT_SIZE
from tests.fuzz.hostile_guest import verdict
from tests.fuzz.hostile_guest.action_table import ACTIONS, ENDINGS, KERNELS
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest, Stolen
from tests.fuzz.hostile_guest.canary import Canary, CanaryError
from tests.fuzz.hostile_guest.chance import chance_of
from tests.fuzz.hostile_guest.daemon import is_complaint
from tests.fuzz.hostile_guest.process_figures import ProcessFigures, process_figures
from tests.fuzz.hostile_guest.record import Record, SlowRound
from tests.fuzz.hostile_guest.report import again, report
from tests.fuzz.hostile_guest.secret import (
    find_word,
    mark_word,
    secret_word,
    unreserved,
    unreserved_word,
)
from tests.fuzz.hostile_guest.timeline import Phase, Span, Timeline
from tests.gpu_driver import PAGE
from tests.integration.vgpu_rig import SHADOW, Rig, rig


def even(rate: float, seconds: float) -> Timeline:
    """Rounds in a row, ``rate`` of them in each second."""
    made = Timeline()
    for number in range(int(rate * seconds)):
        made.add(number / rate, 1 / rate)
    return made


def test_rates_are_those_of_the_phase() -> None:
    line = even(10, 20)
    assert line.rate(Phase(3, 17)) == pytest.approx(10)
    assert line.rate(Phase(3.03, 3.05)) == pytest.approx(10)
    assert line.lowest_rate(Phase(2, 18)) == pytest.approx(10)
    assert line.rate(Phase(3, 3)) == 0


def test_a_stall_is_in_the_lowest_rate_and_the_longest_round() -> None:
    line = even(10, 5)
    line.add(5.0, 1.5)
    for number in range(50):
        line.add(6.5 + number / 10, 0.1)
    phase = Phase(1, 10)
    assert line.longest(phase) == Span(5.0, 1.5)
    assert line.lowest_rate(phase) == pytest.approx((0.5 * 10 + 1) / 2, abs=0.6)
    assert line.rate(phase) > 8


def test_a_guest_that_stands_still_to_the_end_has_no_rate() -> None:
    assert even(10, 5).lowest_rate(Phase(1, 20)) == 0


def test_time_that_the_machine_took_is_set_against_a_round() -> None:
    machine = Timeline([], [])
    machine.add(1.0, 0.5)
    machine.add(2.0, 0.25)
    assert machine.overlap(Span(1.25, 1.0)) == pytest.approx(0.5)
    assert machine.overlap(Span(5.0, 1.0)) == 0


def test_reserved_words_are_made_by_their_owners_alone() -> None:
    chance = chance_of(1)
    for word in (secret_word(0x1234), mark_word(0x1234)):
        assert unreserved_word(word) == 0x1234
        assert find_word(unreserved(word.to_bytes(4, "little") * 9), word) == -1
    words = [chance.edge() for _ in range(5000)] + [chance.word() for _ in range(5000)]
    assert not {word >> 16 for word in words} & {0xD15E, 0xBAD0}


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_a_word_is_found_where_a_dword_stands(shift: int) -> None:
    data = bytes(4 + shift) + secret_word(7).to_bytes(4, "little")
    assert find_word(data, secret_word(7)) == (4 if shift == 0 else -1)


@pytest.mark.parametrize("at", [0, PAGE, 3 * PAGE - 1, 70 * PAGE, 200 * PAGE - 1])
def test_a_canary_sees_each_byte(at: int) -> None:
    memory = memoryview(bytearray(200 * PAGE))
    canary = Canary(memory, 2 * PAGE, secret_word(1))
    canary.keep(0, 2 * PAGE)
    canary.look_everywhere()
    memory[at] ^= 1
    with pytest.raises(CanaryError, match="neighbour's memory at"):
        canary.look_everywhere()


FIGURES = ProcessFigures(9, 27, 100_000, 2_000_000, 1.0)


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        (ProcessFigures(9, 27, 140_000, 9_000_000, 7.0), None),
        (ProcessFigures(10, 27, 100_000, 2_000_000, 1.0), "10 threads, 9 before"),
        (ProcessFigures(9, 28, 100_000, 2_000_000, 1.0), "28 descriptors, 27 before"),
        (ProcessFigures(9, 27, 250_000, 2_000_000, 1.0), "250000 resident_kib"),
        (ProcessFigures(11, 31, 100_000, 2_000_000, 1.0, 2), None),
        (ProcessFigures(12, 31, 100_000, 2_000_000, 1.0, 2), "12 threads, 9 before (2 more"),
        (ProcessFigures(11, 32, 100_000, 2_000_000, 1.0, 2), "32 descriptors, 27 before (4 more"),
        (ProcessFigures(9, 27, 100_000, 2_000_000, 1.0, 3), "3 children, 2 allowed"),
    ],
)
def test_leftovers_are_told(after: ProcessFigures, complaint: str | None) -> None:
    found = list(verdict.leftovers("afterwards", FIGURES, after))
    assert bool(found) == (complaint is not None)
    assert all(complaint in text for text in found if complaint)


def test_compilers_that_run_already_are_not_allowed_for_again() -> None:
    before = ProcessFigures(11, 31, 100_000, 2_000_000, 1.0, 2)
    after = ProcessFigures(12, 31, 100_000, 2_000_000, 1.0, 2)
    assert len(list(verdict.leftovers("afterwards", before, after))) == 1


def test_times_fail_by_their_bounds() -> None:
    record = Record("shadow", "private", 1, 10.0)
    record.rates.entitled, record.rates.lowest = 50.0, 44.0
    record.worst_round_s = record.worst_own_s = 0.3
    assert list(verdict.timing(record, None)) == []
    assert len(list(verdict.timing(record, verdict.Bounds()))) == 2
    record.worst_own_s = 11.0
    assert len(list(verdict.timing(record, None))) == 1
    record.holdings.idle_cpu_s = 0.2
    assert len(list(verdict.idleness(record))) == 1


def test_a_summary_that_blames_an_honest_guest_is_told() -> None:
    line = {"name": "vgpu1", "share": 0.5, "rejections": {}, "hangs": 0, "engine_resets": 0}
    assert list(verdict.summaries([line], {"vgpu1"})) == []
    assert len(list(verdict.summaries([line | {"hangs": 1}], {"vgpu1"}))) == 1
    assert list(verdict.summaries([line | {"hangs": 1}], {"vgpu2"})) == []
    assert len(list(verdict.summaries([line | {"share": 1.5}], set()))) == 1


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("Traceback (most recent call last):", True),
        ("2026-11-30 level=error logger=mediator.dispatcher event=x", True),
        ("level=info logger=mediator.vgpu.vgpu event='vgpu0: rcs0 reports an error'", False),
        ("level=warning logger=mediator.vgpu.vgpu event='vgpu0: rcs0 hangs'", False),
    ],
)
def test_what_the_log_must_not_have(line: str, bad: bool) -> None:
    assert is_complaint(line) == bad


def test_figures_of_a_process() -> None:
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        before = process_figures(os.getpid())
        child.communicate(b"\n")
    os.close(read)
    os.close(write)
    after = process_figures(os.getpid())
    assert before.children - after.children == 1
    assert before.descriptors - after.descriptors == 3
    assert before.threads >= 1
    assert before.resident_kib > 1000
    assert before.address_space_kib >= before.resident_kib
    assert 0 < before.cpu_s <= after.cpu_s


def test_a_report_names_what_repeats_it(tmp_path: Path) -> None:
    record = Record("direct", "ballooned", 99, 10.0, violations=["the neighbour ended"])
    record.slow_rounds.append(SlowRound(Span(1.0, 0.5), ["3.7 rings.tail_moves"]))
    record.last_episode, record.last_step = 3, 7
    record.write(tmp_path / "record.json")
    text = report(record)
    assert "FAILED: the neighbour ended" in text
    assert "3.7 rings.tail_moves" in text
    assert again(record) in text
    assert "--mode direct/ballooned --seed 99 --episode 3 --steps 8" in text


# -- the attacker ----------------------------------------------------------------------------------


def test_actions_are_named_once() -> None:
    names = [action.name for action in (*ACTIONS, *KERNELS, *ENDINGS)]
    assert len(names) == len(set(names))
    assert "rings.tail_moves" in names


def test_a_step_is_the_same_whatever_came_before() -> None:
    one, two = chance_of(5, 3, 11), chance_of(5, 3, 11)
    assert [one.edge() for _ in range(50)] == [two.edge() for _ in range(50)]
    assert chance_of(5, 3, 12).getrandbits(64) != chance_of(5, 3, 11).getrandbits(64)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path, SHADOW) as made:
        yield made


def test_the_attacker_knows_the_secret_when_it_has_it(shared: Rig) -> None:
    with AttackerGuest(shared.paths[0], secret_word(1), mark_word(1)) as guest:
        guest.initialise()
        guest.look_for_loot()
        guest.prove_usable()
        guest.driver.ram.write_u32(guest.own, secret_word(1))
        with pytest.raises(Stolen):
            guest.read(2, guest.own_ggtt, 16)
        with pytest.raises(Stolen):
            guest.look_for_loot()
    assert guest.own_ggtt < GUEST_GGTT_SIZE
