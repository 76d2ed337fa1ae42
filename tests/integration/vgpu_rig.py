"""GPUs for guests in this process: one served natively, or vGPUs of one mediated software GPU.

Each is behind a vfio-user socket of its own; `Rig.guest` connects a driver. A mediated rig has an
address space mode and a GGTT mode, and tests run on all four combinations.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.mediation import Mediation
from mediator.physical.soft import SoftPhysicalGpu
from mediator.softgpu.function import SoftGpuFunction
from mediator.softgpu.strictness import KIND, strict
from mediator.vgpu.observer import VgpuObserver
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import TYPES, type_for
from mmio_trap.device import PciDevice
from mmio_trap.vfio_user.client import Client, ClientRam
from mmio_trap.vfio_user.server import Server
from scheduler.policies.timeslice import Timeslice
from tests.gpu_driver import GpuDriver, Ram

RAM_SIZE = 16 << 20
PATIENCE_S = 40.0
SLICE_NS = 4_000_000
WATCHDOG_NS = 10_000_000_000
"""What does not give way for so long is taken as hung. Long: a machine that stands still for a
second hangs nobody."""
STRICT_SEED = 10
SHORT_WATCHDOG_NS = 500_000_000
"""The same where a request is meant to hang."""
_SWITCH_INTERVAL_S = 100e-6
"""The interpreter's, as in vgpud."""


@dataclass(frozen=True)
class Mode:
    """How the GPU is shared; None: it is not, its one guest has it natively."""

    address_space: Literal["shadow", "direct"] | None
    ggtt: Literal["ballooned", "private"] | None = None
    strict: bool = False
    """The GPU underneath behaves as badly as hardware may."""

    @property
    def native(self) -> bool:
        return self.address_space is None

    def __str__(self) -> str:
        if self.native:
            return "native"
        return f"{self.address_space}-{self.ggtt}{'-strict' if self.strict else ''}"


NATIVE = Mode(None)
SHADOW, DIRECT = Mode("shadow", "ballooned"), Mode("direct", "private")
MEDIATED = [SHADOW, Mode("shadow", "private"), Mode("direct", "ballooned"), DIRECT]
ALL = [NATIVE, *MEDIATED]
PAIR = [SHADOW, DIRECT]
"""Each address space and each GGTT once: for what has little to do with their combination."""


def as_strict(mode: Mode) -> Mode:
    """``mode`` on a GPU that behaves as badly as hardware may."""
    return replace(mode, strict=True)


@dataclass
class Guest:
    """A client with RAM, a driver on it, and the eventfd of its MSI."""

    client: Client
    ram: ClientRam
    driver: GpuDriver
    eventfd: int
    extra: list[ClientRam] = field(default_factory=list)

    def new_driver(self, *, msi: bool = True) -> GpuDriver:
        """A driver that knows nothing yet, on the same RAM: as after a reboot."""
        self.driver.ram.buffer.release()
        self.driver = make_driver(self.client, self.ram, self.eventfd if msi else None)
        return self.driver

    def content(self) -> bytes:
        """All of its RAM."""
        return bytes(self.ram.bytes)

    def close(self) -> None:
        self.client.close()
        self.driver.ram.buffer.release()
        for ram in (self.ram, *self.extra):
            ram.close()
        os.close(self.eventfd)


def make_driver(client: Client, ram: ClientRam, eventfd: int | None) -> GpuDriver:
    return GpuDriver(
        lambda offset, data: client.region_write(0, offset, data, posted=True),
        lambda offset, count: client.region_read(0, offset, count),
        Ram(memoryview(ram.bytes), ram.address),
        eventfd=eventfd,
    )


def connect(
    path: str, *, msi: bool = True, initialise: bool = True, ram_size: int = RAM_SIZE, base: int = 0
) -> Guest:
    """A guest at ``path``; without ``msi`` it has no interrupt and looks at memory."""
    client = Client.connect(path)
    client.negotiate()
    ram = ClientRam(client, base, ram_size)
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    if msi:
        client.enable_msi(eventfd)
    driver = make_driver(client, ram, eventfd if msi else None)
    if initialise:
        driver.initialise()
    return Guest(client, ram, driver, eventfd)


@dataclass
class Rig:
    """Served GPUs, one socket for each."""

    mode: Mode
    paths: list[str]
    servers: list[Server]
    mediation: Mediation | None = None

    def vgpu(self, number: int) -> Vgpu:
        assert self.mediation is not None, "a native GPU has no vGPU"
        return self.mediation.vgpus[number]

    @contextmanager
    def guest(self, number: int = 0, **options: Any) -> Iterator[Guest]:
        """A guest on GPU ``number``; when it has gone, so has all that it had."""
        made = connect(self.paths[number], **options)
        try:
            yield made
        finally:
            made.close()
            assert self.servers[number].wait_idle(PATIENCE_S)


@contextmanager
def rig(
    directory: Path,
    mode: Mode,
    count: int = 1,
    *,
    slice_ns: int = SLICE_NS,
    watchdog_ns: int = WATCHDOG_NS,
    types: Sequence[str] = (),
    observer: VgpuObserver | None = None,
) -> Iterator[Rig]:
    """``count`` vGPUs, or one native GPU, behind sockets in ``directory``.

    Of the largest type of which so many fit, or, if these are given, of ``types``.
    """
    devices: list[PciDevice]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with ExitStack() as stack:
        stack.callback(sys.setswitchinterval, interval)
        mediation = None
        if mode.native:
            assert count == 1, "a native GPU has one guest"
            devices = [SoftGpuFunction(KABY_LAKE_GT2)]
        else:
            kinds = types or [type_for(count).name] * count
            mediation = stack.enter_context(mediating(mode, kinds, slice_ns, watchdog_ns, observer))
            devices = list(mediation.vgpus)
        paths = [str(directory / f"{mode}-{number}") for number in range(len(devices))]
        served = zip(devices, paths, strict=True)
        servers = [stack.enter_context(serving(device, path)) for device, path in served]
        yield Rig(mode, paths, servers, mediation)


@contextmanager
def mediating(
    mode: Mode,
    types: Sequence[str],
    slice_ns: int = SLICE_NS,
    watchdog_ns: int = WATCHDOG_NS,
    observer: VgpuObserver | None = None,
) -> Iterator[Mediation]:
    """A mediated software GPU that runs, with vGPUs of ``types``, without any socket."""
    assert mode.address_space is not None
    assert mode.ggtt is not None
    strictness = strict(STRICT_SEED) if mode.strict else KIND
    gpu, policy = SoftPhysicalGpu(KABY_LAKE_GT2, strictness), Timeslice(slice_ns)
    mediation = Mediation(gpu, policy, mode.address_space, mode.ggtt, watchdog_ns)
    for number, name in enumerate(types):
        mediation.add(f"vgpu{number}", TYPES[name], observer=observer)
    mediation.start()
    try:
        yield mediation
    finally:
        mediation.stop()


@contextmanager
def serving(device: PciDevice, path: str) -> Iterator[Server]:
    """``device`` behind a socket, in a thread."""
    server = Server(device, path, require_seal=True)
    server.listen()
    thread = threading.Thread(target=server.serve_forever, name=f"server {path}")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        server.close()
