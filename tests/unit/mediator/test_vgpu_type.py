"""The types: their parts fit, do not overlap, and what is short is named."""

from __future__ import annotations

from itertools import combinations

import pytest

from mediator.physical.partition import APERTURE_SIZE, GUEST_GGTT_SIZE, MAX_VGPUS, MIB
from mediator.vgpu.vgpu_type import (
    TYPES,
    ResourceError,
    VgpuType,
    check_count,
    slices,
    type_for,
)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_the_name_says_how_many_fit(kind: VgpuType) -> None:
    assert kind.name == f"vgpud_gen9_{kind.most}"
    assert kind.fences == 32
    assert kind.weight * kind.most == 16


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_parts_fit_and_do_not_overlap(kind: VgpuType) -> None:
    parts = [part for index in range(kind.most) for part in slices(kind, index)]
    for low, high in (slices(kind, index) for index in range(kind.most)):
        assert 0 <= low.start < low.stop <= APERTURE_SIZE
        assert APERTURE_SIZE <= high.start < high.stop <= GUEST_GGTT_SIZE
        assert (len(low), len(high)) == (kind.low * MIB, kind.high * MIB)
    for one, other in combinations(parts, 2):
        assert one.stop <= other.start or other.stop <= one.start


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_one_too_many_names_what_is_short(kind: VgpuType) -> None:
    with pytest.raises(ResourceError, match=rf"of mappable GGTT .*: {kind.most} fit"):
        slices(kind, kind.most)
    with pytest.raises(ResourceError, match=f"type {kind.name} need"):
        check_count(kind, kind.most + 1)
    check_count(kind, kind.most)
    check_count(kind, MAX_VGPUS, private=True)
    with pytest.raises(ResourceError, match=r"32 of vGPU slots .*, the GPU has 31: 31 fit"):
        check_count(kind, MAX_VGPUS + 1, private=True)


def test_high_ggtt_can_be_short_too() -> None:
    with pytest.raises(ResourceError, match="3000 MiB of high GGTT, the GPU has 1792 MiB: 1 fit"):
        check_count(VgpuType("big", 1, 1500, 1), 2)


@pytest.mark.parametrize(
    ("count", "name"), [(1, "1"), (2, "2"), (3, "4"), (8, "8"), (9, "16"), (31, "16")]
)
def test_the_largest_type_that_fits(count: int, name: str) -> None:
    assert type_for(count).name == f"vgpud_gen9_{name}"
