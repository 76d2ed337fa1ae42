"""A software GPU behind a real socket: in this process, or a `vgpud` of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.softgpu.function import SoftGpuFunction
from mediator.softgpu.gpu import SoftGpu, Summary
from mmio_trap.vfio_user.client import Client, ClientRam
from mmio_trap.vfio_user.server import Server
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_BATCH_BUFFER_START_PPGTT,
    MI_NOOP,
    MI_STORE_DATA_IMM,
    Context,
    GpuDriver,
    Ram,
)

RAM_SIZE = 16 << 20
ENGINES = list(ENGINE_BASES)
BATCH = 0x10_0000
TARGET = 0x20_0000
MASTER = 0x44200
GDRST = 0x941C
PATIENCE_S = 40.0
"""What a test waits at most for something that takes milliseconds on an idle machine."""


@dataclass
class Guest:
    """A client with RAM, a driver on it, and the eventfd of its MSI."""

    client: Client
    ram: ClientRam
    driver: GpuDriver
    eventfd: int

    def emit_and_submit(self, context: Context, dwords: Sequence[int]) -> None:
        self.driver.emit(context, dwords)
        self.driver.submit(context)

    def request(self, engine: str, value: int) -> Context:
        """A new context whose request writes ``value``."""
        context = self.driver.create_context(engine)
        self.emit_and_submit(context, self.driver.breadcrumb(engine, value))
        return context

    def load(self, engine: str) -> Context:
        """An endless batch with effect: it keeps the engine's interpreter busy."""
        context = self.driver.create_context(engine)
        page, target = self.driver.ram.allocate(), self.driver.ram.allocate()
        stores = [d for i in range(40) for d in (MI_STORE_DATA_IMM, TARGET + 4 * i, 0, i)]
        self.driver.ram.write_u32(page, *stores, MI_BATCH_BUFFER_START_PPGTT, BATCH, 0)
        context.tables.map(BATCH, page)
        context.tables.map(TARGET, target)
        self.emit_and_submit(context, [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, MI_NOOP])
        return context

    def wait_seqno(self, engine: str, value: int) -> None:
        wait_until(lambda: self.driver.seqno(engine) == value, f"{engine} to write {value}")

    def interrupts(self, timeout: float = 0.0) -> int:
        """How often the MSI fired since the last call; waits for the first."""
        poller = select.poll()  # of a descriptor with any number
        poller.register(self.eventfd, select.POLLIN)
        if poller.poll(1000 * timeout):
            return os.eventfd_read(self.eventfd)
        return 0

    def close(self) -> None:
        self.client.close()
        self.driver.ram.buffer.release()
        self.ram.close()
        os.close(self.eventfd)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.001)


def connect(path: str, *, msi: bool = True, initialise: bool = True) -> Guest:
    """A guest at ``path``."""
    client = Client.connect(path)
    client.negotiate()
    ram = ClientRam(client, 0, RAM_SIZE)
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    if msi:
        client.enable_msi(eventfd)
    driver = make_driver(client, ram)
    if initialise:
        driver.initialise()
    return Guest(client, ram, driver, eventfd)


def make_driver(client: Client, ram: ClientRam) -> GpuDriver:
    """A driver that knows nothing yet, on the same RAM."""
    return GpuDriver(
        lambda offset, data: client.region_write(0, offset, data, posted=True),
        lambda offset, count: client.region_read(0, offset, count),
        Ram(memoryview(ram.bytes)),
    )


@dataclass
class Served:
    """A server in this process."""

    path: str
    server: Server
    function: SoftGpuFunction
    summaries: list[Summary] = field(default_factory=list)

    @property
    def gpu(self) -> SoftGpu:
        gpu = self.function.gpu
        assert gpu is not None
        return gpu

    @contextmanager
    def guest(self, *, msi: bool = True) -> Iterator[Guest]:
        made = connect(self.path, msi=msi)
        try:
            yield made
        finally:
            made.close()
            assert self.server.wait_idle(PATIENCE_S)


@contextmanager
def serving(path: Path) -> Iterator[Served]:
    """A server in this process, with the switch interval of vgpud."""
    summaries: list[Summary] = []
    function = SoftGpuFunction(KABY_LAKE_GT2, on_detach=summaries.append)
    server = Server(function, str(path), require_seal=True)
    server.listen()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100e-6)
    try:
        yield Served(str(path), server, function, summaries)
    finally:
        sys.setswitchinterval(interval)
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        server.close()


@contextmanager
def vgpud(path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A `vgpud serve` that is ready; killed at the end if it still runs."""
    program = Path(sys.executable).with_name("vgpud")
    process = subprocess.Popen(
        [program, "serve", "--socket", path, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready {path}\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
