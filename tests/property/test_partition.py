"""Nobody's window, slab or slice is another's, whoever comes and goes."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.capacity import Allotment, Capacity, ResourceError
from mediator.physical.partition import (
    APERTURE_SIZE,
    DMA_SIZE,
    GIB,
    GUEST_GGTT_SIZE,
    MAX_VGPUS,
    MIB,
    PAGE,
    SLAB_GGTT,
    SLAB_SIZE,
    Window,
    slab_ggtt,
)
from mediator.vgpu.vgpu_type import TYPES, Kind, VgpuType

MEDIATED = [kind for kind in TYPES.values() if kind.kind is not Kind.PASSTHROUGH]
ODD = [
    VgpuType("odd", Kind.BALLOONED, 48, 333, 3, 32 * GIB),
    VgpuType("tiny", Kind.BALLOONED, 1, 1, 1),
]
kinds = st.sampled_from([*MEDIATED, *ODD])
comings_and_goings = st.lists(st.tuples(kinds, st.integers(0, 40)), max_size=60)
"""One more of a type, or away with the holder of that number."""


@given(comings_and_goings, st.booleans(), st.booleans())
def test_what_is_given_is_apart(
    history: list[tuple[VgpuType, int]], windows: bool, private: bool
) -> None:
    capacity = Capacity(windows=windows, private=private)
    given_to: dict[str, tuple[VgpuType, Allotment]] = {}
    for step, (kind, gone) in enumerate(history):
        if gone < len(given_to):
            name = list(given_to)[gone]
            capacity.release(name)
            del given_to[name]
            continue
        room = capacity.room(kind)
        if room:
            given_to[f"v{step}"] = kind, capacity.take(f"v{step}", kind)
            assert capacity.room(kind) <= room - 1
        else:
            with pytest.raises(ResourceError):
                capacity.take(f"v{step}", kind)
        check(capacity, given_to)
    for name in given_to:
        capacity.release(name)
    for kind in MEDIATED:
        assert capacity.room(kind) == (MAX_VGPUS if private else kind.most)


def check(capacity: Capacity, given_to: dict[str, tuple[VgpuType, Allotment]]) -> None:
    """All that is given is apart, in its place, and of the size that the type says."""
    slots = [allotment.slot for _, allotment in given_to.values()]
    assert len(set(slots)) == len(slots)
    assert all(0 <= slot < MAX_VGPUS for slot in slots)
    slices = []
    for kind, allotment in given_to.values():
        if capacity.is_ballooned(kind):
            low, high = allotment.part
            assert (len(low), len(high)) == (kind.low * MIB, kind.high * MIB)
            assert 0 <= low.start <= low.stop <= APERTURE_SIZE
            assert APERTURE_SIZE <= high.start <= high.stop <= GUEST_GGTT_SIZE
            slices += [low, high]
        else:
            assert allotment.part == (range(GUEST_GGTT_SIZE),)
    apart(slices)
    windows = [a.window for _, a in given_to.values() if a.window is not None]
    apart([range((MAX_VGPUS + 1) * SLAB_SIZE), *(range(w.base, w.base + w.size) for w in windows)])
    for window in windows:
        assert window.base % window.size == 0
        assert window.base + window.size <= DMA_SIZE


def apart(ranges: list[range]) -> None:
    """No two share an address."""
    ordered = sorted(ranges, key=lambda one: one.start)
    assert all(a.stop <= b.start for a, b in pairwise(ordered))


@given(st.data())
def test_what_is_inside_stays_inside(data: st.DataObject) -> None:
    window = Capacity(windows=True).take("one", data.draw(kinds)).window
    assert window is not None
    near = st.integers(-2, 2).map(lambda n: window.size + n * PAGE)
    address = data.draw(st.integers(-PAGE, DMA_SIZE) | near)
    length = data.draw(st.integers(1, 4 * PAGE))
    iova = window.iova(address, length)
    if address >= 0 and address + length <= window.size:
        assert iova == window.base + address
    else:
        assert iova is None


def test_no_page_of_the_mediators_ggtt_is_a_guests() -> None:
    starts = [slab_ggtt(slab) for slab in range(MAX_VGPUS + 1)]
    assert starts[0] >= GUEST_GGTT_SIZE
    assert all(b - a >= SLAB_GGTT for a, b in combinations(starts, 2))
    assert starts[-1] + SLAB_GGTT <= 4 * GIB


def test_a_window_of_its_own() -> None:
    window = Window(0x10_0000, 0x1_0000)
    assert window.iova(0xF000) == 0x10_F000
    assert window.iova(0xF001) is None
    assert window.iova(0xF001, 0xFFF) == 0x10_F001
    assert window.iova(-1, 1) is None
