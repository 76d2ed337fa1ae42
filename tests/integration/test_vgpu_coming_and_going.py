"""vGPUs that are added and removed while another works: it notices nothing, and nothing is left."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mediator.gen9.pte import ENTRY_SIZE
from mediator.mediation import Mediation
from mediator.physical.partition import PAGE, SLAB_GGTT, slab_ggtt
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import TYPES
from tests.gpu_driver.commands import semaphore_wait
from tests.integration.mode_cases import cases, few
from tests.integration.vgpu_rig import (
    PATIENCE_S,
    SHADOW,
    Guest,
    Mode,
    Rig,
    connect,
    rig,
    serving,
)
from tests.integration.vgpu_worker import Worker, neighbour

DIRECT = Mode("direct", "ballooned")
MODES = [SHADOW, DIRECT]
KINDS = ("V9_4", "private", "V9_16")
QUICK, OFTEN = 6, 100
"""Visitors."""


@contextmanager
def visiting(mediation: Mediation, path: Path, kind: str) -> Iterator[tuple[Vgpu, Guest]]:
    """A vGPU and a guest on it that come for a while."""
    vgpu = mediation.add("visitor", TYPES[kind])
    with serving(vgpu, str(path)) as server:
        guest = connect(str(path), msi=False)
        try:
            yield vgpu, guest
        finally:
            guest.close()
            assert server.wait_idle(PATIENCE_S)
    mediation.remove(vgpu)


def resources() -> dict[str, int]:
    """What may not grow."""
    maps = Path("/proc/self/maps").read_text()
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "memory files mapped": maps.count("/memfd:"),
    }


def check_not_grown(before: dict[str, int]) -> None:
    """Nothing has grown. Garbage is collected first, and what is about to end may do so."""
    ends = time.monotonic() + PATIENCE_S
    while any(after > before[what] for what, after in resources().items()):
        assert time.monotonic() < ends, (before, resources())
        gc.collect()
        time.sleep(0.01)


def entries(made: Rig, start: int, size: int) -> bytes:
    """Entries of the hardware's GGTT."""
    assert made.mediation is not None
    table = made.mediation.gpu._gpu.ggtt  # type: ignore[attr-defined]
    return bytes(table.read_entry(start // PAGE * ENTRY_SIZE, size // PAGE * ENTRY_SIZE))


@pytest.mark.parametrize("often", [QUICK, pytest.param(OFTEN, marks=pytest.mark.modes)])
@pytest.mark.parametrize("resident", few(["V9_4", "private"]))
@pytest.mark.parametrize("mode", cases(MODES, quick=MODES), ids=str)
def test_visitors_leave_nothing_and_disturb_nobody(
    tmp_path: Path, mode: Mode, resident: str, often: int
) -> None:
    """Each one works; every other one leaves in the middle of a request."""
    with rig(tmp_path, mode, types=[resident]) as made, neighbour(made, 0) as beside:
        mediation = made.mediation
        assert mediation is not None
        before, room = None, mediation.capacity.room(TYPES["private"])
        for visit in range(often):
            with visiting(mediation, tmp_path / "visitor", KINDS[visit % 3]) as (vgpu, guest):
                worker = Worker(guest, visit)
                worker.round()
                if visit % 2:
                    flag = worker.result_ggtt
                    guest.driver.run(worker.contexts["rcs0"], semaphore_wait(flag, 1, ggtt=True))
            beside.goes_on(1)
            assert mediation.vgpus == [made.vgpu(0)]
            assert mediation.capacity.room(TYPES["private"]) == room
            slab = slab_ggtt(vgpu.index + 1)
            assert not any(entries(made, slab, SLAB_GGTT))
            if not vgpu.private_ggtt and resident != "private":
                assert not any(any(entries(made, own.start, len(own))) for own in vgpu.plan.part)
            if visit == 2:  # every kind has been here
                before = resources()
        beside.goes_on(1)
        assert before is not None
        check_not_grown(before)


@pytest.mark.parametrize("mode", cases(MODES, quick=[]), ids=str)
def test_many_that_nobody_uses(tmp_path: Path, mode: Mode) -> None:
    """A thousand times, beside a guest that works."""
    with rig(tmp_path, mode, types=["V9_4"]) as made, neighbour(made, 0) as beside:
        mediation = made.mediation
        assert mediation is not None
        before = resources()
        for number in range(1000):
            mediation.remove(mediation.add("visitor", TYPES[KINDS[number % 3]]))
            if number % 100 == 0:
                beside.goes_on(1)
        check_not_grown(before)
