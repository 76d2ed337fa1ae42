"""The vGPUs in a domain's XML, and which device and port of its QEMU belong to which. Pure.

Takes elements of ElementTree and of lxml alike, and imports the standard library alone: the hook
runs at the start of every domain of the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from qemu_hooks.commandline import Option, devices
from qemu_hooks.domain_facts import (
    DRIVER,
    PORT_DRIVER,
    VGPU_TAG,
    VGPUS_TAG,
    DomainVgpu,
    device_id,
    is_device_id,
    is_port_id,
    port_id,
)


class VfioDevice(NamedTuple):
    """A device of a vfio-user server, vgpud's or another's; what is empty is not said."""

    identity: str
    bus: str
    socket: str
    option: Option


def vfio_devices(domain: Any) -> list[VfioDevice]:
    """All of them, in order."""
    found = []
    for option in devices(domain):
        device = option.object
        if device.get("driver") == DRIVER:
            identity, bus = str(device.get("id", "")), str(device.get("bus", ""))
            found.append(VfioDevice(identity, bus, _socket(device), option))
    return found


def device_of(there: Sequence[VfioDevice], name: str, socket: str = "") -> VfioDevice | None:
    """The device of the vGPU ``name``, whose socket is at ``socket`` where that is known.

    It has the id that we give, or its owner has changed that: then it has the socket, or is in the
    root port that was made for it.
    """
    free = [device for device in there if not is_device_id(device.identity)]
    found = [device for device in there if device.identity == device_id(name)]
    found += [device for device in free if socket and device.socket == socket]
    found += [device for device in free if device.bus == port_id(name)]
    return found[0] if found else None


def port_of(domain: Any, name: str) -> Option | None:
    """The root port that was made for the vGPU ``name``."""
    found = [option for option in own_ports(domain) if option.object["id"] == port_id(name)]
    return found[0] if found else None


def own_ports(domain: Any) -> list[Option]:
    """Root ports of ours: for a vGPU, or to be plugged into."""
    return [
        option
        for option in devices(domain)
        if option.object.get("driver") == PORT_DRIVER and is_port_id(str(option.object.get("id")))
    ]


def named_vgpus(domain: Any) -> list[DomainVgpu]:
    """The vGPUs that our metadata names, with the sockets of their devices."""
    there = vfio_devices(domain)
    found = []
    for element in domain.findall(f"metadata/{VGPUS_TAG}/{VGPU_TAG}"):
        name = element.get("name", "")
        device = device_of(there, name)
        if name:
            socket = "" if device is None else device.socket
            found.append(DomainVgpu(name, element.get("uuid", ""), socket))
    return found


def other_devices(there: Sequence[VfioDevice], vgpus: Iterable[DomainVgpu]) -> list[VfioDevice]:
    """The devices of none of these ``vgpus``: made by hand, for a vGPU or for something else."""
    known = [device_of(there, vgpu.name, vgpu.socket) for vgpu in vgpus]
    return [device for device in there if device not in known]


def _socket(device: dict[str, Any]) -> str:
    """The path of the socket; empty where there is none."""
    address = device.get("socket")
    path = address.get("path") if isinstance(address, dict) else None
    return path if isinstance(path, str) else ""
