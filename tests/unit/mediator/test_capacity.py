"""What of a GPU is given to whom: messages that name what is short and who has it."""

from __future__ import annotations

import random

import pytest

from mediator.capacity import Capacity, Pool, ResourceError
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


def test_a_pool_is_a_row_of_units() -> None:
    """Against a list of who has each unit: what is free, where a range goes, how many more fit."""
    chance = random.Random(11)
    for _ in range(150):
        start, size = chance.choice([0, 3, 64]), chance.choice([12, 16, 24, 30])
        pool = Pool("cells", start, size, granularity=chance.choice([1, 2, 3]))
        cells: list[str | None] = [None] * size
        for holder in "abcdefgh":
            if chance.random() < 0.3 and pool.held:
                gone = chance.choice(list(pool.held))
                del pool.held[gone]
                cells = [None if each == gone else each for each in cells]
            wanted = chance.choice([1, 2, 3, 4, 5, 6, 8, 12])
            free = _places(cells, wanted, pool.granularity)
            assert pool.left == cells.count(None)
            assert pool.room(wanted) == _more(cells, wanted, pool.granularity)
            if not free:
                assert pool.find(wanted) is None
                with pytest.raises(ResourceError):
                    pool.take(holder, wanted, "it")
                assert holder not in pool.held
                continue
            expected = range(start + free[0], start + free[0] + wanted)
            assert pool.find(wanted) == expected
            assert pool.take(holder, wanted, "it") == pool.held[holder] == expected
            cells[free[0] : free[0] + wanted] = [holder] * wanted


def _places(cells: list[str | None], wanted: int, granularity: int) -> list[int]:
    """Where a range may start: at multiples of its size if they fill the row."""
    step = wanted if len(cells) % wanted == 0 else granularity
    starts = range(0, len(cells) - wanted + 1, step)
    return [at for at in starts if not any(cells[at : at + wanted])]


def _more(cells: list[str | None], wanted: int, granularity: int) -> int:
    """How many ranges one after the other find a place."""
    left, count = list(cells), 0
    while places := _places(left, wanted, granularity):
        left[places[0] : places[0] + wanted] = ["new"] * wanted
        count += 1
    return count


@pytest.mark.parametrize("kind", TYPES.values(), ids=str)
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("private", [False, True])
def test_room_is_what_can_be_taken(kind: VgpuType, windows: bool, private: bool) -> None:
    capacity = Capacity(windows=windows, private=private)
    if not windows and not private:
        assert capacity.room(kind) == (MAX_VGPUS if kind.kind is Kind.PASSTHROUGH else kind.most)
    fit = capacity.room(kind)
    capacity.check(kind, fit)
    with pytest.raises(ResourceError, match=f": {fit} fit"):
        capacity.check(kind, fit + 1)
    for number in range(fit):
        taken = capacity.take(f"v{number}", kind)
        assert taken.slot == number
        assert (taken.window is None) is not windows
        assert len(taken.part) == (2 if kind.kind is Kind.BALLOONED and not private else 1)
    assert capacity.room(kind) == 0
    with pytest.raises(ResourceError):
        capacity.take("more", kind)
    assert not any("more" in pool.held for pool in capacity.pools)
    capacity.release("v0")
    assert capacity.room(kind) == 1
