"""Latency from a submission to its interrupt, against a bare doorbell to another process.

The GPU's side submits one request (a user interrupt) to `vgpud serve` and waits for its MSI; the
bare side sends messages of the same number and size to a process that writes the eventfd.

    python -m tests.bench.submission_latency
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from mmio_trap.vfio_user.client import Client, ClientRam
from tests.gpu_driver import ENGINE_BASES, MI_NOOP, MI_USER_INTERRUPT, GpuDriver, Ram

ROUNDS = 5
SAMPLES = 100
RAM_SIZE = 16 << 20
MESSAGE = 36
"""Bytes of a posted 4-byte REGION_WRITE."""
ELSP_WRITES = 4


def vgpud(path: str) -> subprocess.Popen[str]:
    """A running `vgpud serve`, ready for a client."""
    program = Path(sys.executable).with_name("vgpud")
    process = subprocess.Popen(
        [program, "serve", "--socket", path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready"):
        process.kill()
        raise RuntimeError(f"vgpud did not start: {line!r}")
    return process


def connect(path: str) -> tuple[Client, GpuDriver, int]:
    """A client with RAM, a driver on it, and the eventfd of its MSI."""
    client = Client.connect(path)
    client.negotiate()
    ram = ClientRam(client, 0, RAM_SIZE)
    eventfd = os.eventfd(0)
    client.enable_msi(eventfd)
    driver = GpuDriver(
        lambda offset, data: client.region_write(0, offset, data, posted=True),
        lambda offset, count: client.region_read(0, offset, count),
        Ram(memoryview(ram.bytes)),
    )
    driver.initialise()
    return client, driver, eventfd


def _gpu_exchange(driver: GpuDriver, engine: str, eventfd: int) -> Callable[[], float]:
    context = driver.create_context(engine)
    base = ENGINE_BASES[engine]
    driver.write32(base + 0xA8, 0xFFFFFFFE)  # user interrupts only
    bank = {"rcs0": 0x44308, "bcs0": 0x44308}[engine]

    def once() -> float:
        driver.emit(context, [MI_USER_INTERRUPT, MI_NOOP])
        begin = time.perf_counter_ns()
        driver.submit(context)
        os.eventfd_read(eventfd)
        elapsed = (time.perf_counter_ns() - begin) / 1000
        driver.write32(0x44200, 0)
        driver.write32(bank, 0xFFFFFFFF)
        driver.write32(0x44200, 1 << 31)
        while not driver.read32(base + 0x9C) & 1 << 9:
            pass
        return elapsed

    return once


def _doorbell(sock: socket.socket, eventfd: int) -> None:
    """Child: every fourth message rings the eventfd."""
    left = ELSP_WRITES * MESSAGE
    while data := sock.recv(left):
        left -= len(data)
        if not left:
            os.eventfd_write(eventfd, 1)
            left = ELSP_WRITES * MESSAGE


def _bare_exchange(sock: socket.socket, eventfd: int) -> Callable[[], float]:
    message = bytes(MESSAGE)

    def once() -> float:
        begin = time.perf_counter_ns()
        for _ in range(ELSP_WRITES):
            sock.send(message)
        os.eventfd_read(eventfd)
        return (time.perf_counter_ns() - begin) / 1000

    return once


def measure() -> dict[str, dict[str, float]]:
    """Microseconds p50 and p99 of each side, and the ratio submission / bare."""
    bare_fd = os.eventfd(0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if not child:
        ours.close()
        _doorbell(theirs, bare_fd)
        os._exit(0)
    theirs.close()
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "gpu")
        process = vgpud(path)
        client, driver, eventfd = connect(path)
        try:
            gpu = _gpu_exchange(driver, "rcs0", eventfd)
            bare = _bare_exchange(ours, bare_fd)
            samples: dict[str, list[float]] = {"gpu": [], "bare": []}
            for _ in range(ROUNDS):
                samples["gpu"] += [gpu() for _ in range(SAMPLES)]
                samples["bare"] += [bare() for _ in range(SAMPLES)]
        finally:
            client.close()
            process.terminate()
            process.wait()
            ours.close()
            os.waitpid(child, 0)
    return {"elsp_to_msi": _row(samples["gpu"], samples["bare"])}


def _row(gpu: list[float], bare: list[float]) -> dict[str, float]:
    p50, bare_p50 = median(gpu), median(bare)
    return {
        "gpu_p50_us": round(p50, 1),
        "gpu_p99_us": round(quantiles(gpu, n=100)[98], 1),
        "bare_p50_us": round(bare_p50, 1),
        "bare_p99_us": round(quantiles(bare, n=100)[98], 1),
        "p50_ratio": round(p50 / bare_p50, 2),
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
