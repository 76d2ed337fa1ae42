"""What of a GPU is given to whom: messages that name what is short and who has it."""

from __future__ import annotations

import pytest

from mediator.capacity import Capacity, ResourceError
from mediator.physical.partition import GIB, MAX_VGPUS, MIB
from mediator.vgpu.vgpu_type import TYPES, Kind, VgpuType


def test_what_is_short_is_named_with_what_is_left_and_who_has_the_rest() -> None:
    capacity = Capacity(windows=True)
    capacity.take("web", TYPES["V9_2"])
    capacity.take("db", TYPES["V9_4"])
    with pytest.raises(ResourceError) as error:
        capacity.take("big", TYPES["V9_2"])
    assert str(error.value) == (
        "a vGPU of type V9_2 needs 128 MiB of mappable GGTT (aperture), 64 MiB of 256 MiB are "
        "left: web has 128 MiB, db has 64 MiB"
    )
    assert all("big" not in pool.held for pool in capacity.pools)


def test_high_ggtt_can_be_short_too() -> None:
    kind = VgpuType("big", Kind.BALLOONED, 1, 1500, 1)
    capacity = Capacity(windows=False)
    capacity.take("one", kind)
    with pytest.raises(ResourceError, match=r"1500 MiB of high GGTT, 292 MiB of 1792 MiB"):
        capacity.take("two", kind)
    with pytest.raises(ResourceError, match=r"3000 MiB of high GGTT, the GPU has 292 MiB: 0 fit"):
        capacity.check(kind, 2)


def test_slots_and_dma_space_can_be_short() -> None:
    capacity = Capacity(windows=False)
    for number in range(MAX_VGPUS):
        capacity.take(f"v{number}", TYPES["private"])
    with pytest.raises(ResourceError, match="1 of vGPU slots, 0 of 31 are left"):
        capacity.take("more", TYPES["private"])
    wide = VgpuType("wide", Kind.PRIVATE, 256, 1792, 4, 256 * GIB)
    capacity = Capacity(windows=True)
    capacity.take("one", wide)
    with pytest.raises(ResourceError, match=r"256 GiB of DMA space, 240 GiB of 512 GiB are left"):
        capacity.take("two", wide)


def test_what_is_left_but_not_in_one_piece() -> None:
    kind = VgpuType("third", Kind.BALLOONED, 85, 8, 1)
    capacity = Capacity(windows=False)
    for name in "abc":
        capacity.take(name, kind)
    capacity.release("a")
    capacity.release("c")
    with pytest.raises(ResourceError, match="171 MiB of 256 MiB are left, not in one piece"):
        capacity.take("d", VgpuType("half", Kind.BALLOONED, 128, 8, 1))


def test_a_gpu_whose_ggtt_is_private_has_no_slices() -> None:
    capacity = Capacity(windows=True, private=True)
    assert not capacity.is_ballooned(TYPES["V9_1"])
    assert [capacity.take(name, TYPES["V9_8"]).part[0].stop for name in "ab"] == [2048 * MIB] * 2
    assert "high GGTT" not in [pool.name for pool in capacity.pools]


def test_who_has_a_part_gets_no_other() -> None:
    """Else the first one would be free for somebody else while it is in use."""
    capacity = Capacity(windows=True)
    first = capacity.take("web", TYPES["V9_4"])
    for name in ("web", "the mediator"):
        with pytest.raises(ValueError, match="has a part of this GPU already"):
            capacity.take(name, TYPES["private"])
    second = capacity.take("db", TYPES["V9_4"])
    assert first.slot != second.slot
    assert not set(first.part) & set(second.part)
