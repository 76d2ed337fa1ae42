"""Where on the PCI buses of a machine a vGPU can be. Pure.

On q35 each vGPU that the XML names has a root port of its own, made in ``<qemu:commandline>`` too:
in a port of libvirt's own that seems free, libvirt might put its next device. Slots are taken from
the upper end of what libvirt uses last: it fills from the bottom, and has some devices that it
wants at fixed places near the top.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from qemu_hooks.commandline import Option, devices
from qemu_hooks.domain_facts import PORT_DRIVER, REGISTERS_ROOM, ROOM
from qemu_hooks.domain_problem import DomainProblem

_ORDER: tuple[int, ...] = (*range(0x19, 0, -1), 0x1C, 0x1B, 0x1A, 0x1D, 0x1E)
"""Slots, the best first.

On q35 libvirt puts USB (1d, 1a), sound (1b) and the bridge to plain PCI (1e) where the chipset has
them, if they are added without an address: qemuDomainValidateDevicePCISlotsQ35 of libvirt's
src/qemu/qemu_domain_address.c.
"""
FIRST_CHOICE = _ORDER[0]
SLOTS = 0x20
_SLOT_SHIFT = 3
"""Of a slot in a devfn."""
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


def free_slot(domain: Any, board: Board, *, wish: int = 0, but: Option | None = None) -> int:
    """A slot of the root bus that nobody has but maybe ``but``: ``wish`` if it is free.

    Raises DomainProblem when all are taken.
    """
    for slot in (wish, *_ORDER):
        if is_free(domain, board, slot, but=but):
            return slot
    raise DomainProblem(f"no slot of {board.root_bus} is free", hint="remove a device")


def is_free(domain: Any, board: Board, slot: int, *, but: Option | None = None) -> bool:
    """Whether it is a slot of the root bus that nobody has but maybe ``but``."""
    return 0 < slot < SLOTS and slot not in _taken(domain, board, but)


def slot_of(option: Option) -> int:
    """The slot that a device asks for, by a devfn or by ``slot.function``; -1: none."""
    address = option.properties.get("addr")
    if isinstance(address, int):
        return int(address) >> _SLOT_SHIFT
    match = _SLOT.fullmatch(str(address))
    return int(match[2], 16) if match else -1


def port_arguments(identity: str, board: Board, slot: int) -> dict[str, object]:
    """The properties of a root port of our own.

    The firmware keeps as much address space behind it as a vGPU needs, so that one can be plugged
    in later: behind other ports are 2 MiB, and guests do not move what is around them.
    """
    return {
        "driver": PORT_DRIVER,
        "id": identity,
        "bus": board.root_bus,
        "addr": f"{slot:#x}",
        "chassis": _FIRST_CHASSIS + slot,
        "mem-reserve": REGISTERS_ROOM,
        "pref64-reserve": ROOM,
    }


def _taken(domain: Any, board: Board, but: Option | None) -> set[int]:
    """Slots of the root bus: of the board, of libvirt's devices, of devices in arguments."""
    taken = set(board.fixed_slots)
    for address in domain.iterfind("devices/*/address[@type='pci']"):
        if _number(address.get("bus", "0")) == 0 and _number(address.get("domain", "0")) == 0:
            taken.add(_number(address.get("slot", "0")))
    for option in devices(domain):
        if option != but and option.properties.get("bus", board.root_bus) == board.root_bus:
            taken.add(slot_of(option))
    return taken


def _number(text: str) -> int:
    """A number as libvirt writes it; -1 for anything else."""
    try:
        return int(text, 0)
    except ValueError:
        return -1
