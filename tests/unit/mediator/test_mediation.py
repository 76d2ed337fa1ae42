"""Mediation: what cannot be shared is refused, and what is shared is everybody's own."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import pytest

from mediator.capacity import ResourceError
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.mediation import Mediation
from mediator.physical.host import HardwareError
from mediator.physical.partition import DMA_SIZE, EMPTY_TABLES, GUEST_GGTT_SIZE, PAGE
from mediator.physical.soft import SoftPhysicalGpu
from scheduler.policies.timeslice import Timeslice

AddressSpace = Literal["shadow", "direct"]
GgttMode = Literal["ballooned", "private"]
TWO = "V9_2"


def mediation(
    count: int = 2,
    type_name: str = TWO,
    address_space: AddressSpace = "shadow",
    ggtt: GgttMode = "ballooned",
    weights: list[int] | None = None,
    gpu: SoftPhysicalGpu | None = None,
) -> Mediation:
    physical = gpu or SoftPhysicalGpu(KABY_LAKE_GT2)
    try:
        return Mediation.evenly(
            physical, count, type_name, Timeslice(), address_space, ggtt, weights=weights
        )
    except BaseException:
        physical.close()
        raise


def test_a_type_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        ValueError, match=r"'i915-GVTg_V5_4': there are V9_1, .*, private, passthrough"
    ):
        mediation(type_name="i915-GVTg_V5_4")


@pytest.mark.parametrize("count", [0, -1])
def test_none_is_not_enough(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} vGPUs: 1 is the least"):
        mediation(count)


def test_more_than_fit_are_refused_by_the_resource_that_is_short() -> None:
    with pytest.raises(ResourceError, match="GGTT"):
        mediation(3)


def test_a_private_ggtt_is_never_short() -> None:
    made = mediation(3, ggtt="private")
    assert [vgpu.plan.part for vgpu in made.vgpus] == [(range(GUEST_GGTT_SIZE),)] * 3
    made.stop()


def test_no_more_than_there_are_slabs() -> None:
    with pytest.raises(ResourceError, match="slots"):
        mediation(32, "V9_16", ggtt="private")


def test_a_gpu_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SoftPhysicalGpu(KABY_LAKE_GT2)
    monkeypatch.setattr(gpu, "read32", lambda _offset: 0xFFFF_FFFF)
    with pytest.raises(HardwareError):
        mediation(gpu=gpu)


def test_weights_are_the_types_or_those_that_are_given() -> None:
    plain, given = mediation(), mediation(weights=[3, 1])
    assert [vgpu.weight for vgpu in plain.vgpus] == [8, 8]
    assert [vgpu.weight for vgpu in given.vgpus] == [3, 1]
    plain.stop()
    given.stop()


@pytest.mark.parametrize("address_space", ["shadow", "direct"])
def test_slabs_are_apart_and_where_no_guests_window_is(address_space: AddressSpace) -> None:
    made = mediation(address_space=address_space)
    slabs = [made.host.slab, *(vgpu.slab for vgpu in made.vgpus)]
    spans = [range(slab.iova, slab.iova + slab.size) for slab in slabs]
    pairs = combinations(spans, 2) if address_space == "shadow" else [spans[:2], spans[::2]]
    assert all(a.stop <= b.start or b.stop <= a.start for a, b in pairs)
    for vgpu, slab in zip(made.vgpus, slabs[1:], strict=True):
        assert slab.iova % PAGE == 0
        assert slab.iova + slab.size <= EMPTY_TABLES
        if address_space == "shadow":
            assert vgpu.addressing.iova(0) == DMA_SIZE // 4 * (vgpu.index + 1)
            assert slab.iova + slab.size <= DMA_SIZE // 4
        else:
            assert vgpu.addressing.iova(0) == 0
            assert slab.iova >= DMA_SIZE // 2
    made.stop()


def test_a_guest_cannot_guess_where_a_slab_is_in_its_own_space() -> None:
    seen = set()
    for _ in range(3):
        made = mediation(address_space="direct")
        seen |= {made.host.slab.iova, *(vgpu.slab.iova for vgpu in made.vgpus)}
        made.stop()
    assert len(seen) == 9


def test_parts_of_a_ballooned_ggtt_are_apart() -> None:
    made = mediation()
    parts = [own for vgpu in made.vgpus for own in vgpu.plan.part]
    for a, b in combinations(parts, 2):
        assert a.stop <= b.start or b.stop <= a.start
    made.stop()
