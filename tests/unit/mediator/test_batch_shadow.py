"""Shadows of privileged batches: chains, calls, loops, fixed lengths, translation, limits."""

from __future__ import annotations

from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.workload import batch_shadow
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_stream import Target
from tests.unit.mediator import audit_bench
from tests.unit.mediator import command_corpus as corpus
from tests.unit.mediator.audit_bench import (
    BATCH,
    BATCH_END,
    END,
    FOREIGN,
    NOOP,
    PAGE,
    REFUSED,
    SCRATCH,
    SECOND_LEVEL,
    SHADOWS,
    START,
    USER,
    VALUE,
    VIRTUAL,
    FakeView,
    audit,
)

OTHER = BATCH + 0x4000
ARB_CHECK = 0x05 << 23
SET_PREDICATE = 0x01 << 23


def shadow(
    *batches: tuple[int, list[int]], view: FakeView | None = None
) -> tuple[FakeView, BatchShadow, int]:
    """Put ``batches`` into memory and shadow the first."""
    view = view or FakeView()
    for address, dwords in batches:
        view.put(address, dwords)
    shadows = BatchShadow(view)
    return view, shadows, shadows.shadow(Target(batches[0][0]))


def hardware(view: FakeView, shadows: BatchShadow, guest: int) -> int:
    """Where the copy of the command at the guest's GGTT address ``guest`` lies."""
    places = (at + 4 * n for at, room in view.rooms.items() for n in range(len(room)))
    return next(at for at in places if shadows.to_guest(at) == Target(guest))


def reason(*batches: tuple[int, list[int]]) -> Reason:
    with pytest.raises(GuestError) as caught:
        shadow(*batches)
    return caught.value.reason


def test_a_batch_is_copied_patched_and_ended() -> None:
    view, _, address = shadow(
        (BATCH + 8, [0x22 << 23 | 1, REFUSED, 1, ARB_CHECK, BATCH_END, 0x3F << 23])
    )
    assert address == SHADOWS
    assert view.placed(address, 7) == [0, 0, 0, ARB_CHECK, BATCH_END, BATCH_END, 0]


def test_the_copy_is_what_was_audited() -> None:
    view = FakeView()
    view.put(BATCH, [ARB_CHECK, BATCH_END])
    shadows = BatchShadow(view)
    address = shadows.shadow(Target(BATCH))
    view.put(BATCH, [0x3F << 23, BATCH_END])
    assert view.placed(address, 2) == [ARB_CHECK, BATCH_END]
    assert shadows.shadow(Target(BATCH)) == address
    shadows.begin()
    with pytest.raises(GuestError):
        shadows.shadow(Target(BATCH))


def test_a_copy_takes_no_more_room_than_it_has_dwords() -> None:
    view, shadows, _ = shadow((BATCH, [ARB_CHECK, NOOP, START, OTHER, 0]), (OTHER, [BATCH_END]))
    assert list(view.sizes.values()) == [4 * 6, 4 * 2]
    shadows.shadow_fixed(OTHER + PAGE, 64)
    assert list(view.sizes.values())[2:] == [64]


def test_a_page_is_read_once() -> None:
    jump = [START | SECOND_LEVEL, BATCH + 0x100, 0]
    view, _, _ = shadow(
        (BATCH, [*jump, START | SECOND_LEVEL, BATCH + 0x104, 0, BATCH_END]),
        (BATCH + 0x100, [NOOP, ARB_CHECK, BATCH_END]),
    )
    assert view.reads == [BATCH]


def test_a_batch_across_pages() -> None:
    long = [ARB_CHECK] * 1020
    view, shadows, address = shadow((BATCH + 0xFF0, [*long, BATCH_END]))
    assert view.placed(address, 1021) == [*long, BATCH_END]
    assert view.reads == [BATCH, BATCH + PAGE]
    assert shadows.to_guest(address + 0x800) == Target(BATCH + 0x17F0)


def test_a_command_across_pages() -> None:
    view, _, address = shadow((BATCH + 0xFFC, [0x22 << 23 | 3, 0x2600, 1, REFUSED, 2, BATCH_END]))
    assert view.placed(address, 6) == [0x22 << 23 | 1, 0x2600, 1, 0, 0, BATCH_END]


