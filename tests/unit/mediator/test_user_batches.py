"""Copies of user batches: chains, calls, gaps, games with pages, places; no GPU."""

from __future__ import annotations

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.commands import decode
from mediator.gen9.engines import EngineClass
from mediator.workload import batch_shadow
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_stream import Target
from tests.unit.mediator.audit_bench import (
    BATCH,
    BATCH_END,
    NOOP,
    PAGE,
    SECOND_LEVEL,
    START,
    USER,
    FakeView,
    audit,
    refused,
)

HERE, THERE = 0x7F12_3450_0000, 0x7F12_3460_0000
ARB_CHECK = 0x05 << 23
STORE = 0x20 << 23 | 2
LOAD = [0x22 << 23 | 1, 0x22230, 0xBAD]
"""MI_LOAD_REGISTER_IMM of ELSP."""
END_IF = 0x36 << 23 | 1 << 21 | 2


def fault(address: int) -> list[int]:
    """How a copy ends where a page is missing: what reads there, and ends if it is there."""
    return [END_IF, 0xFFFF_FFFF, address & 0xFFFF_FFFF, address >> 32, BATCH_END]


def start(address: int, flags: int = USER) -> list[int]:
    return [START | flags, address & 0xFFFF_FFFF, address >> 32]


@pytest.fixture
def view() -> FakeView:
    return FakeView(engine_class="BCS", copies_user_batches=True)


@pytest.fixture
def shadows(view: FakeView) -> BatchShadow:
    return BatchShadow(view)


def shadow(shadows: BatchShadow, address: int = HERE) -> int:
    shadows.begin()
    return shadows.shadow(Target(address, user=True))


def test_a_user_batch_of_the_ring_runs_as_a_copy_in_the_ggtt(view: FakeView) -> None:
    view.put_user(HERE + 8, [*LOAD, STORE, 1, 2, 3, BATCH_END, 0x3F << 23])
    found = audit([*start(HERE + 8), NOOP], view)
    header, copy, upper, _ = found.dwords
    assert (header, upper) == (START, 0)
    assert view.placed(copy, 9) == [0, 0, 0, STORE, 1, 2, 3, BATCH_END, BATCH_END]
    assert found.batches.to_guest(copy + 12) == Target(HERE + 20, user=True)
    assert found.reasons == ["register"]
    assert found.counts.user_batches == 1


@pytest.mark.parametrize("engine", ["RCS", "VCS", "VECS"])
def test_other_engines_hold_user_batches_back_themselves(engine: EngineClass) -> None:
    view = FakeView(engine_class=engine)
    commands = [*start(HERE), NOOP]
    assert audit(commands, view).dwords == commands
    assert view.rooms == {}


def test_the_copy_is_what_was_audited(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [ARB_CHECK, *[NOOP] * 3, BATCH_END])
    copy = shadow(shadows)
    view.put_user(HERE, [*LOAD, NOOP, BATCH_END])
    assert view.placed(copy, 5) == [ARB_CHECK, *[NOOP] * 3, BATCH_END]
    assert shadow(shadows) != copy
    view.user_pages[HERE] = view.user_pages.pop(HERE)[:]
    view.put_user(HERE, [ARB_CHECK, *[NOOP] * 3, BATCH_END])
    assert view.placed(copy, 5) == [ARB_CHECK, *[NOOP] * 3, BATCH_END]


def test_an_unchanged_batch_keeps_its_place(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [ARB_CHECK, BATCH_END])
    copy = shadow(shadows)
    assert shadow(shadows) == copy
    assert len(view.rooms) == 1


@pytest.mark.parametrize("flags", [0, USER, SECOND_LEVEL, SECOND_LEVEL | USER, 1 << 15 | USER])
def test_what_a_user_batch_starts_is_a_users_too(
    view: FakeView, shadows: BatchShadow, flags: int
) -> None:
    """Also without the bit that says so: who has no privilege gives none away."""
    view.put_user(HERE, [*start(THERE, flags), BATCH_END])
    view.put_user(THERE, [*LOAD, BATCH_END])
    copy = shadow(shadows)
    header, other, upper = view.placed(copy, 3)
    assert (header, upper) == (START | flags & ~USER, 0)
    assert view.placed(other, 4) == [0, 0, 0, BATCH_END]
    assert shadows.to_guest(other) == Target(THERE, user=True)


