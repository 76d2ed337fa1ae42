"""A vGPU in the definition of a domain that libvirt keeps."""

from __future__ import annotations

from typing import Any

from qemu_hooks import domain_checks, domain_xml
from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import named_vgpus
from qemu_hooks.domain_xml import Edited
from qemu_hooks.libvirt_connection import Connection


def attach(
    connection: Connection, domain: Any, vgpu: DomainVgpu, guard: str, reach: int, *, write: bool
) -> Edited:
    """Have the domain start with the vGPU from now on; without ``write`` only say what would be.

    Raises DomainProblem; the definition is as it was then.
    """
    refuse_second(connection, domain, vgpu)
    before = connection.persistent_xml(domain)
    edited = domain_xml.add(before, vgpu, guard, reach)
    if write and edited.changes:
        _define(connection, before, edited, vgpu)
    return edited


def detach(connection: Connection, domain: Any, name: str, *, write: bool) -> Edited:
    """Have it start without. Raises DomainProblem."""
    edited = domain_xml.remove(connection.persistent_xml(domain), name)
    if write and edited.changes:
        connection.define(edited.xml)
    return edited


def prepare(connection: Connection, domain: Any, ports: int) -> Edited:
    """Have it start with shared memory and so many free ports. Raises DomainProblem."""
    edited = domain_xml.prepare(connection.persistent_xml(domain), ports)
    if edited.changes:
        connection.define(edited.xml)
    return edited


def refuse_unfit(connection: Connection, domain: Any, *, live: bool) -> None:
    """Raises DomainProblem for a domain that can have no vGPU, before anything is done for it."""
    xml = connection.live_xml(domain) if live else connection.persistent_xml(domain)
    domain_checks.refuse(domain_xml.parsed(xml))


def refuse_second(connection: Connection, domain: Any, vgpu: DomainVgpu) -> None:
    """Raises DomainProblem when another domain's definition has the vGPU."""
    own = domain.UUIDString()
    for other in connection.domains():
        if other.UUIDString() == own or not _names(connection, other, vgpu):
            continue
        raise DomainProblem(
            f"domain {other.name()!r} has {vgpu.name} already, and a vGPU is for one",
            hint=f"`vgpuctl detach {other.name()} {vgpu.name}` first, or create another vGPU",
        )


def _names(connection: Connection, domain: Any, vgpu: DomainVgpu) -> bool:
    try:
        with connection.errors():
            xml = domain.XMLDesc(connection.binding.VIR_DOMAIN_XML_INACTIVE)
        found = named_vgpus(domain_xml.parsed(xml))
    except DomainProblem:  # gone meanwhile
        return False
    return any(each.uuid == vgpu.uuid for each in found)


def _define(connection: Connection, before: str, edited: Edited, vgpu: DomainVgpu) -> None:
    """libvirt leaves out what it does not know, without a word: then the change is taken back."""
    domain = connection.define(edited.xml)
    kept = domain_xml.vgpus_in(connection.persistent_xml(domain))
    if vgpu not in kept:
        connection.define(before)
        raise DomainProblem(
            "libvirt has not kept <qemu:commandline> or <metadata>",
            hint="is it the driver of QEMU? `virsh uri` says so",
        )
