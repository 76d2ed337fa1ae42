"""A register read beside a busy engine, against the same read while the GPU is idle.

One driver, natively and as the only vGPU in each mode: it gives its render engine a request of
`REQUEST_S`, which the software GPU does in many short routines in C, and reads a register of the
display again and again until the request is done. Then as often while nothing runs.

    python -m tests.bench.busy_traps
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from statistics import median, quantiles

from tests.bench.busy_driver import Load, calibrate
from tests.bench.mediated_requests import guests, served
from tests.gpu_driver import GpuDriver
from tests.integration.vgpu_rig import ALL, NATIVE

REQUEST_S = 0.016
REQUESTS = 60
PAUSE_S = 200e-6
"""Between two reads."""
REGISTER = 0x44200
"""GEN8_MASTER_IRQ."""
_PATIENCE_S = 20.0


def _read_us(driver: GpuDriver) -> float:
    begin = time.perf_counter()
    driver.read32(REGISTER)
    return 1e6 * (time.perf_counter() - begin)


def _beside(driver: GpuDriver, load: Load) -> list[float]:
    found = []
    for _ in range(REQUESTS):
        driver.wait_idle(_PATIENCE_S)  # else it waits in the driver's own queue
        request = driver.run(load.contexts[0], load.commands)
        while not driver.done(request):
            found.append(_read_us(driver))
            time.sleep(PAUSE_S)
    return found


def _alone(driver: GpuDriver, count: int) -> list[float]:
    driver.wait_idle(_PATIENCE_S)
    found = []
    for _ in range(count):
        found.append(_read_us(driver))
        time.sleep(PAUSE_S)
    return found


def measure() -> dict[str, dict[str, float]]:
    """For each mode: p50 idle and beside, p99 beside and the longest, in µs; ratios of the p50."""
    rows = {}
    with ExitStack() as stack:
        drivers = guests(stack, {mode: served(mode) for mode in ALL})
        calls = max(1, round(REQUEST_S / calibrate(drivers[NATIVE], "rcs0")))
        for mode, driver in drivers.items():
            load = Load(driver, "rcs0", calls)
            load.serial(0)
            beside = _beside(driver, load)
            alone = _alone(driver, max(2, len(beside)))
            rows[str(mode)] = {
                "reads": len(beside),
                "idle_p50_us": round(median(alone), 1),
                "beside_p50_us": round(median(beside), 1),
                "ratio_p50": round(median(beside) / median(alone), 2),
                "beside_p99_us": round(quantiles(beside, n=100)[98]),
                "longest_us": round(max(beside)),
            }
    return rows


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
