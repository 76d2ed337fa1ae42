"""Long accesses in pieces: what is cut, and who gets the lock between two."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from mediator.vgpu.pieces import PIECE, pieces
from mediator.vgpu.regions import GSM_OFFSET
from mediator.vgpu.vgpu import Vgpu
from tests.unit.mediator.dispatcher_bench import Bench, running

MIB = 1 << 20
LENGTH = MIB // 32
"""Of an access beside which another asks for the lock without a pause, which makes it slow."""
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


@pytest.mark.parametrize(("offset", "count"), [(0, 4), (3, 8), (252, 8), (256, 256), (5, 0)])
def test_a_short_access_is_cut_where_a_piece_ends(offset: int, count: int) -> None:
    found = list(pieces(offset, count))
    assert len(found) <= 2
    assert sum(size for _, size in found) == count
    assert found[0][0] == offset


def test_pieces_follow_each_other_and_are_short() -> None:
    found = list(pieces(1000, MIB))
    assert sum(size for _, size in found) == MIB
    at = 1000
    for offset, size in found:
        assert offset == at
        assert 0 < size <= PIECE
        assert offset // PIECE == (offset + size - 1) // PIECE
        at += size


class Counted:
    """How often somebody else had the vGPU's lock during an access, and how long pieces were."""

    def __init__(self, vgpu: Vgpu) -> None:
        self.turns = 0
        self._vgpu = vgpu
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._come_and_go)

    def _come_and_go(self) -> None:
        while not self._end.is_set():
            with self._vgpu.lock:
                self.turns += 1

    def __enter__(self) -> Counted:
        self._thread.start()
        while not self.turns:
            assert self._thread.is_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(PATIENCE_S)


ACCESSES: dict[str, Callable[[Vgpu], object]] = {
    "registers read": lambda vgpu: vgpu.region_read(0, 0, LENGTH),
    "registers written": lambda vgpu: vgpu.region_write(0, 0x4_0000, bytes(LENGTH)),
    "entries read": lambda vgpu: vgpu.region_read(0, GSM_OFFSET, LENGTH),
    "entries written": lambda vgpu: vgpu.region_write(0, GSM_OFFSET, b"\1" * LENGTH),
    "aperture read": lambda vgpu: vgpu.region_read(2, 0, LENGTH),
    "aperture written": lambda vgpu: vgpu.region_write(2, 0, bytes(LENGTH)),
}


@pytest.mark.parametrize("name", ACCESSES)
def test_another_has_its_turn_after_each_piece(bench: Bench, name: str) -> None:
    """No wall time: who asks for the lock again and again gets it dozens of times."""
    with Counted(bench.a.vgpu) as counted:
        before = counted.turns
        ACCESSES[name](bench.a.vgpu)
        turns = counted.turns - before
    assert turns >= LENGTH // PIECE // 4


@pytest.mark.parametrize("offset", [0, 0x2000 - 6])
def test_registers_read_in_pieces_are_the_registers(bench: Bench, offset: int) -> None:
    vgpu = bench.a.vgpu
    found = vgpu.region_read(0, offset, 0x300)  # no timestamps among them
    assert found == b"".join(vgpu.region_read(0, offset + n, 2) for n in range(0, 0x300, 2))


def test_an_access_is_one_trap(bench: Bench) -> None:
    traps = bench.a.vgpu.counters.traps["gtt"]
    before = traps.reads, traps.writes
    bench.a.vgpu.region_read(0, GSM_OFFSET, MIB)
    bench.a.vgpu.region_write(0, GSM_OFFSET, bytes(PIECE + 8))
    assert (traps.reads, traps.writes) == (before[0] + 1, before[1] + 1)


def test_entries_written_in_pieces_are_all_there(bench: Bench) -> None:
    vgpu = bench.a.vgpu
    at = GSM_OFFSET + vgpu.plan.part[0].start // 4096 * 8
    data = struct.pack("<512Q", *(n << 12 for n in range(512)))
    vgpu.region_write(0, at, data)
    assert vgpu.region_read(0, at, len(data)) == data


def test_refusals_are_counted_and_few_of_them_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    vgpu = bench.b.vgpu
    before = vgpu.counters.rejections.get("ggtt-entry", 0)
    caplog.set_level("INFO")
    foreign = GSM_OFFSET + bench.a.vgpu.plan.part[1].start // 4096 * 8
    vgpu.region_write(0, foreign, b"\1\0\0\0\0\0\0\0" * (32 * 300))
    assert vgpu.counters.rejections["ggtt-entry"] == before + 32 * 300
    lines = [record for record in caplog.records if "refused" in record.getMessage()]
    assert 1 <= len(lines) < 300
