"""The walk over rings, and the streams that it must take: all that i915 emits for Gen9."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.errors import GuestError, Reason
from mediator.gen9.engines import EngineClass
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import Counts, Stream, audit_ring, scan
from mediator.workload.command_stream import AUDIT_WORK, MOST_DROPPED, UPDATE_WORK
from tests.unit.mediator import command_corpus as corpus
from tests.unit.mediator.audit_bench import (
    BASES,
    BATCH,
    BATCH_END,
    FIRST,
    FOREIGN,
    NOOP,
    REFUSED,
    SCRATCH,
    START,
    USER,
    VIRTUAL,
    FakeView,
    audit,
    refused,
)

STREAMS = [
    *((engine, name) for engine in BASES for name in corpus.RINGS),
    *(("RCS", name) for name in corpus.RENDER_RINGS),
    *(("BCS", name) for name in corpus.COPY_RINGS),
]
BUILDERS = {**corpus.RINGS, **corpus.RENDER_RINGS, **corpus.COPY_RINGS}


@pytest.mark.parametrize(("engine", "name"), STREAMS)
def test_valid_streams_pass_unchanged(engine: EngineClass, name: str) -> None:
    stream = list(BUILDERS[name](engine))
    view = FakeView(engine)
    view.put(BATCH, corpus.golden_state() if engine == "RCS" else [BATCH_END])
    found = audit(stream, view)
    if name == "secure batch":
        start = stream.index(BATCH)
        stream[start] = next(iter(view.rooms))
    assert found.dwords == stream
    assert view.rejected == []


LONGEST = 512 << 10
"""Bytes of ring that are looked at in one submission."""


def full_ring(stream: Sequence[int]) -> list[int]:
    """As often as it goes into what is looked at at once."""
    return list(stream) * (LONGEST // 4 // len(stream))


@pytest.mark.parametrize("name", ["request", "request of a vGPU", "semaphore", "padding"])
def test_as_much_as_i915_can_submit_at_once_passes(name: str) -> None:
    found = audit(full_ring(BUILDERS[name]("RCS")), ring_dwords=LONGEST // 2)
    assert found.view.rejected == []
    assert found.counts.work <= AUDIT_WORK


FLOODS: dict[str, Sequence[int]] = {
    "stores": [0x20 << 23 | 2 | 1 << 22, SCRATCH, 0, 1],
    "registers": [0x22 << 23 | 1, 0x2600, 0],
    "many registers": [0x22 << 23 | 119, *[0x2600, 0] * 60],
    "registers stored": [0x24 << 23 | 2, 0x2600, SCRATCH, 0],
    "refused registers": [0x22 << 23 | 1, REFUSED, 0],
    "many refused registers": [0x22 << 23 | 119, *[REFUSED, 0] * 60],
    "refused reads": [0x2A << 23 | 1, REFUSED, REFUSED],
    "virtual registers": [0x22 << 23 | 119, *[VIRTUAL, 0] * 60],
    "virtual registers stored": [0x24 << 23 | 2, VIRTUAL, SCRATCH, 0],
    "what is shared": [0x03 << 23],
    "entries": [0x23 << 23 | 2, FIRST, 0, 0],
    "many entries": [0x23 << 23 | 0x3FE, FIRST, *[0] * 1022],
    "arbitration": [0x08 << 23],
    "user batches": [START | USER, 0x10_0000, 0],
    "checks": [0x05 << 23],
    "writes of a pipe": [0x7A00_0004, 1 << 14 | 1 << 24, SCRATCH, 0, 0, 0],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_cut_off(name: str) -> None:
    """What takes long is refused as too much, or took no more work than is allowed.

    In work and not in time: a busy machine refuses the same and accepts the same.
    """
    view = FakeView()
    batches = BatchShadow(view)
    counts = batches.begin()
    dwords = full_ring(FLOODS[name])
    ring = memoryview(array("I", [*dwords, *[NOOP] * len(dwords)]))
    batches.begin = lambda: counts  # type: ignore[method-assign]
    assert outcome(view, batches, ring, 4 * len(dwords)) in (None, Reason.TOO_LARGE)
    most_at_once = 3 * 1024 + 2 * 1024
    assert counts.work <= AUDIT_WORK + most_at_once
    assert len(view.rejected) == counts.dropped - (counts.dropped > MOST_DROPPED)
    assert counts.dropped <= MOST_DROPPED + 1
    assert len(view.updates) <= AUDIT_WORK // UPDATE_WORK


def outcome(view: FakeView, batches: BatchShadow, ring: memoryview, tail: int) -> Reason | None:
    """Why a ring is refused; None: it is not."""
    try:
        audit_ring(view, batches, ring, 0, tail)
    except GuestError as error:
        return error.reason
    return None


def test_what_is_left_out_of_one_submission_has_a_limit() -> None:
    one = [0x22 << 23 | 1, REFUSED, 0]
    assert audit(one * MOST_DROPPED, ring_dwords=8192).counts.dropped == MOST_DROPPED
    with pytest.raises(GuestError, match="one of over 1024 to be left out") as caught:
        audit(one * (MOST_DROPPED + 1), ring_dwords=8192)
    assert caught.value.reason is Reason.TOO_LARGE


def test_jumps_cost_what_looking_for_them_costs() -> None:
    """Many batches that lead to many others: each of these is looked for once among those before,
    and once among all, and each jump is looked at."""
    view, page = FakeView(), 0x40
    for n in range(48):
        target = BATCH + page * 4 * (n + 1)
        view.put(BATCH + page * 4 * n, [START | 1 << 22, target, 0] * 20 + [BATCH_END])
    view.put(BATCH + page * 4 * 48, [BATCH_END])
    found = audit([START, BATCH, 0, NOOP], view)
    assert found.counts.work > 48 * 49 // 2 + 48 * 49 + 2 * 20 * 48


def test_counts() -> None:
    view = FakeView()
    view.put(BATCH, [NOOP, BATCH_END])
    secure = [START, BATCH, 0]
    user = [START | USER, FOREIGN, 0]
    found = audit([*user, *secure, *user, NOOP, 0x22 << 23 | 1, REFUSED, 0], view)
    assert found.counts == Counts(
        work=37, commands=5, user_batches=2, privileged_batches=1, dropped=1
    )


WRAPS = [0x22 << 23 | 3, REFUSED, 1, 0x2600, 2, *corpus.request("RCS")]
WRAPPED = [0x22 << 23 | 1, 0x2600, 2, 0, 0, *corpus.request("RCS")]
BEGINS = {
    4 * at
    for at, begins in enumerate(
        scan(Stream(FakeView(), Counts(), "", in_ring=True, dwords=array("I", WRAPS)))[0]
    )
    if begins
}


@pytest.mark.parametrize("before_end", range(4, 4 * len(WRAPS), 4))
def test_a_ring_goes_on_at_its_beginning_with_a_command_of_its_own(before_end: int) -> None:
    if before_end in BEGINS:
        assert audit(WRAPS, head=4096 - before_end).dwords == WRAPPED
    else:
        with pytest.raises(GuestError, match="stands across the ring's end") as caught:
            audit(WRAPS, head=4096 - before_end)
        assert caught.value.reason is Reason.BAD_COMMAND
        assert caught.value.offset == max(at for at in BEGINS if at < before_end)


def test_a_ring_may_end_at_its_end() -> None:
    assert audit(WRAPS, head=4096 - 4 * len(WRAPS)).dwords == WRAPPED


def test_a_command_ends_at_the_tail_at_the_latest() -> None:
    assert refused([NOOP, 0x22 << 23 | 1, 0x2600]) is Reason.BAD_COMMAND
    assert refused([0x7A00_0004, 0, 0, 0]) is Reason.BAD_COMMAND


@pytest.mark.parametrize(
    ("head", "tail"), [(0, 0), (4096, 0), (0, 4096), (2, 8), (0, 7), (-4, 8), (8, -4)]
)
def test_impossible_head_or_tail(head: int, tail: int) -> None:
    view = FakeView()
    ring = memoryview(array("I", [0] * 1024))
    with pytest.raises(GuestError) as caught:
        audit_ring(view, BatchShadow(view), ring, head, tail)
    assert caught.value.reason is Reason.RING


def test_a_refused_ring_is_not_touched() -> None:
    view = FakeView()
    stream = [0x22 << 23 | 1, REFUSED, 0, 0x3F << 23, NOOP]
    ring = memoryview(array("I", stream))
    with pytest.raises(GuestError, match=r"ring 0x0\+0xc"):
        audit_ring(view, BatchShadow(view), ring, 0, 16)
    assert ring.tolist() == stream


headers = st.one_of(
    st.integers(0, 0xFFFF_FFFF),
    st.builds(
        lambda opcode, bits, length: opcode << 23 | bits << 16 | length,
        st.integers(0, 0x3F),
        st.integers(0, 0x7F),
        st.integers(0, 16),
    ),
    st.sampled_from([0, 0x7A00_0004, BATCH_END, START, START | USER, 0x5080_0008]),
)
operands = st.one_of(
    st.sampled_from([0, 1, SCRATCH, BATCH, BATCH + 4, FIRST, FOREIGN, 0x2600, REFUSED]),
    st.integers(0, 0xFFFF_FFFF),
)
streams = st.lists(st.one_of(headers, operands), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(
    engine=st.sampled_from(sorted(BASES)),
    ring=streams,
    batch=streams,
    head=st.integers(0, 1023).map(lambda dword: 4 * dword),
)
def test_any_bytes_end_in_an_error_of_the_guest_or_in_counts(
    engine: EngineClass, ring: Sequence[int], batch: Sequence[int], head: int
) -> None:
    view = FakeView(engine)
    view.put(BATCH, batch)
    with suppress(GuestError):
        found = audit(ring, view, head)
        assert 0 <= found.counts.commands <= len(ring) + 1024 * len(view.rooms)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 18, 40])
def test_every_command_is_counted_once(count: int) -> None:
    """Also those over which C passes, and those before and behind them."""
    check, load = 0x05 << 23, [0x22 << 23 | 1, 0x2600, 1]
    stream = [check] * count + load + [check] * count
    assert audit(stream).counts.commands == 2 * count + 1