def test_a_privileged_batch_may_start_a_users(view: FakeView) -> None:
    view.put(BATCH, [*LOAD, *start(HERE, USER | SECOND_LEVEL), BATCH_END])
    view.put_user(HERE, [*LOAD, BATCH_END])
    found = audit([START, BATCH, 0, NOOP], view)
    privileged = found.dwords[1]
    assert view.placed(privileged, 3) == LOAD
    header, copy, _ = view.placed(privileged + 12, 3)
    assert header == START | SECOND_LEVEL
    assert view.placed(copy, 4) == [0, 0, 0, BATCH_END]


def test_the_same_address_in_both_spaces_is_two_batches(view: FakeView) -> None:
    view.put(BATCH, [ARB_CHECK, BATCH_END])
    view.put_user(BATCH, [0x02 << 23, BATCH_END])
    found = audit([START, BATCH, 0, *start(BATCH), START, BATCH, 0, NOOP], view)
    first, second, third = found.dwords[1:8:3]
    assert first == third != second
    assert view.placed(first, 2) == [ARB_CHECK, BATCH_END]
    assert view.placed(second, 2) == [0x02 << 23, BATCH_END]


def test_loops_stay_loops(view: FakeView, shadows: BatchShadow) -> None:
    """IGT's spinner: it ends itself when memory says so, or goes on at its beginning."""
    view.put_user(HERE, [ARB_CHECK, END_IF, 0, 0x40, 1, *start(HERE)])
    copy = shadow(shadows)
    assert view.placed(copy, 8) == [ARB_CHECK, END_IF, 0, 0x40, 1, START, copy, 0]
    assert len(view.rooms) == 1


def test_a_jump_into_a_command_makes_another_copy(view: FakeView, shadows: BatchShadow) -> None:
    """Operands that are commands if one begins there are audited as such."""
    view.put_user(HERE, [STORE, *LOAD, *start(HERE + 4)])
    copy = shadow(shadows)
    inner = view.placed(copy, 6)[5]
    assert view.placed(copy, 4) == [STORE, *LOAD]
    assert inner not in range(copy, copy + 32)
    assert view.placed(inner, 3) == [0, 0, 0]
    assert view.rejected


def test_an_endless_chain_is_refused(view: FakeView, shadows: BatchShadow) -> None:
    for n in range(300):
        view.put_user(HERE + 64 * n, start(HERE + 64 * n + 64))
    with pytest.raises(GuestError) as caught:
        shadow(shadows)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_batch_at_an_offset_is_refused(view: FakeView) -> None:
    view.put_user(HERE, [BATCH_END])
    assert refused([*start(HERE, USER | 1 << 16), NOOP], view) is Reason.BAD_COMMAND


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([0x3F << 23], "unknown-command"),
        ([0x7A00_0003, 0, 0, 0, 0], "unknown-command"),
        ([0x24 << 23 | 9, 0x22358, 1, 2], "bad-command"),
        ([START | USER | 1 << 16, 0, 0], "bad-command"),
    ],
    ids=["unknown", "another engine's", "too long", "at an offset"],
)
def test_hardware_stands_where_a_command_is_refused(
    view: FakeView, shadows: BatchShadow, bad: list[int], why: str
) -> None:
    """What is before it runs, as natively; it and what follows are not in the copy."""
    view.put_user(HERE, [ARB_CHECK, STORE, 1, 2, 3, *bad, *LOAD, BATCH_END])
    copy = shadow(shadows)
    assert view.placed(copy, 7) == [ARB_CHECK, STORE, 1, 2, 3, 7 << 29, BATCH_END]
    assert decode(7 << 29, "BCS") is None
    assert [reason for reason, _ in view.rejected] == [why]
    assert shadows.to_guest(copy + 20) == Target(HERE + 20, user=True)


def test_a_jump_to_a_refused_command_stands_there(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [ARB_CHECK, *start(THERE)])
    view.put_user(THERE, [0x3F << 23])
    copy = shadow(shadows)
    assert view.placed(view.placed(copy, 3)[2], 2) == [7 << 29, BATCH_END]


# -- gaps -----------------------------------------------------------------------------------------


def test_a_batch_that_is_not_there_faults_at_its_address(
    view: FakeView, shadows: BatchShadow
) -> None:
    copy = shadow(shadows, HERE + 0x120)
    assert view.placed(copy, 5) == fault(HERE + 0x120)
    assert shadows.to_guest(copy) == Target(HERE + 0x120, user=True)


def test_jumps_into_a_gap_fault_there(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [*start(THERE, SECOND_LEVEL), *start(THERE)])
    copy = shadow(shadows)
    first, second = view.placed(copy, 5)[1::3]
    assert first == second
    assert view.placed(first, 5) == fault(THERE)
    assert len(view.rooms) == 2


