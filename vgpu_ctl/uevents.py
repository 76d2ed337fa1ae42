"""PCI and VFIO hot-plug: what the kernel says about devices, and what GPUs are there.

Kernel: Documentation/ABI/testing/sysfs-uevent, lib/kobject_uevent.c (the messages), and
Documentation/ABI/testing/sysfs-bus-pci (what `scan` reads). The messages come over netlink, family
NETLINK_KOBJECT_UEVENT; udev repeats them there, and privileged programs can forge them, so that
only those from the kernel itself count.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mediator.gen9.identity import IDENTITIES
from vgpu_ctl.pacing.pace import Pace

_LOG = logging.getLogger(__name__)

SUBSYSTEMS = frozenset({"pci", "vfio", "vfio-dev"})
"""What concerns GPUs: functions and their drivers, IOMMU groups and devices handed to VFIO."""
KERNEL_GROUP = 1
"""Multicast group of the kernel's own messages; udev's are in group 2."""
RECEIVE_BUFFER = 1 << 20
"""Bytes of messages that may wait; the system may allow less (net.core.rmem_max)."""
LONGEST_MESSAGE = 16384
"""Bytes. The kernel's have 2 KiB of properties (UEVENT_BUFFER_SIZE) and a path."""
SHARE, BURST_S = 0.05, 0.2
"""Of one processor, and of its time at once, for what comes. A device that comes and goes all the
time does not take more: messages that have no room meanwhile are lost, and an overrun is told."""
INTEL = 0x8086
DISPLAY_CLASS = 0x03
"""Base class of PCI display controllers, bits 23:16 of the class code."""
_ACTION = re.compile(r"[a-z]{1,16}")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


@dataclass(frozen=True, slots=True)
class Uevent:
    """One message about a device."""

    action: str
    """`add`, `remove`, `change`, `bind`, `unbind`, `move`, `online` or `offline`."""
    subsystem: str
    device_path: str
    """Below /sys."""
    pci_address: str
    """Of the function that it is about or belongs to, such as 0000:00:02.0; empty: none."""
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PciGpu:
    """An Intel display controller of this machine."""

    address: str
    """Such as 0000:00:02.0."""
    device_id: int
    driver: str
    """The kernel's driver that has it; empty: none."""
    iommu_group: int | None
    is_known: bool
    """It is one of the models in `mediator.gen9.identity`."""


@contextmanager
def kernel_messages(receive_buffer: int = RECEIVE_BUFFER) -> Iterator[socket.socket]:
    """A socket with the kernel's messages. Raises OSError or KeyError when there can be none.

    pyroute2 makes the socket. Its messages do not say who sent them: they are read beside it.
    """
    from pyroute2.netlink.uevent import UeventSocket  # a quarter of a second

    with UeventSocket() as netlink:
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        netlink.bind(groups=KERNEL_GROUP)
        with socket.socket(fileno=os.dup(netlink.fileno())) as messages:
            messages.setblocking(False)
            yield messages


class HotplugWatcher:
    """Calls ``on_change`` for what happens to devices of `SUBSYSTEMS`, from a thread of its own.

    ``on_overrun`` is called when messages were lost: `scan` tells what is there. Both may take
    their time, and should not raise: that would end the thread. ``messages`` opens the socket.
    """

    def __init__(
        self,
        on_change: Callable[[Uevent], None],
        on_overrun: Callable[[], None],
        messages: Callable[[], AbstractContextManager[socket.socket]] = kernel_messages,
    ) -> None:
        self._on_change = on_change
        self._on_overrun = on_overrun
        self._messages = messages
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set_up = threading.Event()
        self._is_listening = False
        self._thread = threading.Thread(target=self._run, name="hotplug")

    def start(self) -> bool:
        """Begin; whether it is possible, which is logged if not. `scan` after it, not before."""
        self._thread.start()
        self._is_set_up.wait()
        return self._is_listening

    def stop(self) -> None:
        """End the thread, once, after `start` or without it. Not from within a callback."""
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        try:
            with self._messages() as messages:
                self._is_listening = True
                self._is_set_up.set()
                self._watch(messages)
        except (OSError, KeyError) as error:  # KeyError: pyroute2 could not bind
            _LOG.warning("devices that come and go are not noticed: %s", error)
        finally:
            self._is_set_up.set()

    def _watch(self, messages: socket.socket) -> None:
        poll, end = select.poll(), select.poll()
        poll.register(messages, select.POLLIN)
        for each in (poll, end):
            each.register(self._wake, select.POLLIN)
        pace = Pace(SHARE, BURST_S)
        while not end.poll(pace.rest(time.monotonic()) * 1e3):
            if self._wake in dict(poll.poll()):
                return
            began = time.thread_time()
            self._receive(messages)
            pace.charge(time.thread_time() - began, time.monotonic())

    def _receive(self, messages: socket.socket) -> None:
        try:
            data, _, flags, sender = messages.recvmsg(LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._on_overrun()
            return
        if sender != (0, KERNEL_GROUP) or flags & socket.MSG_TRUNC:
            return
        uevent = parse(data)
        if uevent is not None and uevent.subsystem in SUBSYSTEMS:
            self._on_change(uevent)


def parse(data: bytes) -> Uevent | None:
    """The message ``data``, `ACTION@DEVPATH` and `KEY=VALUE`s with a zero after each.

    None for what is none, such as udev's messages. Bytes that are not UTF-8 are replaced.
    """
    head, *lines = data.decode(errors="replace").split("\0")
    action, _, device_path = head.partition("@")
    pairs = (line.partition("=") for line in lines)
    properties = {key: value for key, equals, value in pairs if key and equals}
    subsystem = properties.get("SUBSYSTEM", "")
    if not _ACTION.fullmatch(action) or not device_path.startswith("/") or not subsystem:
        return None
    if properties.get("ACTION") != action or properties.get("DEVPATH") != device_path:
        return None
    places = [*device_path.split("/"), properties.get("PCI_SLOT_NAME", "")]
    addresses = [place for place in places if _PCI_ADDRESS.fullmatch(place)]
    pci_address = addresses[-1] if addresses else ""
    return Uevent(action, subsystem, device_path, pci_address, properties)


def scan(sysfs: Path = Path("/sys")) -> list[PciGpu]:
    """The Intel GPUs that are there now, by address; none on a machine without PCI."""
    try:
        devices = sorted((sysfs / "bus" / "pci" / "devices").iterdir())
    except OSError:
        return []
    return [gpu for gpu in map(_gpu, devices) if gpu is not None]


def pci_addresses(sysfs: Path = Path("/sys")) -> set[str]:
    """Addresses of all PCI functions that are there now."""
    try:
        return {device.name for device in (sysfs / "bus" / "pci" / "devices").iterdir()}
    except OSError:
        return set()


def _gpu(device: Path) -> PciGpu | None:
    """None for other devices, and for one that goes away meanwhile."""
    try:
        vendor, device_id, class_code = (
            int((device / name).read_text(), 16) for name in ("vendor", "device", "class")
        )
    except (OSError, ValueError):
        return None
    if vendor != INTEL or class_code >> 16 != DISPLAY_CLASS:
        return None
    group = _link(device / "iommu_group")
    return PciGpu(
        address=device.name,
        device_id=device_id,
        driver=_link(device / "driver"),
        iommu_group=int(group) if group.isdecimal() else None,
        is_known=device_id in IDENTITIES,
    )


def _link(path: Path) -> str:
    """Name of what ``path`` leads to; empty without."""
    try:
        return path.readlink().name
    except OSError:
        return ""
