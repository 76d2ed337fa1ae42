"""A vGPU in the XML of a libvirt domain: add it, remove it. Pure; XML text in, XML text out.

What is not ours stays as it is: elements of other namespaces, comments, arguments of others. All
functions may be called again and change nothing then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from lxml import etree

from qemu_hooks import domain_checks
from qemu_hooks.commandline import Option, devices, json_object, options
from qemu_hooks.domain_facts import (
    ARGUMENT_TAG,
    COMMANDLINE_TAG,
    GUARD_NODE,
    OWN_NAMESPACE,
    OWN_PREFIX,
    QEMU_NAMESPACE,
    VGPU_TAG,
    VGPUS_TAG,
    DomainVgpu,
    device_id,
    guard_argument,
    is_spare_port_id,
    port_id,
    spare_port_id,
)
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import (
    VfioDevice,
    device_of,
    named_vgpus,
    other_devices,
    own_ports,
    port_of,
    vfio_devices,
)
from qemu_hooks.pci_places import (
    I440FX,
    Q35,
    Board,
    board_of,
    free_slot,
    is_free,
    port_arguments,
    slot_of,
)
from vgpu_ctl.cli.qemu_command import device_arguments

_ROOT_BUSES = (Q35.root_bus, I440FX.root_bus)


class Edited(NamedTuple):
    """The XML after a change, and what was changed; nothing: it was as wanted already."""

    xml: str
    changes: list[str]
    warnings: list[str]


def parsed(xml: str) -> Any:
    """The element of a domain. Raises DomainProblem for text that is no XML."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(xml.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise DomainProblem(f"no XML: {error}") from error


def add(xml: str, vgpu: DomainVgpu, guard: str, reach: int = 0) -> Edited:
    """A domain with ``vgpu``, which has a socket.

    ``guard`` is the file that keeps QEMU from being saved or moved (see `guard_argument`); empty:
    none. ``reach``: see `domain_checks.warnings`. Raises DomainProblem where it cannot work.
    """
    domain = parsed(xml)
    domain_checks.refuse(domain)
    changes, slot = _drop_former(domain, vgpu)
    changes += _add_device(domain, vgpu, slot)
    if guard:
        changes += _add_guard(domain, guard)
    changes += domain_checks.share_memory(domain)
    changes += _name_in_metadata(domain, vgpu)
    return Edited(_text(domain), changes, domain_checks.warnings(domain, reach))


def remove(xml: str, name: str, socket: str = "") -> Edited:
    """A domain without the vGPU ``name``; shared memory stays.

    ``socket`` is where vgpud has it, if that is known: a device whose id is its owner's is found by
    it. Raises DomainProblem.
    """
    domain = parsed(xml)
    changes = _take_out(domain, name, socket)
    left, named = vfio_devices(domain), named_vgpus(domain)
    if not left and not named:
        changes += _drop_guard(domain)
    _drop_empty(domain)
    unnamed = other_devices(left, named) if changes else []
    return Edited(
        _text(domain),
        changes,
        [f"{_named(device)} stays: no vGPU's, or made by hand" for device in unnamed],
    )


def prepare(xml: str, ports: int) -> Edited:
    """A domain into which ``ports`` vGPUs can be plugged while it runs, besides those it has.

    Raises DomainProblem.
    """
    domain = parsed(xml)
    domain_checks.refuse(domain)
    board = board_of(domain)
    wanted = [spare_port_id(number) for number in range(ports)] if board.has_ports else []
    changes, there = [], set()
    for option in own_ports(domain):
        identity = str(option.object["id"])
        if identity in wanted:
            there.add(identity)
        elif is_spare_port_id(identity):
            _drop(option)
            changes.append(f"root port {identity} is gone")
    for identity in wanted:
        if identity not in there:
            slot = free_slot(domain, board)
            _append(domain, ["-device", _json(port_arguments(identity, board, slot))])
            changes.append(f"root port {identity} in slot {slot:#x} of {board.root_bus}")
    _drop_empty(domain)
    if ports:
        changes += domain_checks.share_memory(domain)
    return Edited(_text(domain), changes, domain_checks.warnings(domain, 0))


# -- adding ---------------------------------------------------------------------------------------


