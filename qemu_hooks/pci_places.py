"""Where on the PCI buses of a machine a vGPU can be. Pure.

On q35 each vGPU that the XML names has a root port of its own, made in ``<qemu:commandline>`` too:
in a port of libvirt's own that seems free, libvirt might put its next device. Slots are taken from
the top, since libvirt fills from the bottom.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from qemu_hooks.domain_facts import REGISTERS_ROOM, ROOM
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import devices

_HIGHEST_SLOT = 0x1E
_FIRST_CHASSIS = 128
"""libvirt numbers its ports' chassis from 1."""
_SLOT = re.compile(r"(0x)?([0-9A-Fa-f]+)(\.[0-7])?")


class Board(NamedTuple):
    """One kind of machine."""

    name: str
    root_bus: str
    """As QEMU calls it."""
    has_ports: bool
    """Devices that shall be unplugged need a port of their own."""
    fixed_slots: frozenset[int]
    """Slots of the board itself."""


Q35 = Board("q35", "pcie.0", True, frozenset({0x00, 0x1F}))
I440FX = Board("i440fx", "pci.0", False, frozenset({0x00, 0x01}))


def board_of(domain: Any) -> Board:
    """The board of a domain. Raises DomainProblem for one that QEMU has no such device for."""
    kind = domain.find("os/type")
    machine = "" if kind is None else kind.get("machine", "pc")
    if "q35" in machine:
        return Q35
    if machine == "pc" or "i440fx" in machine:
        return I440FX
    raise DomainProblem(
        f"machine {machine!r} is neither q35 nor i440fx",
        hint="a vGPU is a PCI device of a PC: use <type arch='x86_64' machine='q35'>hvm</type>",
    )


def free_slot(domain: Any, board: Board) -> int:
    """The highest slot of the root bus that nobody has. Raises DomainProblem when all are taken."""
    taken = _taken(domain, board)
    for slot in range(_HIGHEST_SLOT, 0, -1):
        if slot not in taken:
            return slot
    raise DomainProblem(f"no slot of {board.root_bus} is free", hint="remove a device")


def port_arguments(identity: str, board: Board, slot: int) -> dict[str, object]:
    """The properties of a root port of our own.

    The firmware keeps as much address space behind it as a vGPU needs, so that one can be plugged
    in later: behind other ports are 2 MiB, and guests do not move what is around them.
    """
    return {
        "driver": "pcie-root-port",
        "id": identity,
        "bus": board.root_bus,
        "addr": f"{slot:#x}",
        "chassis": _FIRST_CHASSIS + slot,
        "mem-reserve": REGISTERS_ROOM,
        "pref64-reserve": ROOM,
    }


def _taken(domain: Any, board: Board) -> set[int]:
    """Slots of the root bus: of the board, of libvirt's devices, of devices in arguments."""
    taken = set(board.fixed_slots)
    for address in domain.iterfind("devices/*/address[@type='pci']"):
        if _number(address.get("bus", "0")) == 0 and _number(address.get("domain", "0")) == 0:
            taken.add(_number(address.get("slot", "0")))
    for option in devices(domain):
        properties: Mapping[str, object] = option.object or _plain_properties(option.value)
        if properties.get("bus", board.root_bus) == board.root_bus:
            match = _SLOT.fullmatch(str(properties.get("addr", "")))
            taken.update({int(match[2], 16)} if match else ())
    return taken


def _number(text: str) -> int:
    """A number as libvirt writes it; -1 for anything else."""
    try:
        return int(text, 0)
    except ValueError:
        return -1


def _plain_properties(value: str) -> dict[str, str]:
    """``driver,key=value,...``; a comma in a value, which is doubled, is of no interest here."""
    return dict(part.split("=", 1) for part in value.split(",") if "=" in part)
