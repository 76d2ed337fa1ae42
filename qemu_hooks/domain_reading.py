"""Which vGPUs a domain's XML names. Pure; takes elements of ElementTree and of lxml alike.

The standard library alone is imported: the hook runs at the start of every domain of the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from qemu_hooks.domain_facts import (
    ARGUMENT_TAG,
    COMMANDLINE_TAG,
    DRIVER,
    VGPU_TAG,
    VGPUS_TAG,
    DomainVgpu,
    device_id,
)


class Option(NamedTuple):
    """An option of QEMU in ``<qemu:commandline>`` with its value, and their elements."""

    name: str
    value: str
    elements: tuple[Any, ...]

    @property
    def object(self) -> dict[str, Any]:
        """The value where it is a JSON object, else empty."""
        return json_object(self.value)


def json_object(text: str) -> dict[str, Any]:
    """``text`` as a JSON object; empty where it is none."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def options(domain: Any) -> Iterator[Option]:
    """The options in ``<qemu:commandline>``, in order; a value alone is an option without name."""
    for commandline in domain.findall(COMMANDLINE_TAG):
        waiting: Any = None
        for argument in commandline.findall(ARGUMENT_TAG):
            value = argument.get("value", "")
            if waiting is not None and not value.startswith("-"):
                yield Option(waiting.get("value"), value, (waiting, argument))
                waiting = None
                continue
            if waiting is not None:
                yield Option(waiting.get("value"), "", (waiting,))
            waiting = argument if value.startswith("-") else None
            if waiting is None:
                yield Option("", value, (argument,))
        if waiting is not None:
            yield Option(waiting.get("value"), "", (waiting,))


def devices(domain: Any) -> Iterator[Option]:
    """Those that make a device."""
    return (option for option in options(domain) if option.name in ("-device", "--device"))


def vgpu_devices(domain: Any) -> dict[str, Option]:
    """Devices of vfio-user servers, by their id, in order. Not all need to be ours."""
    found = {}
    for number, option in enumerate(devices(domain)):
        device = option.object
        if device.get("driver") == DRIVER:
            found[str(device.get("id", f"#{number}"))] = option
    return found


def named_vgpus(domain: Any) -> list[DomainVgpu]:
    """The vGPUs that our metadata names, with the sockets of their devices."""
    sockets = {key: socket_of(option) for key, option in vgpu_devices(domain).items()}
    return [
        DomainVgpu(name, element.get("uuid", ""), sockets.get(device_id(name), ""))
        for element in domain.findall(f"metadata/{VGPUS_TAG}/{VGPU_TAG}")
        if (name := element.get("name", ""))
    ]


def other_sockets(domain: Any) -> list[str]:
    """Sockets of vfio-user devices that no metadata names: made by hand, ours or not."""
    known = {vgpu.socket for vgpu in named_vgpus(domain)}
    found = (socket_of(option) for option in vgpu_devices(domain).values())
    return [socket for socket in found if socket and socket not in known]


def socket_of(option: Option) -> str:
    """The path of the socket of a vfio-user device; empty where it has none."""
    address = option.object.get("socket")
    path = address.get("path") if isinstance(address, dict) else None
    return path if isinstance(path, str) else ""
