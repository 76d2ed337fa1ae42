"""What it costs that user batches of the blitter are copied and audited, by length of the batch.

``requests``: a request that runs one user batch, one at a time, on bcs0 (copied) and on vcs0 (left
alone), natively and on the only vGPU of a mediated GPU; the sides take turns. A ratio is mediated
throughput over native throughput, the median of the rounds; ``copied`` is the ratio of bcs0 over
that of vcs0. ``audit``: the time for copy and audit alone, over that for copying the same bytes.

    python -m tests.bench.bcs_batches
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from mediator import hotpath
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_stream import Target
from mediator.workload.user_space import UserSpace
from tests.bench.mediated_requests import served
from tests.gpu_driver import MI_BATCH_BUFFER_END, MI_NOOP, GpuDriver
from tests.gpu_driver.commands import batch_start, copy_blit, load_register, store_dword
from tests.guest_ram import PAGE, GuestRam, Tables
from tests.integration.vgpu_rig import NATIVE, SHADOW, connect
from tests.unit.mediator.audit_bench import FakeView

KIB = 1024
SIZES = (4 * KIB, 64 * KIB, 1024 * KIB, 4096 * KIB - PAGE)
BATCH, TARGET = 0x1000_0000, 0x4000_0000
ENGINES = ("bcs0", "vcs0")
ROUNDS = 5
SECONDS = 0.1
"""Of one side in one round."""
MIXES = {
    "noops": [MI_NOOP],
    "blits": copy_blit(TARGET, TARGET + PAGE, 64, 8, 8),
    "stores": store_dword(TARGET, 1),
    "loads of registers": load_register((0x22600, 1)),
}
"""One period of each mix; a look from Python is needed for the last one alone."""


class Load:
    """Requests of one user batch of stores, ``size`` bytes long."""

    def __init__(self, driver: GpuDriver, engine: str, size: int) -> None:
        self._driver = driver
        self._context = driver.create_context(engine)
        tables = self._context.tables
        tables.map(TARGET, driver.ram.allocate())
        stores = store_dword(TARGET, 1) * (size // 16 - 1)
        self._physical = tables.place(BATCH, [*stores, MI_BATCH_BUFFER_END])
        self._number = 0

    def rate(self, seconds: float) -> float:
        """Requests a second; each batch differs from the one before in a dword."""
        done, began = 0, time.perf_counter()
        while not done or time.perf_counter() - began < seconds:
            self._number += 1
            self._driver.ram.write_u32(self._physical + 12, self._number)
            self._driver.wait(self._driver.run(self._context, batch_start(BATCH)))
            done += 1
        return done / (time.perf_counter() - began)


def _requests() -> dict[str, dict[str, float]]:
    rows = {}
    with ExitStack() as stack:
        drivers = {}
        for mode in (NATIVE, SHADOW):
            gpu = stack.enter_context(served(mode))
            guest = connect(str(gpu.sockets[0]), ram_size=64 << 20)
            stack.callback(guest.close)
            drivers[mode] = guest.driver
        for size in SIZES:
            row: dict[str, float] = {}
            for engine in ENGINES:
                loads = {mode: Load(driver, engine, size) for mode, driver in drivers.items()}
                for load in loads.values():
                    load.rate(0)
                rounds = [
                    {mode: load.rate(SECONDS) for mode, load in loads.items()}
                    for _ in range(ROUNDS)
                ]
                native = median(rates[NATIVE] for rates in rounds)
                ratio = median(rates[SHADOW] / rates[NATIVE] for rates in rounds)
                row |= {f"{engine}_native_us": round(1e6 / native, 1), engine: round(ratio, 3)}
            row["copied"] = round(row["bcs0"] / row["vcs0"], 3)
            rows[f"requests {size // KIB} KiB"] = row
    return rows


@dataclass
class _View(FakeView):
    """A blitter whose user batches are in ``tables``."""

    tables: Tables | None = None
    room: memoryview | None = None

    def read_user(self, address: int, copy: memoryview) -> int:
        assert self.tables is not None
        space = UserSpace(self.tables.ram.memory, self.tables.root)
        return hotpath.read_space(space, address, copy)

    def place_batch(self, size: int, align: int) -> tuple[int, memoryview]:
        assert self.room is not None
        return 0x8000_0000, self.room[: size // 4]


def _audits() -> dict[str, dict[str, float]]:
    tables = Tables(GuestRam(SIZES[-1] // PAGE + 64))
    physical = [tables.ram.page() for _ in range(SIZES[-1] // PAGE + 1)]
    for number, page in enumerate(physical):
        tables.map(BATCH + number * PAGE, page)
    room = memoryview(array("I", bytes(2 * SIZES[-1])))
    view = _View("BCS", copies_user_batches=True, tables=tables, room=room)
    rows = {}
    for name, period in MIXES.items():
        for size in SIZES[:3]:
            count = (size // 4 - 1) // len(period)
            data = array("I", [*period * count, MI_BATCH_BUFFER_END]).tobytes()
            for number in range(0, len(data), PAGE):
                tables.ram.memory.write(physical[number // PAGE], data[number : number + PAGE])
            audits, copies = [], []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                BatchShadow(view).shadow(Target(BATCH, user=True))
                audits.append(time.perf_counter() - began)
                began = time.perf_counter()
                copied = memoryview(bytearray(len(data)))
                assert view.read_user(BATCH, copied) == len(data)
                room.cast("B")[: len(data)] = copied
                copies.append(time.perf_counter() - began)
            rows[f"audit {name} {size // KIB} KiB"] = {
                "us": round(1e6 * min(audits), 1),
                "copy_us": round(1e6 * min(copies), 1),
                "ratio": round(min(audits) / min(copies), 1),
            }
    return rows


def measure() -> dict[str, dict[str, float]]:
    """Rows of requests, then of audits."""
    return _requests() | _audits()


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