def test_a_batch_that_runs_into_a_gap_faults_there(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [ARB_CHECK] * 1024)
    copy = shadow(shadows)
    assert view.placed(copy + PAGE - 4, 6) == [ARB_CHECK, *fault(HERE + PAGE)]
    assert shadows.to_guest(copy + PAGE) == Target(HERE + PAGE, user=True)
    assert shadows.to_guest(copy + PAGE + 16) == Target(HERE + PAGE, user=True)


@pytest.mark.parametrize("there", [1, 2, 3])
def test_a_command_across_a_gap_does_not_run(
    view: FakeView, shadows: BatchShadow, there: int
) -> None:
    command = [STORE, 1, 2, 3][:there]
    view.put_user(HERE, [ARB_CHECK] * (1024 - there) + command)
    copy = shadow(shadows)
    end = copy + PAGE - 4 * there
    assert view.placed(end - 4, 6) == [ARB_CHECK, *fault(HERE + PAGE)]
    view.put_user(HERE + PAGE, [1, 2, 3, *LOAD, BATCH_END])
    assert view.placed(end - 4, 6) == [ARB_CHECK, *fault(HERE + PAGE)]


def test_a_gap_behind_the_end_is_nothing(view: FakeView, shadows: BatchShadow) -> None:
    view.put_user(HERE, [ARB_CHECK] * 1023 + [BATCH_END])
    copy = shadow(shadows)
    assert view.placed(copy + PAGE - 8, 2) == [ARB_CHECK, BATCH_END]
    assert END_IF not in view.placed(copy, 1024)


def test_addresses_go_round_the_end_of_the_space(view: FakeView, shadows: BatchShadow) -> None:
    last = (1 << 48) - 8
    view.put_user(last, [ARB_CHECK, ARB_CHECK, *LOAD, BATCH_END])
    copy = shadow(shadows, last)
    assert view.placed(copy, 6) == [ARB_CHECK, ARB_CHECK, 0, 0, 0, BATCH_END]


# -- limits ---------------------------------------------------------------------------------------


def test_long_batches_are_read_in_pieces(view: FakeView, shadows: BatchShadow) -> None:
    long = [STORE, 1, 2, 3] * 5000
    view.put_user(HERE + 0x3F0, [*long, *LOAD, *long, BATCH_END])
    copy = shadow(shadows, HERE + 0x3F0)
    assert view.placed(copy, len(long)) == long
    rest = view.placed(copy + 4 * len(long), len(long) + 4)
    assert rest == [0, 0, 0, *long, BATCH_END]


@pytest.mark.parametrize("over", [0, 1])
def test_so_much_the_audit_looks_at_and_no_more(
    view: FakeView, shadows: BatchShadow, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    """Each audit anew, of all batches together; it reads as much again as it has, or to a gap."""
    monkeypatch.setattr(batch_shadow, "MAX_USER_DWORDS", 2048)
    view.put_user(HERE, [*[ARB_CHECK] * (2047 + over), BATCH_END])
    for _ in range(2):
        if over:
            with pytest.raises(GuestError) as caught:
                shadow(shadows)
            assert caught.value.reason is Reason.TOO_LARGE
        else:
            assert view.placed(shadow(shadows), 2048)[-1] == BATCH_END
            with pytest.raises(GuestError):
                shadows.shadow(Target(HERE + 4, user=True))


def test_a_place_within_a_privileged_batch_is_another_in_the_contexts_space(
    view: FakeView,
) -> None:
    """The same address, and in the other space a command begins there too."""
    view.put(BATCH, [ARB_CHECK, ARB_CHECK, *start(BATCH + 4, USER | SECOND_LEVEL), BATCH_END])
    view.put_user(BATCH + 4, [*LOAD, BATCH_END])
    found = audit([START, BATCH, 0, NOOP], view)
    privileged = found.dwords[1]
    copy = view.placed(privileged, 4)[3]
    assert view.placed(copy, 4) == [0, 0, 0, BATCH_END]
    assert found.batches.to_guest(copy) == Target(BATCH + 4, user=True)


def test_a_command_at_which_hardware_stands_counts_as_one(view: FakeView) -> None:
    view.put_user(HERE, [0x3F << 23, BATCH_END])
    found = audit([*start(HERE), NOOP], view)
    assert found.counts.dropped == 1
    assert len(view.rejected) == 1
