"""Stock QEMU and its firmware on a device that is nothing but memory: no guest system needed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmio_trap.vfio_user.server import Server
from tests.guests.qemu import Qemu, find_qemu
from tests.guests.store import cache_root
from tests.integration.test_vfio_user_server import serving
from tests.protocol.memory_device import AREAS, BAR2_SIZE, MemoryDevice

pytestmark = pytest.mark.system

FIRMWARE_SECONDS = 60.0
RAM = 256 << 20


@pytest.fixture(scope="module")
def qemu() -> Qemu:
    """A QEMU with vfio-user-pci."""
    return find_qemu(cache_root())


@contextmanager
def running(qemu: Qemu, path: str) -> Iterator[subprocess.Popen[str]]:
    """A virtual machine with the device at ``path`` and no disk."""
    device = {"driver": "vfio-user-pci", "rombar": 0, "socket": {"type": "unix", "path": path}}
    memory = f"memory-backend-memfd,id=ram,size={RAM},share=on"
    options = ["-machine", "q35,memory-backend=ram", "-accel", "tcg", "-m", f"{RAM >> 20}"]
    none = ["-nodefaults", "-display", "none", "-vga", "none", "-nic", "none"]
    command = [*qemu.command, *options, "-object", memory, *none, "-device", json.dumps(device)]
    with subprocess.Popen(
        command, env=qemu.variables(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for the firmware; fail with QEMU's own words when it ends first."""
    deadline = time.monotonic() + FIRMWARE_SECONDS
    while not condition():
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(process.stderr.read())
        assert time.monotonic() < deadline, "the firmware did not set the device up"
        time.sleep(0.05)


def mapped(device: MemoryDevice) -> list[tuple[int, int, int]]:
    """(start, end, flags) of each range of guest memory."""
    table = device.memory.table.tolist() if device.memory is not None else []
    return [(table[i], table[i + 1], table[i + 3]) for i in range(0, len(table), 4)]


def firmware_is_done(device: MemoryDevice) -> bool:
    return device.resets > 0 and device.config.bar_address(2) != 0 and device.config.memory_enabled


def wait_and_leave(qemu: Qemu, path: str, device: MemoryDevice, server: Server) -> None:
    with running(qemu, path) as process:
        wait_until(lambda: firmware_is_done(device), process)
        wait_until(lambda: (0x100000, RAM, 3) in mapped(device), process)
        if device.fd is not None:
            bar = device.config.bar_address(2)
            areas = [(bar + area.offset, bar + area.offset + area.size, 0) for area in AREAS]
            wait_until(lambda: set(areas) <= set(mapped(device)), process)
        assert server.turned_away == 0
    assert server.wait_idle(FIRMWARE_SECONDS)
    assert device.detached == 1


@pytest.mark.parametrize("mappable", [False, True])
def test_firmware_sets_the_device_up(qemu: Qemu, tmp_path: Path, mappable: bool) -> None:
    """All RAM arrives with a descriptor, and the mappable areas as ranges without one."""
    device = MemoryDevice(mappable=mappable)
    device.config.add_bar(2, BAR2_SIZE)
    path = str(tmp_path / "gpu.sock")
    with serving(device, path) as server:
        wait_and_leave(qemu, path, device, server)
