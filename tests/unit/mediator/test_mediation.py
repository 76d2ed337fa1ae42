"""Mediation: what cannot be shared is refused, and what is shared is everybody's own."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations, islice
from pathlib import Path
from typing import Any, Literal

import pytest

from mediator import mediation as mediation_module
from mediator.capacity import ResourceError
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.mediation import Mediation, _secret
from mediator.physical.host import HardwareError
from mediator.physical.partition import (
    DMA_SIZE,
    EMPTY_TABLES,
    GUEST_GGTT_SIZE,
    MAX_VGPUS,
    PAGE,
    SLAB_SIZE,
)
from mediator.physical.soft import SoftPhysicalGpu
from mediator.vgpu.vgpu_type import TYPES
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from scheduler.policies.timeslice import Timeslice
from tests.unit.mediator.dispatcher_bench import PATIENCE_S, Guest

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


# -- vGPUs that come and go ------------------------------------------------------------------------


@pytest.fixture(params=["shadow", "direct"])
def empty(request: pytest.FixtureRequest) -> Iterator[Mediation]:
    made = Mediation(SoftPhysicalGpu(KABY_LAKE_GT2), Timeslice(), request.param)
    yield made
    made.stop()


def test_any_types_side_by_side_until_something_is_short(empty: Mediation) -> None:
    half, whole = empty.add("half", TYPES[TWO]), empty.add("whole", TYPES["private"])
    assert [vgpu.private_ggtt for vgpu in (half, whole)] == [False, True]
    with pytest.raises(ResourceError, match="half has 128 MiB"):
        empty.add("big", TYPES["V9_1"])
    other = empty.add("other", TYPES[TWO], weight=3, cap=0.5)
    assert (other.weight, other.cap) == (3, 0.5)
    assert empty.vgpus == [half, whole, other]
    empty.remove(half)
    again = empty.add("again", TYPES[TWO])
    assert (again.index, again.plan.part) == (half.index, half.plan.part)


@pytest.mark.parametrize(
    ("name", "share"),
    [("taken", {}), ("new", {"weight": 0}), ("new", {"cap": 0.0}), ("new", {"cap": 1.5})],
)
def test_what_makes_no_sense_is_refused_and_takes_nothing(
    empty: Mediation, name: str, share: dict[str, Any]
) -> None:
    empty.add("taken", TYPES["V9_4"])
    before = empty.capacity.room(TYPES["V9_4"])
    with pytest.raises(ValueError, match=r"^('taken' has|weight 0:|cap )"):
        empty.add(name, TYPES["V9_4"], **share)
    assert empty.capacity.room(TYPES["V9_4"]) == before


def test_nothing_is_kept_of_a_vgpu_for_which_descriptors_are_short(empty: Mediation) -> None:
    """Wherever they run out: descriptors, mappings and parts are as before."""
    gc.collect()  # what tests before this one have left
    before, refused, made = resources(), 0, None
    while made is None:
        with descriptors_left(refused), suppress(OSError):
            made = empty.add("one", TYPES["private"])
        if made is None:
            refused += 1
            assert empty.vgpus == []
            assert empty.capacity.room(TYPES["private"]) == MAX_VGPUS
            assert resources() == before
    assert refused > 0
    empty.remove(made)
    assert resources() == before


def test_a_space_is_closed_and_a_slab_unmapped_when_a_vgpu_cannot_be_made(
    empty: Mediation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    real = empty.gpu.create_space

    def create_space() -> Any:
        made.append(real())
        return made[-1]

    def fail(*_: Any) -> None:
        raise OSError("memory is short")

    monkeypatch.setattr(empty.gpu, "create_space", create_space)
    monkeypatch.setattr("mediator.mediation.Vgpu", fail)
    shared = empty._space.memory.table.tolist()  # type: ignore[attr-defined]
    gc.collect()
    before = resources()
    with pytest.raises(OSError, match="memory is short"):
        empty.add("one", TYPES["private"])
    assert empty._space.memory.table.tolist() == shared  # type: ignore[attr-defined]
    assert [space.memory.table.tolist() for space in made] == [[]] * len(made)
    assert len(made) == empty.direct
    assert resources() == before


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """This process can open so many files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    free = (number for number in range(soft) if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, count, None)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ram_mappings() -> int:
    """Mappings of guests' RAM in this process."""
    return Path("/proc/self/maps").read_text().count("/memfd:ram")