def _drop_former(domain: Any, vgpu: DomainVgpu) -> tuple[list[str], int]:
    """Take out what the vGPU had under another name; the slot that it was in, 0 for none."""
    changes, slot = [], 0
    for former in named_vgpus(domain):
        if former.uuid and former.uuid == vgpu.uuid and former.name != vgpu.name:
            device = device_of(vfio_devices(domain), former.name)
            place = port_of(domain, former.name) or (device and device.option)
            slot = max(slot_of(place), 0) if place else slot
            _take_out(domain, former.name)
            changes.append(f"{former.name} is {vgpu.name} now")
    return changes, slot


def _add_device(domain: Any, vgpu: DomainVgpu, slot: int) -> list[str]:
    """Have the device. One that its owner made or moved stays as it is, but for its socket."""
    board = board_of(domain)
    there = vfio_devices(domain)
    device = device_of(there, vgpu.name, vgpu.socket)
    for other in there:
        if other != device and other.socket == vgpu.socket:
            raise DomainProblem(
                f"{_named(other)} in <qemu:commandline> uses the socket of {vgpu.name} already",
                hint="a vGPU has one device: remove that one with `virsh edit`",
            )
    if device is not None:
        return _repair_socket(device, vgpu) + _repair_place(domain, board, device, vgpu.name)
    identity = device_id(vgpu.name)
    slot = free_slot(domain, board, wish=slot)
    if not board.has_ports:
        place = {"bus": board.root_bus, "addr": f"{slot:#x}"}
        _append(domain, device_arguments(vgpu.socket, identity=identity, **place))
        return [f"device {identity} in slot {slot:#x} of {board.root_bus}"]
    port = port_id(vgpu.name)
    there_already = port_of(domain, vgpu.name)
    if there_already is not None:  # without a device
        _drop(there_already)
    _append(domain, ["-device", _json(port_arguments(port, board, slot))])
    _append(domain, device_arguments(vgpu.socket, identity=identity, bus=port, addr="0x0"))
    return [f"device {identity} in root port {port}, slot {slot:#x} of {board.root_bus}"]


def _repair_socket(device: VfioDevice, vgpu: DomainVgpu) -> list[str]:
    """It may have moved."""
    if device.socket == vgpu.socket:
        return []
    _change(device.option, socket={"type": "unix", "path": vgpu.socket})
    return [f"{_named(device)} has socket {vgpu.socket}"]


def _repair_place(domain: Any, board: Board, device: VfioDevice, name: str) -> list[str]:
    """The port may be gone, its slot another's by now, the machine of another kind."""
    port, home = port_of(domain, name), port_id(name) if board.has_ports else board.root_bus
    placed = port if board.has_ports else device.option
    if device.bus == home:
        if placed is not None and _is_in_place(domain, board, placed):
            return []
    elif device.bus == board.root_bus or device.bus not in (port_id(name), *_ROOT_BUSES):
        return []  # where its owner wants it
    slot = free_slot(domain, board, but=placed)
    if not board.has_ports:
        if port is not None:
            _drop(port)
        _change(device.option, bus=home, addr=f"{slot:#x}")
        return [f"{_named(device)} in slot {slot:#x} of {home}"]
    wanted = port_arguments(home, board, slot)
    if port is None:
        for word in ("-device", _json(wanted)):
            device.option.elements[0].addprevious(etree.Element(ARGUMENT_TAG, value=word))
    else:
        _change(port, **{key: wanted[key] for key in ("bus", "addr", "chassis")})
    _change(device.option, bus=home, addr="0x0")
    return [f"root port {home} in slot {slot:#x} of {board.root_bus}"]


def _is_in_place(domain: Any, board: Board, placed: Option) -> bool:
    """Whether it is on the root bus, where nobody else is, or where QEMU puts it."""
    slot, on_root = slot_of(placed), placed.object.get("bus") == board.root_bus
    return on_root and (slot < 0 or is_free(domain, board, slot, but=placed))


def _change(option: Option, **properties: object) -> None:
    """Give a device, which is a JSON object, other properties."""
    element = option.elements[1]
    element.set("value", _json(json_object(element.get("value", "")) | properties))


def _add_guard(domain: Any, path: str) -> list[str]:
    wanted = _json(guard_argument(path))
    for option in options(domain):
        if _is_guard(option):
            if option.value == wanted:
                return []
            option.elements[1].set("value", wanted)
            return [f"guard against saving and moving is {path}"]
    _append(domain, ["-blockdev", wanted])
    return ["QEMU refuses to save or move it"]


