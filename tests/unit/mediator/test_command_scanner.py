"""The walk over rings, and the streams that it must take: all that i915 emits for Gen9."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.errors import GuestError, Reason
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import Counts, audit_ring
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
def test_valid_streams_pass_unchanged(engine: str, name: str) -> None:
    stream = list(BUILDERS[name](engine))
    view = FakeView(engine)
    view.put(BATCH, corpus.golden_state() if engine == "RCS" else [BATCH_END])
    found = audit(stream, view)
    if name == "secure batch":
        start = stream.index(BATCH)
        stream[start] = next(iter(view.rooms))
    assert found.dwords == stream
    assert view.rejected == []


def test_counts() -> None:
    view = FakeView()
    view.put(BATCH, [NOOP, BATCH_END])
    secure = [START, BATCH, 0]
    user = [START | USER, FOREIGN, 0]
    found = audit([*user, *secure, *user, NOOP, 0x22 << 23 | 1, REFUSED, 0], view)
    assert found.counts == Counts(commands=5, user_batches=2, privileged_batches=1, dropped=1)


@pytest.mark.parametrize("before_end", range(4, 44, 4))
def test_a_ring_goes_on_at_its_beginning(before_end: int) -> None:
    stream = [0x22 << 23 | 3, REFUSED, 1, 0x2600, 2, *corpus.request("RCS")]
    found = audit(stream, head=4096 - before_end)
    assert found.dwords == [0x22 << 23 | 1, 0x2600, 2, 0, 0, *corpus.request("RCS")]


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
    engine: str, ring: Sequence[int], batch: Sequence[int], head: int
) -> None:
    view = FakeView(engine)
    view.put(BATCH, batch)
    with suppress(GuestError):
        found = audit(ring, view, head)
        assert 0 <= found.counts.commands <= len(ring) + 1024 * len(view.rooms)
