"""A free place on the PCI buses of a running machine, from what QEMU says of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import own_ports
from qemu_hooks.pci_places import board_of

_LAST_SLOT = 0x1F
_NUMBER = re.compile(r"\d+")
_NO_PORT = (
    "`vgpuctl prepare DOMAIN` adds one to its definition, and `vgpuctl attach` without --live "
    "brings its own; then power the domain off and start it"
)


class Place(NamedTuple):
    """Where a device goes."""

    bus: str
    addr: str


def free_place(
    domain: Any, is_free: Callable[[str], bool], buses: Sequence[dict[str, Any]]
) -> Place:
    """A place in the machine of the live XML ``domain``. Raises DomainProblem when there is none.

    ``is_free`` says whether a vGPU could be in a root port; ``buses`` is what `query-pci` says: it
    knows the devices behind a port only once the guest has numbered the buses. A port that was made
    for a vGPU comes first; then libvirt's last, as libvirt takes its first.
    """
    board = board_of(domain)
    if board.has_ports:
        for port in _ports(domain):
            if is_free(port):
                return Place(port, "0x0")
        raise DomainProblem("no free root port has room for a GPU behind it", hint=_NO_PORT)
    on_root = [device for bus in buses if bus.get("bus") == 0 for device in bus.get("devices", [])]
    taken = {device.get("slot") for device in on_root} | board.fixed_slots
    for slot in range(_LAST_SLOT, 0, -1):
        if slot not in taken:
            return Place(board.root_bus, f"{slot:#x}")
    raise DomainProblem(f"no slot of {board.root_bus} is free", hint="remove a device")


def _ports(domain: Any) -> list[str]:
    """Ids of root ports, the best first."""
    own = [str(option.object["id"]) for option in own_ports(domain)]
    return [*own, *sorted(_libvirts_ports(domain), key=_order, reverse=True)]


def _libvirts_ports(domain: Any) -> Iterable[str]:
    for controller in domain.iterfind("devices/controller[@model='pcie-root-port']"):
        alias, target = controller.find("alias"), controller.find("target")
        if alias is not None and (target is None or target.get("hotplug") != "off"):
            yield alias.get("name", "")


def _order(alias: str) -> int:
    match = _NUMBER.search(alias)
    return int(match[0]) if match else 0
