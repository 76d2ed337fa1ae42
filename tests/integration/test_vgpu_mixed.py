"""A ballooned and a private vGPU on one GPU: each works, and neither reaches the other.

The same GGTT address is the ballooned guest's own, and the private guest's too; what stands there
on the hardware changes with the world that it is in.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gpu_driver.commands import copy_dword
from tests.integration.mode_cases import cases, few
from tests.integration.test_vgpu_isolation import BY_GGTT, from_a_privileged_batch, residue
from tests.integration.vgpu_attacker import SECRET, Attack, Attacker, check, ggtt_targets, plant
from tests.integration.vgpu_rig import SHADOW, Guest, Mode, Rig, rig
from tests.integration.vgpu_worker import Worker, neighbour

DIRECT = Mode("direct", "ballooned")
MODES = [SHADOW, DIRECT]
BALLOONED, PRIVATE = "V9_4", "private"
ATTACKS = [from_a_privileged_batch, *(a for a in BY_GGTT if a is not from_a_privileged_batch)]
ROUNDS = 6
READS = 40
MINE = 0x0DD_F00D


@contextmanager
def mixed(directory: Path, mode: Mode, *types: str) -> Iterator[Rig]:
    with rig(directory, mode, types=types) as made:
        assert [vgpu.private_ggtt for vgpu in made.mediation.vgpus] == [  # type: ignore[union-attr]
            name == PRIVATE for name in types
        ]
        yield made


@pytest.mark.parametrize("mode", cases(MODES, quick=MODES), ids=str)
def test_both_work_side_by_side(tmp_path: Path, mode: Mode) -> None:
    types = (BALLOONED, PRIVATE, BALLOONED, PRIVATE)
    with mixed(tmp_path, mode, *types) as made, ExitStack() as stack:
        guests = [stack.enter_context(made.guest(n, msi=bool(n % 2))) for n in range(4)]
        assert [guest.driver.ballooned for guest in guests] == [True, False, True, False]
        workers = [Worker(guest, number + 1) for number, guest in enumerate(guests)]
        failed: list[BaseException] = []

        def work(worker: Worker) -> None:
            try:
                for _ in range(ROUNDS):
                    worker.round()
            except BaseException as error:
                failed.append(error)
                raise

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        for number in range(4):
            counters = made.vgpu(number).counters
            assert (counters.rejections, counters.hangs) == ({}, 0)


@pytest.mark.parametrize("attacking", few([PRIVATE, BALLOONED]))
@pytest.mark.parametrize("attack", few(ATTACKS), ids=lambda function: function.__name__)
@pytest.mark.parametrize("mode", cases(MODES, quick=[SHADOW]), ids=str)
def test_neither_reaches_the_other_by_ggtt(
    tmp_path: Path, mode: Mode, attack: Attack, attacking: str
) -> None:
    victims = BALLOONED if attacking == PRIVATE else PRIVATE
    with mixed(tmp_path, mode, victims, attacking) as made, made.guest(0) as victim:
        plant(victim)
        with made.guest(1) as other:
            attacker = Attacker(other)
            before = victim.content()
            for at in ggtt_targets(victim.driver):
                attack(attacker, at)
            check(made, victim, before, attacker)


@pytest.mark.parametrize("mode", cases(MODES, quick=[SHADOW]), ids=str)
def test_entries_that_one_writes_while_the_other_is_there(tmp_path: Path, mode: Mode) -> None:
    """Both have the same address: each finds its own page, whoever wrote last."""
    with (
        mixed(tmp_path, mode, BALLOONED, PRIVATE) as made,
        made.guest(0) as first,
        made.guest(1) as second,
    ):
        at = first.driver.ggtt.low.stop - 0x10_0000
        end = threading.Event()
        for guest, value in ((first, SECRET), (second, MINE)):
            page = guest.driver.ram.allocate()
            guest.driver.ram.write_u32(page, value)
            guest.driver.ggtt_write(at, page | 1)
            guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
        entry = first.driver.ggtt_entry(at)

        def write() -> None:
            while not end.is_set():
                first.client.region_write(0, (8 << 20) + 8 * (at >> 12), struct.pack("<Q", entry))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            found = [_read(second, at) for _ in range(READS)]
        finally:
            end.set()
            writer.join()
        assert found == [MINE] * READS
        assert _read(first, at) == SECRET
        assert _read(second, at) == MINE


def _read(guest: Guest, at: int) -> int:
    """What the GPU finds at a GGTT address."""
    driver = guest.driver
    page = driver.ram.allocate()
    own = driver.ggtt_map(page)
    commands = copy_dword(own, at, target_ggtt=True, source_ggtt=True)
    driver.wait(driver.run(driver.create_context("rcs0"), commands))
    driver.wait_idle()
    return driver.ram.read_u32(page)


@pytest.mark.parametrize("types", [(BALLOONED, PRIVATE), (PRIVATE, BALLOONED)], ids="-".join)
@pytest.mark.parametrize("mode", cases(MODES, quick=[]), ids=str)
def test_nothing_stays_for_a_client_of_the_other_type(
    tmp_path: Path, mode: Mode, types: tuple[str, str]
) -> None:
    with mixed(tmp_path, mode, *types) as made:
        with made.guest(0) as first:
            plant(first)
        with made.guest(1, initialise=False) as second:
            assert residue(second).find(struct.pack("<I", SECRET)) == -1


@pytest.mark.parametrize("types", [(BALLOONED, PRIVATE), (PRIVATE, BALLOONED)], ids="-".join)
@pytest.mark.parametrize("mode", cases(MODES, quick=[]), ids=str)
def test_one_leaves_while_the_other_works(
    tmp_path: Path, mode: Mode, types: tuple[str, str]
) -> None:
    with mixed(tmp_path, mode, *types) as made, neighbour(made, 0) as beside:
        for _ in range(ROUNDS):
            with made.guest(1) as guest:
                Worker(guest, 2).round()
                guest.client.reset()
                beside.goes_on(1)
                guest.new_driver(msi=False).initialise()
                Worker(guest, 3).round()
            beside.goes_on(1)