def resources() -> tuple[int, int]:
    """Open file descriptors, and mappings of files in memory."""
    maps = Path("/proc/self/maps").read_text().count("/memfd:")
    return len(list(Path("/proc/self/fd").iterdir())), maps


def test_a_vgpu_that_has_gone_leaves_nothing(empty: Mediation) -> None:
    """No slab, no GGTT entry, no file descriptor; and the GPU is not in its space."""
    hardware = empty.gpu._gpu.ggtt  # type: ignore[attr-defined]
    gc.collect()  # what tests before this one have left
    before, guests_ram = resources(), ram_mappings()
    for kind in ("V9_2", "private", "V9_16"):
        made = empty.add(kind, TYPES[kind])
        guest = Guest(made)
        guest.driver.ggtt_map(guest.driver.ram.allocate(4), 4)
        guest.driver.submit(guest.spinner("rcs0"))
        _wait(lambda made=made: empty.dispatcher.current is made)  # type: ignore[misc]
        slab, part = made.slab, made.plan.part
        made.detach()
        guest.driver.ram.buffer.release()
        del guest
        assert ram_mappings() == guests_ram
        empty.remove(made)
        pages = [slab.ggtt // PAGE, *(own.start // PAGE + 1024 for own in part)]
        assert not any(any(hardware.read_entry(8 * page, 8 * 512)) for page in pages)
        assert empty._attached is empty._space
        assert slab.fd == -1
    assert resources() == before


def test_what_is_told_to_a_vgpu_that_has_gone_reaches_nobody(empty: Mediation) -> None:
    """An operator's reset that comes too late: its slab's number may be another file's by now."""
    gone = empty.add("gone", TYPES["V9_4"])
    empty.remove(gone)
    heir = empty.add("heir", TYPES["V9_4"])
    heir.slab.bytes[0:4] = b"heir"
    gone.reset()
    gone.lose_work("too late")
    assert heir.slab.bytes[0:4] == b"heir"
    assert gone.counters.full_resets == 0


def test_recording_ends_with_the_client(empty: Mediation) -> None:
    made = empty.add("one", TYPES["private"])
    made.attach(GuestMemory(), Interrupts((1, 1, 0, 1, 1)))
    made.start_recording()
    made.detach()
    spaces = [empty._space, *empty._spaces.values()]
    assert [space.memory.dirty_bytes for space in spaces] == [None] * len(spaces)  # type: ignore[attr-defined]


def test_a_private_ggtt_is_not_kept_after_its_guests_function_level_reset(
    empty: Mediation,
) -> None:
    """It has left the hardware, and nobody else has come; its entries are still there."""
    made = empty.add("one", TYPES["private"])
    guest = Guest(made)
    guest.driver.run(guest.driver.create_context("rcs0"))
    _wait(lambda: guest.engine_done("rcs0"), empty.dispatcher._turn)
    with made.memory.using(), made.lock, empty.dispatcher.lock:
        empty.dispatcher.world.end(made)
    _wait(lambda: empty.dispatcher.current is None, empty.dispatcher._turn)
    hardware = empty.gpu._gpu.ggtt  # type: ignore[attr-defined]
    entries = guest.driver.ggtt.low.start // PAGE * 8
    assert any(hardware.read_entry(entries, 4096))
    made.reset()
    assert not any(hardware.read_entry(entries, 4096))
    made.detach()


def _wait(condition: Callable[[], bool], step: Callable[[], object] = lambda: None) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "in vain"
        step()
        time.sleep(0.0003)


def test_who_is_late_wakes_nobody() -> None:
    """The dispatcher's descriptor is closed by then, and its number may be another file's."""
    made = mediation(1, "V9_1")
    vgpu = made.vgpus[0]
    made.stop()
    heir = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        made.dispatcher.set_share(vgpu, 2, 0.5)
        vgpu.unpark()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(heir)
    finally:
        os.close(heir)


class _Drawn:
    """Stands in for `secrets`: gives these, lowest and highest numbers, one after the other."""

    def __init__(self, *drawn: str) -> None:
        self.limits: list[int] = []
        self._drawn = iter(drawn)

    def randbelow(self, limit: int) -> int:
        self.limits.append(limit)
        drawn = next(self._drawn)
        return {"low": 0, "next": 1, "high": limit - 1}[drawn]


def test_a_secret_place_is_anywhere_in_the_upper_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the page, and up to the page of zeros that is the last one."""
    for drawn, place in (
        (("low", "low"), DMA_SIZE // 2),
        (("low", "next"), DMA_SIZE // 2 + PAGE),
        (("next", "low"), DMA_SIZE // 2 + 512 * PAGE),
        (("high", "high"), EMPTY_TABLES - SLAB_SIZE),
    ):
        secrets = _Drawn(*drawn)
        monkeypatch.setattr(mediation_module, "secrets", secrets)
        assert _secret(set()) == place
        assert min(secrets.limits) == 512


@pytest.mark.parametrize(("distance", "near"), [(0, True), (2, True), (-2, True), (3, False)])
def test_a_secret_place_keeps_clear_of_others(
    monkeypatch: pytest.MonkeyPatch, distance: int, near: bool
) -> None:
    """By twice a slab and more."""
    taken = {DMA_SIZE // 2 + distance * SLAB_SIZE, 0}
    monkeypatch.setattr(mediation_module, "secrets", _Drawn("low", "low", "high", "high"))
    assert _secret(taken) == (EMPTY_TABLES - SLAB_SIZE if near else DMA_SIZE // 2)


def test_a_vgpu_is_made_as_it_is_told(empty: Mediation) -> None:
    """Slot by slot: its slab behind the GPU's own, its number, its share, its identity."""
    for number in range(3):
        made = empty.add(f"v{number}", TYPES["private"], weight=number + 1, cap=0.25)
        slab = made.slab
        assert (made.index, made.name, made.weight, made.cap) == (
            number,
            f"v{number}",
            number + 1,
            0.25,
        )
        assert (slab.ggtt, slab.ggtt_size) == (0x8400_0000 + number * 0x400_0000, 0x400_0000)
        assert slab.size == 0xC00_0000
        assert empty.direct or slab.iova == 0xC00_0000 * (number + 1)
        assert made.identity is KABY_LAKE_GT2
        assert made.type is TYPES["private"]
        hardware = empty.gpu._gpu.ggtt  # type: ignore[attr-defined]
        entries = hardware.read_entry(8 * (slab.ggtt // PAGE), 8 * (slab.ggtt_size // PAGE))
        assert entries == slab.entries()


@pytest.mark.parametrize("address_space", ["shadow", "direct"])
def test_release_gives_back_everything_but_the_gpu(address_space: AddressSpace) -> None:
    gpu = SoftPhysicalGpu(KABY_LAKE_GT2)
    made = mediation(address_space=address_space, gpu=gpu)
    slabs = [vgpu.slab for vgpu in made.vgpus]
    spaces: list[Any] = [made._space, *made._spaces.values()]
    assert len(spaces) == (3 if address_space == "direct" else 1)
    gpu._gpu.stop()
    made.release()
    assert [slab.fd for slab in (*slabs, made.host.slab, made.host._empty)] == [-1] * 4
    assert [space.memory.table.tolist() for space in spaces] == [[]] * len(spaces)
    assert made.dispatcher._wake_fd == -1
    gpu.close()
