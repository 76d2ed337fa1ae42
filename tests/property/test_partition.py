"""Nobody's window, slab or slice is another's, for any number of vGPUs."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mediator.physical.partition import (
    DMA_SIZE,
    GIB,
    GUEST_GGTT_SIZE,
    MAX_VGPUS,
    PAGE,
    SLAB_GGTT,
    SLAB_SIZE,
    Window,
    guest_window,
    slab_ggtt,
    window_size,
)
from mediator.vgpu.vgpu_type import TYPES, slices

counts = st.integers(1, MAX_VGPUS)


@given(counts)
def test_windows_are_disjoint_and_the_mediators_is_the_first(count: int) -> None:
    size = window_size(count)
    windows = [guest_window(vgpu, count) for vgpu in range(count)]
    spans = [range(size), *(range(w.base, w.base + w.size) for w in windows)]
    assert all(a.stop <= b.start for a, b in combinations(spans, 2))
    assert spans[-1].stop <= DMA_SIZE
    for window in windows:
        assert window.size == size
        assert size & size - 1 == 0
        assert window.base % size == 0
    assert (count + 1) * SLAB_SIZE <= size, "the slabs fit the mediator's window"


@given(counts, st.data())
def test_what_is_inside_stays_inside(count: int, data: st.DataObject) -> None:
    window = guest_window(data.draw(st.integers(0, count - 1)), count)
    near = st.integers(-2, 2).map(lambda n: window.size + n * PAGE)
    address = data.draw(st.integers(-PAGE, DMA_SIZE) | near)
    length = data.draw(st.integers(1, 4 * PAGE))
    iova = window.iova(address, length)
    if address >= 0 and address + length <= window.size:
        assert iova == window.base + address
    else:
        assert iova is None


@given(counts)
def test_no_page_of_the_mediators_ggtt_is_a_guests(count: int) -> None:
    starts = [slab_ggtt(slab) for slab in range(count + 1)]
    assert starts[0] >= GUEST_GGTT_SIZE
    assert starts == sorted(starts)
    assert all(b - a >= SLAB_GGTT for a, b in pairwise(starts))
    assert starts[-1] + SLAB_GGTT <= 4 * GIB


@given(st.sampled_from(sorted(TYPES)))
def test_slices_of_a_ballooned_ggtt_are_disjoint(name: str) -> None:
    kind = TYPES[name]
    spans = sorted(
        (part.start, part.stop) for index in range(kind.most) for part in slices(kind, index)
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert 0 <= spans[0][0] <= spans[-1][1] <= GUEST_GGTT_SIZE


def test_a_window_of_its_own() -> None:
    window = Window(0x10_0000, 0x1_0000)
    assert window.iova(0xF000) == 0x10_F000
    assert window.iova(0xF001) is None
    assert window.iova(0xF001, 0xFFF) == 0x10_F001
    assert window.iova(-1, 1) is None
