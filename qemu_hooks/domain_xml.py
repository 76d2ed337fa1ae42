"""A vGPU in the XML of a libvirt domain: add it, remove it. Pure; XML text in, XML text out.

What is not ours stays as it is: elements of other namespaces, comments, arguments of others. Both
functions may be called again and change nothing then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from lxml import etree

from qemu_hooks import domain_checks
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
    Option,
    devices,
    named_vgpus,
    options,
    socket_of,
    vgpu_devices,
)
from qemu_hooks.pci_places import board_of, free_slot, port_arguments
from vgpu_ctl.cli.qemu_command import device_arguments


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


def vgpus_in(xml: str) -> list[DomainVgpu]:
    """The vGPUs that a domain's XML names. Raises DomainProblem for what is no XML."""
    return named_vgpus(parsed(xml))


def add(xml: str, vgpu: DomainVgpu, guard: str, reach: int = 0) -> Edited:
    """A domain with ``vgpu``, which has a socket.

    ``guard`` is the file that keeps QEMU from being saved or moved (see `guard_argument`); empty:
    none. ``reach``: see `domain_checks.warnings`. Raises DomainProblem where it cannot work.
    """
    domain = parsed(xml)
    domain_checks.refuse(domain)
    changes = _add_device(domain, vgpu)
    if guard:
        changes += _add_guard(domain, guard)
    changes += domain_checks.share_memory(domain)
    changes += _name_in_metadata(domain, vgpu)
    return Edited(_text(domain), changes, domain_checks.warnings(domain, reach))


def remove(xml: str, name: str) -> Edited:
    """A domain without the vGPU ``name``; shared memory stays. Raises DomainProblem."""
    domain = parsed(xml)
    changes = []
    for option in list(devices(domain)):
        if option.object.get("id") in (device_id(name), port_id(name)):
            _drop(option)
            changes.append(f"{option.object.get('driver')} is gone")
    for element in domain.findall(f"metadata/{VGPUS_TAG}/{VGPU_TAG}"):
        if element.get("name") == name:
            _drop_element(element)
            changes.append("metadata does not name it")
    if not named_vgpus(domain):
        changes += _drop_guard(domain)
    _drop_empty(domain)
    return Edited(_text(domain), changes, [])


def prepare(xml: str, ports: int) -> Edited:
    """A domain into which ``ports`` vGPUs can be plugged while it runs, besides those it has.

    Raises DomainProblem.
    """
    domain = parsed(xml)
    domain_checks.refuse(domain)
    board = board_of(domain)
    wanted = [spare_port_id(number) for number in range(ports)] if board.has_ports else []
    changes, there = [], set()
    for option in list(devices(domain)):
        identity = str(option.object.get("id", ""))
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


def _add_device(domain: Any, vgpu: DomainVgpu) -> list[str]:
    identity = device_id(vgpu.name)
    there = vgpu_devices(domain)
    known = there.get(identity)
    for other, option in there.items():
        if other != identity and socket_of(option) == vgpu.socket:
            raise DomainProblem(
                f"a device {other} in <qemu:commandline> uses the socket of {vgpu.name} already",
                hint="remove it: `virsh edit`, or leave it as it is and do not attach",
            )
    if known is not None:
        return _repair_device(known, vgpu)
    board = board_of(domain)
    slot = free_slot(domain, board)
    if not board.has_ports:
        _append(
            domain,
            device_arguments(vgpu.socket, identity=identity, bus=board.root_bus, addr=f"{slot:#x}"),
        )
        return [f"device {identity} in slot {slot:#x} of {board.root_bus}"]
    port = port_id(vgpu.name)
    _append(domain, ["-device", _json(port_arguments(port, board, slot))])
    _append(domain, device_arguments(vgpu.socket, identity=identity, bus=port, addr="0x0"))
    return [f"device {identity} in root port {port}, slot {slot:#x} of {board.root_bus}"]


def _repair_device(option: Option, vgpu: DomainVgpu) -> list[str]:
    """Its socket may have moved."""
    if socket_of(option) == vgpu.socket:
        return []
    device = option.object
    device["socket"] = {"type": "unix", "path": vgpu.socket}
    option.elements[1].set("value", _json(device))
    return [f"device {device_id(vgpu.name)} has socket {vgpu.socket}"]


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
