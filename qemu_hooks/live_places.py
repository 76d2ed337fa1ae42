"""A free place on the PCI buses of a running machine, from what QEMU says of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from qemu_hooks.domain_facts import port_id
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import devices
from qemu_hooks.pci_places import board_of

_BRIDGE_CLASS = 0x0604
_LAST_SLOT = 0x1F
_NUMBER = re.compile(r"\d+")
_NO_PORT = (
    "add one: <controller type='pci' model='pcie-root-port'/> with `virsh edit`, or attach without "
    "--live, which brings its own; then power the domain off and start it"
)


class Place(NamedTuple):
    """Where a device goes."""

    bus: str
    addr: str


def free_place(domain: Any, buses: Sequence[dict[str, Any]]) -> Place:
    """A place in the machine of the live XML ``domain``. Raises DomainProblem when there is none.

    A port that was made for a vGPU comes first; then libvirt's last, as it takes its first.
    """
    board = board_of(domain)
    on_root = [device for bus in buses if bus.get("bus") == 0 for device in bus.get("devices", [])]
    if board.has_ports:
        free = {port.get("qdev_id", "") for port in on_root if _is_free_port(port)}
        for port in _ports(domain):
            if port in free:
                return Place(port, "0x0")
        raise DomainProblem("no free root port that can be plugged into", hint=_NO_PORT)
    taken = {device.get("slot") for device in on_root} | board.fixed_slots
    for slot in range(_LAST_SLOT, 0, -1):
        if slot not in taken:
            return Place(board.root_bus, f"{slot:#x}")
    raise DomainProblem(f"no slot of {board.root_bus} is free", hint="remove a device")


def _is_free_port(device: dict[str, Any]) -> bool:
    kind = device.get("class_info", {}).get("class")
    return kind == _BRIDGE_CLASS and not device.get("pci_bridge", {}).get("devices")


def _ports(domain: Any) -> list[str]:
    """Ids of root ports, the best first."""
    return [*_own_ports(domain), *sorted(_libvirts_ports(domain), key=_order, reverse=True)]


def _own_ports(domain: Any) -> Iterable[str]:
    prefix = port_id("")
    for option in devices(domain):
        identity = str(option.object.get("id", ""))
        if identity.startswith(prefix):
            yield identity


def _libvirts_ports(domain: Any) -> Iterable[str]:
    for controller in domain.iterfind("devices/controller[@model='pcie-root-port']"):
        alias, target = controller.find("alias"), controller.find("target")
        if alias is not None and (target is None or target.get("hotplug") != "off"):
            yield alias.get("name", "")


def _order(alias: str) -> int:
    match = _NUMBER.search(alias)
    return int(match[0]) if match else 0
