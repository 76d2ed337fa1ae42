"""Latency of the trap path: a region access over our server against a bare socket ping-pong.

Both servers are processes of their own; the client is the same prebuilt bytes on a raw socket for
both, and the two take turns within one run. Read: a 4-byte REGION_READ, answered with 36 bytes.
Posted write: a 4-byte REGION_WRITE without reply whose effect is seen, the device (the bare peer)
writing an eventfd as it does to raise an interrupt. Everything shares one CPU: across two, the
figures tell how long an idle CPU takes to wake, which differs from run to run by more than both.

    python -m tests.bench.trap_latency
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from mmio_trap.device import IrqIndex
from mmio_trap.vfio_user.client import Client
from mmio_trap.vfio_user.protocol import NO_REPLY, REGION_ACCESS, Command, pack_message
from mmio_trap.vfio_user.server import Server
from tests.protocol.memory_device import MemoryDevice

ROUNDS = 10
SAMPLES = 1000
"""Round trips in one turn of one side."""
WARM_UP = 200

READ = pack_message(0, Command.REGION_READ, REGION_ACCESS.pack(0x100, 0, 4))
READ_REPLY_SIZE = 36
POSTED_WRITE = pack_message(
    0, Command.REGION_WRITE, REGION_ACCESS.pack(0x100, 0, 4) + bytes(4), NO_REPLY
)


class _Doorbell(MemoryDevice):
    """Raises an interrupt on every write of BAR 0."""

    def region_write(self, index: int, offset: int, data: bytes) -> None:
        if self.interrupts is not None and index == 0:
            self.interrupts.trigger(IrqIndex.MSI, 0)


def _serve_trap(path: str) -> None:
    server = Server(_Doorbell(), path)
    server.listen()
    print("ready", flush=True)
    server.serve_forever()


def _serve_bare(path: str) -> None:
    """Answer 32 bytes with 36, and 36 bytes with an eventfd that came first of all."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        print("ready", flush=True)
        client, _ = listener.accept()
        with client:
            _, (eventfd,), _, _ = socket.recv_fds(client, 1, 1)
            answer = bytes(READ_REPLY_SIZE)
            while request := client.recv(4096):
                if len(request) == len(READ):
                    client.send(answer)
                else:
                    os.eventfd_write(eventfd, 1)


@contextmanager
def _one_cpu() -> Iterator[None]:
    """This process, and those it starts, on one CPU only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _peer(side: str, directory: str) -> Iterator[str]:
    """A server process of ``side``; its socket path."""
    path = str(Path(directory) / side)
    command = [sys.executable, "-m", "tests.bench.trap_latency", side, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the {side} server did not start")
            yield path
        finally:
            process.terminate()


def _sample(once: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each of ``count`` calls."""
    clock = time.perf_counter_ns
    samples = []
    for _ in range(count):
        begin = clock()
        once()
        samples.append((clock() - begin) / 1000)
    return samples


def _exchanges(sock: socket.socket, eventfd: int) -> dict[str, Callable[[], object]]:
    def read() -> None:
        sock.send(READ)
        sock.recv(READ_REPLY_SIZE)

    def posted_write() -> None:
        sock.send(POSTED_WRITE)
        os.eventfd_read(eventfd)

    return {"region_read": read, "posted_region_write": posted_write}


def _enable_msi(sock: socket.socket, eventfd: int) -> None:
    """Set the trap server's connection up; the socket stays open behind the client."""
    client = Client(sock.dup())
    client.negotiate()
    client.enable_msi(eventfd)
    client.close()


def measure() -> dict[str, dict[str, float]]:
    """p50 and p99 in microseconds of each exchange on each side, and the ratios trap / bare."""
    samples: dict[str, dict[str, list[float]]] = {}
    eventfd = os.eventfd(0)
    with (
        _one_cpu(),
        tempfile.TemporaryDirectory() as directory,
        _peer("trap", directory) as trap_path,
        _peer("bare", directory) as bare_path,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trap,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bare,
    ):
        trap.connect(trap_path)
        _enable_msi(trap, eventfd)
        bare.connect(bare_path)
        socket.send_fds(bare, [b"\0"], [eventfd])
        sides = {"trap": _exchanges(trap, eventfd), "bare": _exchanges(bare, eventfd)}
        for _ in range(ROUNDS):
            for side, exchanges in sides.items():
                for name, once in exchanges.items():
                    _sample(once, WARM_UP)
                    kept = samples.setdefault(name, {}).setdefault(side, [])
                    kept += _sample(once, SAMPLES)
    os.close(eventfd)
    return {name: _row(by_side["trap"], by_side["bare"]) for name, by_side in samples.items()}


def _row(trap: list[float], bare: list[float]) -> dict[str, float]:
    trap_p50, bare_p50 = median(trap), median(bare)
    trap_p99, bare_p99 = quantiles(trap, n=100)[98], quantiles(bare, n=100)[98]
    return {
        "trap_p50_us": trap_p50,
        "trap_p99_us": trap_p99,
        "bare_p50_us": bare_p50,
        "bare_p99_us": bare_p99,
        "ratio_p50": trap_p50 / bare_p50,
        "ratio_p99": trap_p99 / bare_p99,
    }


def main() -> None:
    """Print the table and, on the last line, the same as JSON; or be one of the two servers."""
    if len(sys.argv) == 3:
        serve = {"trap": _serve_trap, "bare": _serve_bare}[sys.argv[1]]
        serve(sys.argv[2])
        return
    result = measure()
    for name, row in result.items():
        print(name, *(f"{key} {value:.2f}" for key, value in row.items()), sep="  ")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