@pytest.mark.parametrize("flags", [0, SECOND_LEVEL, 1 << 15])
def test_a_batch_that_a_batch_starts(flags: int) -> None:
    view, shadows, address = shadow(
        (BATCH, [START | flags, OTHER, 0xFFFF, BATCH_END]), (OTHER, [ARB_CHECK, BATCH_END])
    )
    other = hardware(view, shadows, OTHER)
    assert view.placed(address, 3) == [START | flags, other, 0]
    assert view.placed(other, 2) == [ARB_CHECK, BATCH_END]


def test_nothing_is_run_after_a_chain_even_if_predication_passes_it_over() -> None:
    view, shadows, address = shadow(
        (BATCH, [SET_PREDICATE | 15, START, OTHER, 0, 0x3F << 23, FOREIGN]), (OTHER, [BATCH_END])
    )
    other = hardware(view, shadows, OTHER)
    assert view.placed(address, 6) == [SET_PREDICATE | 15, START, other, 0, BATCH_END, 0]


def test_what_stands_behind_a_jump_that_may_not_be_taken_is_audited() -> None:
    for flags in (SECOND_LEVEL, 1 << 15, SECOND_LEVEL | USER, 1 << 15 | USER):
        start = [START | flags, OTHER, 0, 0x3F << 23]
        assert reason((BATCH, start), (OTHER, [BATCH_END])) is Reason.UNKNOWN_COMMAND
    shadow((BATCH, [START | USER, FOREIGN, 0, 0x3F << 23]))


def test_a_batch_without_privilege_is_left_alone() -> None:
    view, _, address = shadow((BATCH, [START | USER | SECOND_LEVEL, FOREIGN, 1, BATCH_END]))
    assert view.placed(address, 3) == [START | USER | SECOND_LEVEL, FOREIGN, 1]
    assert len(view.rooms) == 1


def test_loops_stay_loops() -> None:
    view, shadows, address = shadow(
        (BATCH, [ARB_CHECK, ARB_CHECK, START | 1 << 15, BATCH + 4, 0, START, BATCH, 0])
    )
    assert len(view.rooms) == 1
    expected = [ARB_CHECK, ARB_CHECK, START | 1 << 15, address + 4, 0, START, address, 0, BATCH_END]
    assert view.placed(address, 9) == expected
    assert hardware(view, shadows, BATCH + 4) == address + 4


def test_a_ring_of_batches() -> None:
    batches = [BATCH + 0x100 * n for n in range(8)]
    starts = zip(batches, [*batches[1:], batches[0]], strict=True)
    view, shadows, address = shadow(*((at, [START, to, 0]) for at, to in starts))
    at = address
    for guest in [*batches[1:], batches[0]]:
        at = view.placed(at, 2)[1]
        assert shadows.to_guest(at) == Target(guest)
    assert at == address


def test_a_jump_into_a_command_makes_another_shadow() -> None:
    stream = [0x22 << 23 | 1, ARB_CHECK, BATCH_END, START, BATCH + 4, 0]
    view, shadows, address = shadow((BATCH, stream))
    inner = view.placed(address, 5)[4]
    assert inner != address + 4
    assert view.placed(inner, 2) == [ARB_CHECK, BATCH_END]
    assert shadows.to_guest(inner) == Target(BATCH + 4)
    assert reason((BATCH, [0x22 << 23 | 1, 0x3F << 23, 0, START, BATCH + 4, 0])) is (
        Reason.UNKNOWN_COMMAND
    )


def test_performance_wait_of_i915() -> None:
    stream = corpus.performance_wait()
    view, shadows, address = shadow((BATCH, stream))
    assert view.rejected == []
    assert len(view.rooms) == 1
    placed = view.placed(address, len(stream))
    changed = [i for i in range(len(stream)) if placed[i] != stream[i]]
    assert [shadows.to_guest(placed[i]) for i in changed] == [Target(stream[i]) for i in changed]
    assert len(changed) == 2


