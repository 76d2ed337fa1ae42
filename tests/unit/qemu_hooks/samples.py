"""Domains as libvirt writes them, made from parts."""

from __future__ import annotations

from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_reading import named_vgpus
from qemu_hooks.domain_xml import parsed

WEB = DomainVgpu("web", "11111111-2222-4333-8444-555555555555", "/run/vgpud/vgpus/web.sock")
DB = DomainVgpu("db", "11111111-2222-4333-8444-666666666666", "/run/vgpud/vgpus/db.sock")
GUARD = "/run/vgpud/vgpus/guard.vhd"
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"


def domain(
    inside: str = "",
    devices: str = "",
    *,
    machine: str = "pc-q35-9.0",
    kind: str = "kvm",
    arch: str = "x86_64",
    acpi: bool = True,
    memory: str = "4194304",
) -> str:
    """A domain with more elements ``inside``, and more ``devices``."""
    features = "<features><acpi/><apic/></features>" if acpi else ""
    return (
        f"<domain type='{kind}' {QEMU}>\n"
        "  <name>guest</name>\n"
        "  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\n"
        f"  <memory unit='KiB'>{memory}</memory>\n"
        f"  <os><type arch='{arch}' machine='{machine}'>hvm</type></os>\n"
        f"  {features}\n"
        f"  <devices>\n{devices}\n  </devices>\n"
        f"  {inside}\n"
        "</domain>"
    )


def at(slot: int, bus: int = 0) -> str:
    """A device of libvirt's at an address."""
    return (
        "<memballoon model='virtio'><address type='pci' domain='0x0000' "
        f"bus='{bus:#04x}' slot='{slot:#04x}' function='0x0'/></memballoon>"
    )


def commandline(*words: str) -> str:
    """Arguments of others."""
    escaped = (word.replace("&", "&amp;").replace("'", "&apos;") for word in words)
    arguments = "".join(f"<qemu:arg value='{word}'/>" for word in escaped)
    return f"<qemu:commandline>{arguments}</qemu:commandline>"


def vgpus_in(xml: str) -> list[DomainVgpu]:
    """The vGPUs that a domain's metadata names."""
    return named_vgpus(parsed(xml))
