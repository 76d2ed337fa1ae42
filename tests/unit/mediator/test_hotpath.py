"""The choice between C and its twin, and what property tests cannot show."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from types import ModuleType

import pytest

from mediator import hotpath
from mediator.hotpath import reference
from mediator.hotpath.interface import (
    TABLES_FULL,
    Blit,
    FaultKind,
    PageFault,
    Surface,
    Tiling,
)
from mmio_trap.guest_memory import GuestAddressError
from tests.guest_ram import PAGE, GuestRam


def _sides() -> list[ModuleType]:
    sides = [reference]
    if hotpath.NATIVE:
        from mediator.hotpath import native

        sides.append(native)
    return sides


@pytest.fixture(params=_sides(), ids=lambda side: side.__name__.rpartition(".")[2])
def side(request: pytest.FixtureRequest) -> ModuleType:
    chosen: ModuleType = request.param
    return chosen


@pytest.mark.parametrize("size", [4, 8, 16])
def test_compare_exchange(side: ModuleType, size: int) -> None:
    ram = GuestRam(1)
    big = (1 << (8 * size)) - 1
    assert side.compare_exchange(ram.memory, ram.start + 16, size, 0, big) == 0
    assert side.compare_exchange(ram.memory, ram.start + 16, size, 0, 5) == big
    assert side.compare_exchange(ram.memory, ram.start + 16, size, big, 5) == big
    assert ram.memory.read(ram.start + 16, size) == (5).to_bytes(size, "little")


@pytest.mark.parametrize("size", [4, 8, 16])
def test_an_exchange_is_in_the_dirty_log_if_it_was_done(side: ModuleType, size: int) -> None:
    ram = GuestRam(2)
    done, left = ram.start, ram.start + PAGE
    ram.memory.start_recording()
    assert side.compare_exchange(ram.memory, left, size, 1, 2) == 0
    if side is not reference:  # which marks what it may write
        assert ram.memory.take_dirty() == []
    ram.memory.take_dirty()
    assert side.compare_exchange(ram.memory, done, size, 0, 2) == 0
    assert ram.memory.take_dirty() == [done // PAGE]


def test_compare_exchange_outside_memory(side: ModuleType) -> None:
    ram = GuestRam(1)
    for address in (0, ram.start - 4, ram.start + PAGE, 1 << 63):
        with pytest.raises(GuestAddressError):
            side.compare_exchange(ram.memory, address, 4, 0, 0)


def test_a_blit_stops_when_told_to(side: ModuleType) -> None:
    ram = GuestRam(1)
    space = ram.ggtt({0: ram.page()})
    job = Blit(Surface(0, 0), 0, 0, PAGE, 10_000, rop=0xFF)
    answers = iter([False, False, True])
    assert side.blit(space, job, lambda: next(answers)) == 2 * job.band_rows


def test_recording_may_begin_during_a_blit(side: ModuleType) -> None:
    ram = GuestRam(64)
    pages = [ram.page() for _ in range(64)]
    space = ram.ggtt(dict(enumerate(pages)))
    job = Blit(Surface(0, PAGE), 0, 0, PAGE, 64, rop=0xFF)
    asked: list[int] = []

    def begin() -> bool:
        if not asked:
            ram.memory.start_recording()
        asked.append(1)
        return False

    side.blit(space, job, begin)
    assert ram.memory.take_dirty() == [page // PAGE for page in pages]


@pytest.mark.skipif(not hotpath.NATIVE, reason="C is asked while others go on")
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("found", [0, 5])
def test_recording_may_begin_during_an_exchange(
    monkeypatch: pytest.MonkeyPatch, before: bool, found: int
) -> None:
    """What C has written is in the log that has begun meanwhile; what it has not is in none."""
    from mediator.hotpath import _hotpath, native

    ram = GuestRam(4)
    page = [ram.page() for _ in range(4)][2]
    ram.memory.write_u64(page, found)
    if before:
        ram.memory.start_recording()

    class Lib:
        @staticmethod
        def hp_compare_exchange(*arguments: object) -> int:
            done: int = lib.hp_compare_exchange(*arguments)
            ram.memory.start_recording()
            return done

    lib = _hotpath.lib
    monkeypatch.setattr(native, "lib", Lib)
    assert native.compare_exchange(ram.memory, page, 8, 0, 7) == found
    assert ram.memory.read_u64(page) == (found or 7)
    assert ram.memory.take_dirty() == ([] if found else [page // PAGE])


@pytest.mark.skipif(not hotpath.NATIVE, reason="only C is atomic")
def test_atomics_of_two_threads_do_not_lose_one_another() -> None:
    ram = GuestRam(1)
    ggtt = ram.ggtt({0: ram.page()})

    def add() -> None:
        for _ in range(2000):
            ggtt.atomic(0, 4, 0x05, 0, 0)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ggtt.read_u32(0) == 4000


def test_the_twin_steps_in_without_the_extension_and_the_daemon_says_so_once() -> None:
    program = (
        "import contextlib, sys, click\n"
        "sys.modules['mediator.hotpath._hotpath'] = None\n"
        "import mediator.hotpath as h\n"
        "print(h.NATIVE, h.blit.__module__)\n"
        "from vgpu_ctl.vgpud import main\n"
        "with contextlib.suppress(click.ClickException):\n"
        "    main(['serve', '--socket', '/nowhere/gpu'], standalone_mode=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "mediator.hotpath.reference"]
    assert done.stderr.count("C hot path is not built") == 1


def test_a_fault_kept_in_a_cycle_can_be_collected(side: ModuleType) -> None:
    for _ in range(50):
        space = GuestRam(1).ggtt({})
        kept: list[object] = []
        try:
            side.blit(space, Blit(Surface(0, 0), 0, 0, 4, 1, rop=0xFF))
        except PageFault as fault:
            kept += [kept, fault, space]
        assert kept
    gc.collect()


def test_c_and_python_number_faults_alike() -> None:
    lib = pytest.importorskip("mediator.hotpath._hotpath").lib
    for kind in FaultKind:
        assert getattr(lib, f"HP_{kind.name}") == -kind
    assert (lib.HP_BAD_ARGUMENT, lib.HP_TABLES_FULL) == (-5, TABLES_FULL)
    for tiling, name in ((Tiling.LINEAR, "LINEAR"), (Tiling.X, "TILE_X"), (Tiling.Y, "TILE_Y")):
        assert getattr(lib, f"HP_{name}") == tiling