def test_golden_state_of_i915() -> None:
    stream = corpus.golden_state()
    view, _, address = shadow((BATCH, stream))
    assert view.placed(address, len(stream)) == stream


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (FOREIGN, Reason.ADDRESS),
        (SHADOWS, Reason.ADDRESS),
        (END - 4, Reason.ADDRESS),  # no end before the end of what is owned
        (0, Reason.ADDRESS),
    ],
)
def test_a_batch_outside_the_vgpus_memory(start: int, found: Reason) -> None:
    assert reason((BATCH, [START, start, 0])) is found


def test_too_much_of_everything() -> None:
    many = [START | SECOND_LEVEL, OTHER, 0] * (batch_shadow.MAX_JUMPS + 1)
    assert reason((BATCH, [*many, BATCH_END]), (OTHER, [BATCH_END])) is Reason.TOO_LARGE
    calls = [d for n in range(257) for d in (START | SECOND_LEVEL, OTHER + 8 * n, 0)]
    ends = [NOOP, BATCH_END] * 257
    assert reason((BATCH, [*calls, BATCH_END]), (OTHER, ends)) is Reason.TOO_LARGE


@pytest.mark.parametrize("over", [0, 1])
def test_so_many_batches_and_no_more(monkeypatch: pytest.MonkeyPatch, over: int) -> None:
    """The limits are for all that one batch leads to, itself included."""
    monkeypatch.setattr(audit_bench, "ROOM_PAGES", 256)
    jumps = [START | SECOND_LEVEL, OTHER, 0] * (batch_shadow.MAX_JUMPS + over)
    calls = [d for n in range(255 + over) for d in (START | SECOND_LEVEL, OTHER + 8 * n, 0)]
    for batches in (
        ((BATCH, [*jumps, BATCH_END]), (OTHER, [BATCH_END])),
        ((BATCH, [*calls, BATCH_END]), (OTHER, [NOOP, BATCH_END] * 256)),
    ):
        if over:
            assert reason(*batches) is Reason.TOO_LARGE
        else:
            shadow(*batches)


@pytest.mark.parametrize("over", [0, 1])
def test_a_batch_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch, over: int) -> None:
    monkeypatch.setattr(batch_shadow, "MAX_DWORDS", 2048)
    batch = BATCH, [*[ARB_CHECK] * (2047 + over), BATCH_END]
    if over:
        assert reason(batch) is Reason.TOO_LARGE
    else:
        view, _, address = shadow(batch)
        assert view.placed(address, 2048) == batch[1]