def _name_in_metadata(domain: Any, vgpu: DomainVgpu) -> list[str]:
    for element in domain.findall(f"metadata/{VGPUS_TAG}/{VGPU_TAG}"):
        if element.get("name") == vgpu.name:
            if element.get("uuid") == vgpu.uuid:
                return []
            element.set("uuid", vgpu.uuid)
            return ["metadata has its new UUID"]
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = etree.SubElement(domain, "metadata")
    vgpus = metadata.find(VGPUS_TAG)
    if vgpus is None:
        vgpus = etree.SubElement(metadata, VGPUS_TAG, nsmap={OWN_PREFIX: OWN_NAMESPACE})
    etree.SubElement(vgpus, VGPU_TAG, name=vgpu.name, uuid=vgpu.uuid)
    return ["metadata names it"]


def _append(domain: Any, words: Iterable[str]) -> None:
    commandline = domain.find(COMMANDLINE_TAG)
    if commandline is None:
        commandline = etree.SubElement(domain, COMMANDLINE_TAG, nsmap={"qemu": QEMU_NAMESPACE})
    for word in words:
        etree.SubElement(commandline, ARGUMENT_TAG, value=word)


# -- removing -------------------------------------------------------------------------------------


def _take_out(domain: Any, name: str, socket: str = "") -> list[str]:
    """Its device, the port that was made for it, its metadata. Raises DomainProblem."""
    changes = []
    device = device_of(vfio_devices(domain), name, socket)
    port = port_of(domain, name)
    others = [
        str(option.properties.get("id") or option.properties.get("driver", option.value))
        for option in devices(domain)
        if option.properties.get("bus") == port_id(name)
        and (device is None or option != device.option)
    ]
    if port is not None and others:
        raise DomainProblem(
            f"{others[0]} is in the root port of {name} too",
            hint="move it to another bus first: `virsh edit`",
        )
    for option in (device and device.option, port):
        if option:
            _drop(option)
            changes.append(f"{option.object['driver']} is gone")
    for element in domain.findall(f"metadata/{VGPUS_TAG}/{VGPU_TAG}"):
        if element.get("name") == name:
            _drop_element(element)
            changes.append("metadata does not name it")
    return changes


def _named(device: VfioDevice) -> str:
    return f"device {device.identity}" if device.identity else f"the device at {device.socket}"


def _is_guard(option: Option) -> bool:
    return option.name == "-blockdev" and option.object.get("node-name") == GUARD_NODE


def _drop_guard(domain: Any) -> list[str]:
    found = [option for option in options(domain) if _is_guard(option)]
    for option in found:
        _drop(option)
    return ["QEMU may save and move it"] if found else []


def _drop(option: Option) -> None:
    for element in option.elements:
        _drop_element(element)


def _drop_element(element: Any) -> None:
    """Without the text behind it, which may be somebody's."""
    parent, before = element.getparent(), element.getprevious()
    tail = element.tail or ""
    if tail.strip():
        if before is None:
            parent.text = (parent.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
    parent.remove(element)


def _drop_empty(domain: Any) -> None:
    """What we made and nobody needs any more."""
    vgpus = domain.find(f"metadata/{VGPUS_TAG}")
    for path in (f"metadata/{VGPUS_TAG}", "metadata", COMMANDLINE_TAG):
        element = domain.find(path)
        ours = path != "metadata" or vgpus is not None
        if element is not None and ours and len(element) == 0 and not element.attrib:
            _drop_element(element)


def _text(domain: Any) -> str:
    """With libvirt's usual declarations at the top, and comments around the element kept."""
    etree.cleanup_namespaces(
        domain,
        top_nsmap={"qemu": QEMU_NAMESPACE} if domain.find(COMMANDLINE_TAG) is not None else None,
        keep_ns_prefixes=_prefixes(domain),
    )
    return etree.tostring(domain.getroottree(), encoding="unicode")


def _prefixes(domain: Any) -> list[str]:
    """All that are declared: what is not used may be meant for somebody."""
    return sorted({prefix for element in domain.iter() for prefix in element.nsmap if prefix})


def _json(properties: dict[str, object]) -> str:
    return json.dumps(properties, separators=(",", ":"))
