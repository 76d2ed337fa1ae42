"""Facts: how a vGPU stands in the XML of a libvirt domain. Data only; imports nothing.

libvirt has no element for vfio-user devices (12.8 has none), so the device is an argument in
``<qemu:commandline>``, and an element of our own in ``<metadata>`` says whose it is.
https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands
"""

from __future__ import annotations

from typing import NamedTuple

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
OWN_NAMESPACE = "urn:vgpud:domain:1"
"""Of the element in ``<metadata>``; libvirt allows one element for each namespace there."""
OWN_PREFIX = "vgpud"
VGPUS_TAG = f"{{{OWN_NAMESPACE}}}vgpus"
VGPU_TAG = f"{{{OWN_NAMESPACE}}}vgpu"
COMMANDLINE_TAG = f"{{{QEMU_NAMESPACE}}}commandline"
ARGUMENT_TAG = f"{{{QEMU_NAMESPACE}}}arg"

DRIVER = "vfio-user-pci"
PORT_DRIVER = "pcie-root-port"
GUARD_NODE = "vgpu-cannot-be-saved-or-moved"
"""Name of a block node whose format QEMU does not migrate: it shows in QEMU's refusal.

31 characters are the most that QEMU allows.
"""
_DEVICE_PREFIX = "vgpud-gpu-"
_PORT_PREFIX = "vgpud-port-"
_SPARE_PREFIX = "vgpud-spare-"
"""A vGPU may have any name: no prefix is the beginning of another."""
ROOM = 512 << 20
"""Bytes of 64-bit prefetchable memory behind a port of a vGPU.

Twice its aperture: firmware aligns the whole to 2 MiB, and the aperture wants 256 MiB.
"""
REGISTERS_ROOM = 32 << 20
"""Bytes of other memory: its registers, 16 MiB."""


class DomainVgpu(NamedTuple):
    """A vGPU as a domain's XML names it; what is empty is not said there."""

    name: str
    uuid: str = ""
    socket: str = ""


def device_id(name: str) -> str:
    """The id in QEMU of the device for the vGPU ``name``."""
    return f"{_DEVICE_PREFIX}{name}"


def is_device_id(identity: str) -> bool:
    """Whether it is the id that we give to the device of some vGPU."""
    return identity.startswith(_DEVICE_PREFIX)


def spare_port_id(number: int) -> str:
    """The id of a root port into which a vGPU may be plugged."""
    return f"{_SPARE_PREFIX}{number}"


def is_port_id(identity: str) -> bool:
    """Whether a root port is one of ours."""
    return identity.startswith((_PORT_PREFIX, _SPARE_PREFIX))


def is_spare_port_id(identity: str) -> bool:
    """Whether it is there to be plugged into."""
    return identity.startswith(_SPARE_PREFIX)


def port_id(name: str) -> str:
    """The id in QEMU of the root port that is there for that device alone."""
    return f"{_PORT_PREFIX}{name}"


def guard_argument(path: str) -> dict[str, object]:
    """A block node that no device has, in a format that QEMU does not migrate.

    QEMU's migration code knows nothing of vfio-user devices and would lose the GPU's state without
    a word. A node like this has it refuse `migrate`, and with it every form of saving.
    """
    return {
        "driver": "vpc",
        "node-name": GUARD_NODE,
        "read-only": True,
        "file": {"driver": "file", "filename": path, "locking": "off"},
    }