def test_all_batches_of_an_audit_are_so_long_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next audit looks at as many again."""
    monkeypatch.setattr(batch_shadow, "MAX_DWORDS", 2048)
    view = FakeView()
    view.put(BATCH, [*[ARB_CHECK] * 1023, BATCH_END] * 3)
    shadows = BatchShadow(view)
    for _ in range(2):
        shadows.begin()
        shadows.shadow(Target(BATCH))
        shadows.shadow(Target(BATCH + PAGE))
        with pytest.raises(GuestError) as caught:
            shadows.shadow(Target(BATCH + 2 * PAGE))
        assert caught.value.reason is Reason.TOO_LARGE


def test_fixed_length() -> None:
    view = FakeView()
    stream = corpus.indirect_context()
    view.put(BATCH + 0x40, [*stream, 0x3F << 23])
    shadows = BatchShadow(view)
    address = shadows.shadow_fixed(BATCH + 0x40, 4 * len(stream))
    assert view.placed(address, len(stream) + 1) == [*stream, 0]
    assert shadows.to_guest(address + 8) == Target(BATCH + 0x48)
    assert shadows.shadow_fixed(BATCH + 0x40, 4 * len(stream)) == address
    view.put(BATCH + 0x40, [ARB_CHECK])
    shadows.begin()
    assert shadows.shadow_fixed(BATCH + 0x40, 4 * len(stream)) != address


@pytest.mark.parametrize("stream", [[BATCH_END], [NOOP] * 15 + [0x12 << 23], [0x3F << 23]])
def test_fixed_length_refused(stream: list[int]) -> None:
    view = FakeView()
    view.put(BATCH, stream)
    with pytest.raises(GuestError):
        BatchShadow(view).shadow_fixed(BATCH, 64)


@pytest.mark.parametrize(("address", "length"), [(BATCH, 0), (BATCH, 6), (BATCH + 2, 64)])
def test_fixed_length_that_makes_no_sense(address: int, length: int) -> None:
    with pytest.raises(GuestError):
        BatchShadow(FakeView()).shadow_fixed(address, length)


def test_fixed_length_that_starts_a_batch() -> None:
    view = FakeView()
    view.put(BATCH, [START, OTHER, 0])
    view.put(OTHER, [BATCH_END])
    shadows = BatchShadow(view)
    address = shadows.shadow_fixed(BATCH, 64)
    assert view.placed(address, 3) == [START, hardware(view, shadows, OTHER), 0]
    shadows.begin()
    view.put(OTHER, [ARB_CHECK, BATCH_END])
    again = shadows.shadow_fixed(BATCH, 64)
    assert view.placed(view.placed(again, 2)[1], 2) == [ARB_CHECK, BATCH_END]


def test_an_unchanged_batch_keeps_its_place() -> None:
    view, shadows, address = shadow((BATCH, [0x24 << 23 | 2, VIRTUAL, SCRATCH, 0, BATCH_END]))
    shadows.begin()
    assert shadows.shadow(Target(BATCH)) == address
    view.values[VIRTUAL] = VALUE + 1
    shadows.begin()
    assert shadows.shadow(Target(BATCH)) != address


def test_places_in_a_copy_translate() -> None:
    _, shadows, address = shadow((BATCH, [0x22 << 23 | 1, 0x2600, 0, NOOP, BATCH_END]))
    places = [shadows.to_guest(address + 4 * n) for n in range(-1, 7)]
    known: list[Target | None] = [Target(BATCH + 4 * n) for n in range(6)]
    assert places == [None, *known, None]


def test_counts_of_batches_are_counted_with_the_ring() -> None:
    view = FakeView()
    view.put(BATCH, [ARB_CHECK, START | USER | SECOND_LEVEL, FOREIGN, 0, BATCH_END])
    found = audit([START, BATCH, 0, ARB_CHECK], view)
    assert (found.counts.commands, found.counts.user_batches) == (5, 1)


def test_a_shadow_has_so_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of them is the process's memory, not the slot's room."""
    monkeypatch.setattr(batch_shadow, "MOST_PLACED", 3)
    view = FakeView()
    shadows = BatchShadow(view)
    shadows.begin()
    for at in (BATCH, BATCH + 64, BATCH + 128, BATCH + 192):
        view.put(at, [NOOP, BATCH_END])
    view.put(BATCH + 192, [START, BATCH + 196, 0, BATCH_END])
    placed = [shadows.shadow(Target(at)) for at in (BATCH, BATCH + 64)]
    with pytest.raises(GuestError) as caught:
        shadows.shadow(Target(BATCH + 192))
    assert caught.value.reason is Reason.TOO_LARGE
    shadows.shadow(Target(BATCH + 128))
    shadows.begin()
    assert [shadows.shadow(Target(at)) for at in (BATCH, BATCH + 64)] == placed
    with pytest.raises(GuestError):
        shadows.shadow(Target(BATCH + 4))


def test_of_many_batches_few_are_looked_at_to_name_one() -> None:
    """A guest may have thousands, and ask where its engine stands as often as it likes."""
    view, looks = FakeView(), list[int]()
    shadows = BatchShadow(view)
    shadows.begin()
    batches = range(BATCH, BATCH + 60 * 64, 64)
    for at in batches:
        view.put(at, [BATCH_END])
    placed = [shadows.shadow(Target(at)) for at in batches]

    class Looked(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            looks.append(index)
            return super().__getitem__(index)

    shadows._placed = Looked(shadows._placed)
    assert [shadows.to_guest(at) for at in placed] == [Target(at) for at in batches]
    assert shadows.to_guest(placed[0] - 4) is None
    assert shadows.to_guest(placed[-1] + 64) is None
    assert len(looks) <= 8 * (len(placed) + 2)
