"""Hot-plug: the kernel's messages, real ones where that is allowed, and what sysfs shows."""

from __future__ import annotations

import gc
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.gen9.identity import KABY_LAKE_GT2
from vgpu_ctl import uevents
from vgpu_ctl.uevents import HotplugWatcher, PciGpu, Uevent, kernel_messages, parse, scan

DEVICES = Path("/sys/bus/pci/devices")
NETLINK_KOBJECT_UEVENT = 15
PATIENCE_S = 20
GPU_PATH = "/devices/pci0000:00/0000:00:02.0"
FORGED = "ffff:ff:1f.7"
"""Address of a function that is not there."""


def message(action: str, path: str, **properties: str) -> bytes:
    """As the kernel makes it."""
    pairs = {"ACTION": action, "DEVPATH": path, **properties}
    return "\0".join([f"{action}@{path}", *map("=".join, pairs.items()), ""]).encode()


def test_a_message_of_the_kernel() -> None:
    data = message(
        "bind", GPU_PATH, SUBSYSTEM="pci", PCI_SLOT_NAME="0000:00:02.0", PCI_ID="8086:5912", A="b=c"
    )
    assert parse(data) == Uevent(
        action="bind",
        subsystem="pci",
        device_path=GPU_PATH,
        pci_address="0000:00:02.0",
        properties={
            "ACTION": "bind",
            "DEVPATH": GPU_PATH,
            "SUBSYSTEM": "pci",
            "PCI_SLOT_NAME": "0000:00:02.0",
            "PCI_ID": "8086:5912",
            "A": "b=c",
        },
    )


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (f"{GPU_PATH}/vfio-dev/vfio0", "0000:00:02.0"),
        ("/devices/pci0000:00/0000:00:1d.0/0000:03:00.1", "0000:03:00.1"),
        ("/devices/virtual/vfio/12", ""),
        ("/devices/pci0000:00", ""),
    ],
)
def test_the_function_is_found_in_the_path(path: str, address: str) -> None:
    uevent = parse(message("add", path, SUBSYSTEM="vfio-dev"))
    assert uevent is not None
    assert uevent.pci_address == address


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"add",
        b"add@",
        b"add@/a\0ACTION=add\0DEVPATH=/a\0",
        b"add@a\0ACTION=add\0DEVPATH=a\0SUBSYSTEM=pci\0",
        b"add@/a\0ACTION=remove\0DEVPATH=/a\0SUBSYSTEM=pci\0",
        b"add@/a\0ACTION=add\0DEVPATH=/b\0SUBSYSTEM=pci\0",
        b"a\nb@/a\0ACTION=a\nb\0DEVPATH=/a\0SUBSYSTEM=pci\0",
        b"libudev\0\xfe\xed\xca\xfe\x28\0\0\0ACTION=add\0DEVPATH=/a\0SUBSYSTEM=pci\0",
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    assert parse(data) is None


_WORDS = st.sampled_from(
    [b"add@/a", b"ACTION=add", b"DEVPATH=/a", b"SUBSYSTEM=pci", b"PCI_SLOT_NAME=0000:00:02.0", b"="]
)


@given(st.binary() | st.lists(_WORDS | st.binary(max_size=8)).map(b"\0".join))
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    uevent = parse(data)
    if uevent is not None:
        assert uevent.device_path.startswith("/")
        assert uevent.properties["SUBSYSTEM"] == uevent.subsystem
        assert uevent.pci_address in data.decode(errors="replace")


def add_device(sysfs: Path, address: str, **files: str) -> Path:
    """A function in a sysfs of ours."""
    real = sysfs / "devices" / "pci0000:00" / address
    real.mkdir(parents=True)
    for name, content in files.items():
        (real / name.rstrip("_")).write_text(f"{content}\n")
    link = sysfs / "bus" / "pci" / "devices" / address
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(real)
    return real


