"""A vGPU in the definition of a domain that libvirt keeps, and who else has it."""

from __future__ import annotations

from typing import Any, NamedTuple

from qemu_hooks import domain_checks, domain_xml
from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import named_vgpus, vfio_devices
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


def detach(
    connection: Connection, domain: Any, name: str, socket: str = "", *, write: bool
) -> Edited:
    """Have it start without. ``socket``: see `domain_xml.remove`. Raises DomainProblem."""
    edited = domain_xml.remove(connection.persistent_xml(domain), name, socket)
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
    """Raises DomainProblem when another domain has the vGPU, in its definition or as it runs."""
    own = domain.UUIDString()
    for other in connection.domains():
        if other.UUIDString() == own:
            continue
        where = _where(connection, other, vgpu)
        if where is not None:
            raise DomainProblem(
                f"domain {other.name()!r} has {vgpu.name} already{where.words}, and a vGPU is for "
                "one",
                hint=f"{where.way_out.format(other.name(), vgpu.name)} first, or create another "
                "vGPU",
            )


class _Where(NamedTuple):
    """How another domain has a vGPU, and how it gets rid of it."""

    words: str
    way_out: str


_DEFINED = _Where("", "`vgpuctl detach {} {}`")
_RUNNING = _Where(" while it runs", "`vgpuctl detach {} {} --live`")
_BY_HAND = _Where(", by hand", "`virsh edit {}`")


def _where(connection: Connection, domain: Any, vgpu: DomainVgpu) -> _Where | None:
    """As it runs the metadata alone is asked: arguments stay there when a vGPU is plugged out."""
    try:
        with connection.errors():
            persistent, active = domain.isPersistent(), domain.isActive()
            flags = connection.binding.VIR_DOMAIN_XML_INACTIVE
            kept = domain_xml.parsed(domain.XMLDesc(flags)) if persistent else None
            live = domain_xml.parsed(domain.XMLDesc(0)) if active else None
    except DomainProblem:  # gone meanwhile
        return None
    if kept is not None and _names(kept, vgpu):
        return _DEFINED
    if live is not None and _names(live, vgpu):
        return _RUNNING
    by_hand = [] if kept is None else vfio_devices(kept)
    return _BY_HAND if vgpu.socket in [device.socket for device in by_hand] else None


def _names(domain: Any, vgpu: DomainVgpu) -> bool:
    return any(each.uuid == vgpu.uuid for each in named_vgpus(domain))


def _define(connection: Connection, before: str, edited: Edited, vgpu: DomainVgpu) -> None:
    """libvirt leaves out what it does not know, without a word: then the change is taken back."""
    domain = connection.define(edited.xml)
    kept = domain_xml.parsed(connection.persistent_xml(domain))
    sockets = [device.socket for device in vfio_devices(kept)]
    if not _names(kept, vgpu) or vgpu.socket not in sockets:
        connection.define(before)
        raise DomainProblem(
            "libvirt has not kept <qemu:commandline> or <metadata>",
            hint="is it the driver of QEMU? `virsh uri` says so",
        )
