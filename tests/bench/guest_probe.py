"""A guest's i915 probe on the software GPU: time, traps, and the server's resident memory.

One guest without a GPU and one with it load the same driver: what the first needs is the module
alone, the rest is the device. Memory is that of `vgpud serve` idle and after the probe; pages of
guest RAM that it has touched are counted apart.

    python -m tests.bench.guest_probe
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.bench.submission_latency import vgpud
from tests.guests.boot import Guest
from tests.guests.images import Images, images

_KIB_PER_MIB = 1024


def _resident(pid: int) -> dict[str, float]:
    """MiB of anonymous and of shared (guest RAM) memory resident in a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kib = {
        line.split(":")[0]: int(line.split()[1])
        for line in status.splitlines()
        if line.startswith("Rss")
    }
    return {"anonymous": kib["RssAnon"] / _KIB_PER_MIB, "guest": kib["RssShmem"] / _KIB_PER_MIB}


def _load_without_gpu(ready: Images) -> float:
    with Guest(ready) as guest:
        loaded = guest.run("modprobe i915")
        guest.power_off()
    return loaded.seconds


def measure() -> dict[str, dict[str, float]]:
    """Seconds, traps and MiB of one probe; the ratios with / without the GPU."""
    ready = images()
    without = _load_without_gpu(ready)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gpu"
        process = vgpud(str(path))
        try:
            idle = _resident(process.pid)
            with Guest(ready, gpus=[path]) as guest:
                seconds = guest.load_i915()
                probed = _resident(process.pid)
                guest.power_off()
            assert process.stdout is not None
            served = json.loads(process.stdout.readline().removeprefix("served "))
        finally:
            process.terminate()
            process.wait()
    return {
        "guest_probe": {
            "load_without_gpu_s": round(without, 2),
            "load_with_gpu_s": round(seconds, 2),
            "ratio": round(seconds / without, 2),
            "register_reads": served["reads"],
            "register_writes": served["writes"],
            "ggtt_writes": served["ggtt_writes"],
        },
        "server_memory": {
            "idle_mib": round(idle["anonymous"], 1),
            "after_probe_mib": round(probed["anonymous"], 1),
            "guest_pages_mib": round(probed["guest"], 1),
            "ratio": round(probed["anonymous"] / idle["anonymous"], 2),
        },
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