def test_gpus_are_found(tmp_path: Path) -> None:
    assert scan(tmp_path) == []
    vga = {"vendor": "0x8086", "class_": "0x030000"}
    add_device(tmp_path, "0000:00:1f.0", device="0xa143", vendor="0x8086", class_="0x060100")
    add_device(tmp_path, "0000:04:00.0", device="0x1234", **{**vga, "vendor": "0x10de"})
    add_device(tmp_path, "0000:03:00.0", device="0x56a0", vendor="0x8086", class_="0x038000")
    bound = add_device(tmp_path, "0000:00:02.0", device=f"{KABY_LAKE_GT2.device_id:#x}", **vga)
    (bound / "driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    (bound / "iommu_group").symlink_to("../../../kernel/iommu_groups/7")
    add_device(tmp_path, "0000:05:00.0", device="oops", **vga)
    (tmp_path / "bus/pci/devices/0000:06:00.0").symlink_to("gone")
    assert scan(tmp_path) == [
        PciGpu("0000:00:02.0", KABY_LAKE_GT2.device_id, "vfio-pci", 7, is_known=True),
        PciGpu("0000:03:00.0", 0x56A0, "", None, is_known=False),
    ]


def test_this_machine_can_be_scanned() -> None:
    assert all(gpu.address for gpu in scan())


class Watch:
    """A watcher whose reports can be waited for."""

    def __init__(self, **settings: Any) -> None:
        self.changes: queue.Queue[Uevent] = queue.Queue()
        self.overrun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.watcher = HotplugWatcher(self._changed, self.overrun.set, **settings)

    def _changed(self, uevent: Uevent) -> None:
        self.changes.put(uevent)
        self.go_on.wait(PATIENCE_S)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch(messages=partial(kernel_messages, 4096))
    if not watch.watcher.start():
        watch.watcher.stop()
        pytest.skip("the kernel's uevents cannot be received here")
    yield watch
    watch.go_on.set()
    watch.watcher.stop()


def device() -> Path:
    """A function of this machine, whose `uevent` file makes the kernel send a message."""
    devices = sorted(DEVICES.iterdir()) if DEVICES.is_dir() else []
    if not devices:
        pytest.skip(f"no PCI device in {DEVICES}")
    return devices[0]


def change(device: Path) -> None:
    """Have the kernel say that ``device`` has changed. Nothing happens to it."""
    try:
        (device / "uevent").write_text("change")
    except OSError as error:
        pytest.skip(f"{error.strerror}: {error.filename} (root may write it)")


def heard(watch: Watch, device: Path) -> Uevent:
    """The next change of ``device``: other tests, and the machine, have events of their own."""
    while True:
        uevent = watch.changes.get(timeout=PATIENCE_S)
        assert uevent.pci_address != FORGED
        if (uevent.pci_address, uevent.action) == (device.name, "change"):
            return uevent


def forge(address: str) -> None:
    """Send the kernel's group what the kernel did not say."""
    path = f"/devices/pci0000:00/{address}"
    data = message("remove", path, SUBSYSTEM="pci", PCI_SLOT_NAME=address)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) as sender:
        try:
            sender.sendto(data, (0, uevents.KERNEL_GROUP))
        except ConnectionRefusedError:
            pytest.fail("nobody listens")
        except PermissionError as error:
            pytest.skip(f"{error.strerror}: sending to the group needs CAP_NET_ADMIN")


def test_the_kernel_is_heard_and_others_are_not(watch: Watch) -> None:
    there = device()
    forge(FORGED)
    change(there)
    uevent = heard(watch, there)
    assert uevent.subsystem == "pci"
    assert Path(f"/sys{uevent.device_path}") == there.resolve()


def test_lost_messages_are_reported(watch: Watch) -> None:
    there = device()
    watch.go_on.clear()
    for _ in range(30):
        change(there)
    watch.go_on.set()
    assert watch.overrun.wait(PATIENCE_S)
    while not watch.changes.empty():
        watch.changes.get()
    change(there)
    heard(watch, there)


def test_a_flood_of_messages_takes_a_part_of_a_processor() -> None:
    """What has no room meanwhile is lost; after it messages are heard again."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    data = message("change", f"/devices/pci0000:00/{FORGED}", SUBSYSTEM="pci")
    spent = [0.0]

    class FromTheKernel:
        """The socket, as far as the watcher uses it: netlink says who sends, this one does not."""

        def fileno(self) -> int:
            return ours.fileno()

        def recvmsg(self, size: int) -> tuple[bytes, list[Any], int, tuple[int, int]]:
            return ours.recv(size), [], 0, (0, uevents.KERNEL_GROUP)

    def look(_: Uevent) -> None:
        ends = time.thread_time() + 5e-3
        while time.thread_time() < ends:
            pass
        spent[0] += 5e-3

    watcher = HotplugWatcher(look, lambda: None, lambda: nullcontext(cast(Any, FromTheKernel())))
    with ours, theirs:
        assert watcher.start()
        began = time.monotonic()
        theirs.setblocking(False)
        while (took := time.monotonic() - began) < 1.0:
            with suppress(BlockingIOError):
                theirs.send(data)
        watcher.stop()
    assert 0 < spent[0] <= uevents.BURST_S + uevents.SHARE * took + 0.05


def test_nothing_is_left_behind(watch: Watch) -> None:
    def left() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = left()
    for _ in range(5):
        another = Watch()
        assert another.watcher.start()
        another.watcher.stop()
    assert left() == before


def test_a_watcher_that_never_began_can_be_stopped() -> None:
    Watch().watcher.stop()


def test_without_netlink_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def refused() -> Any:
        raise OSError(93, "Protocol not supported")

    watch = Watch(messages=refused)
    assert not watch.watcher.start()
    watch.watcher.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "devices that come and go are not noticed: [Errno 93] Protocol not supported"
    ]
