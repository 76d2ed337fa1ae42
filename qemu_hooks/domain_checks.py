"""What a domain needs for a vGPU besides the device: shared memory, a PC, ACPI. Pure.

`refuse` raises for what cannot work, `share_memory` changes what must change, `warnings` tells of
what works less well than somebody may think.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from qemu_hooks.commandline import json_object, options
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.pci_places import Q35, board_of

_TYPES = ("kvm", "qemu")
_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 10**3,
    "k": 1 << 10,
    "KiB": 1 << 10,
    "MB": 10**6,
    "M": 1 << 20,
    "MiB": 1 << 20,
    "GB": 10**9,
    "G": 1 << 30,
    "GiB": 1 << 30,
    "TB": 10**12,
    "T": 1 << 40,
    "TiB": 1 << 40,
}
"""https://libvirt.org/formatdomain.html#memory-allocation"""
_HOLE = 2 << 30
"""RAM above this is moved behind 4 GiB by q35; i440fx moves less."""
_GIB = 1 << 30
_FILE_HINT = (
    "vgpud takes memory that can be sealed: use <source type='memfd'/> in <memoryBacking> (with "
    "<hugepages/> too, if you like)"
)
HOW_TO_SHARE = (
    "`vgpuctl attach` without --live puts <source type='memfd'/> and <access mode='shared'/> into "
    "<memoryBacking>; then power the domain off and start it"
)


def refuse(domain: Any) -> None:
    """Raises DomainProblem for a domain that can have no vGPU at all."""
    if domain.tag != "domain":
        raise DomainProblem(f"<{domain.tag}> is no domain")
    kind = domain.get("type", "")
    if kind not in _TYPES:
        raise DomainProblem(f"a domain of type {kind!r} is not run by QEMU: {', '.join(_TYPES)}")
    system = domain.find("os/type")
    if system is None or (system.text or "").strip() != "hvm":
        raise DomainProblem("<os> does not say <type>hvm</type>")
    arch = system.get("arch", "x86_64")
    if arch != "x86_64":
        raise DomainProblem(f"architecture {arch!r}: a Gen9 GPU is a device of x86_64")
    board_of(domain)
    if domain.find("launchSecurity") is not None:
        raise DomainProblem(
            "<launchSecurity>: the memory of this domain is hidden from everybody else",
            hint="a GPU must read and write it: remove <launchSecurity>",
        )
    source = domain.find("memoryBacking/source")
    if source is not None and source.get("type") == "file":
        raise DomainProblem("<memoryBacking> has <source type='file'/>", hint=_FILE_HINT)


def share_memory(domain: Any) -> list[str]:
    """Have all RAM in memfds that are shared; what was changed, in words."""
    changes = []
    backing = domain.find("memoryBacking")
    if backing is None:
        backing = etree.Element("memoryBacking")
        _put_after(domain, backing, ("currentMemory", "memory", "maxMemory", "uuid", "name"))
    changes += _set(backing, "source", "type", "memfd", "memory is a memfd")
    changes += _set(backing, "access", "mode", "shared", "memory is shared")
    for cell in domain.iterfind("cpu/numa/cell[@memAccess]"):
        if cell.get("memAccess") != "shared":
            cell.set("memAccess", "shared")
            changes.append(f"memory of NUMA cell {cell.get('id', '?')} is shared")
    for module in domain.iterfind("devices/memory[@access]"):
        if module.get("access") != "shared":
            module.set("access", "shared")
            changes.append(f"memory module {module.get('model', '?')} is shared")
    return changes


def unshared(domain: Any) -> str:
    """Why the memory of a domain as it runs cannot be shared with a GPU; empty: it can."""
    access = domain.find("memoryBacking/access")
    source = domain.find("memoryBacking/source")
    if access is None or access.get("mode") != "shared":
        return "its memory is not shared"
    if source is None or source.get("type") != "memfd":
        return "its memory is no memfd"
    if any(cell.get("memAccess") == "private" for cell in domain.iterfind("cpu/numa/cell")):
        return "a NUMA cell has private memory"
    if any(module.get("access") == "private" for module in domain.iterfind("devices/memory")):
        return "a memory module is private"
    return ""


def warnings(domain: Any, reach: int) -> list[str]:
    """What works less well. ``reach``: guest physical addresses end there for the GPU; 0: never."""
    found = []
    if domain.find("features/acpi") is None:
        found.append(
            "<features> has no <acpi/>: a vGPU cannot be unplugged then, and an old libvirt (9.0) "
            "does not start a QEMU that is new enough for vGPUs"
        )
    top = _highest_address(domain)
    if reach and top > reach:
        found.append(
            f"the domain may have memory up to {top / _GIB:.0f} GiB, and a vGPU of this type "
            f"reaches {reach / _GIB:.0f} GiB: memory above is refused when it is mapped"
        )
    if any(module.get("model") == "nvdimm" for module in domain.iterfind("devices/memory")):
        found.append("an NVDIMM is a file that cannot be sealed: the GPU will not reach it")
    found += [
        "memory in <qemu:commandline> is not looked at: it must be a shared memfd"
        for option in options(domain)
        if option.name == "-object" and _is_memory(option.value)
    ]
    return found


def _is_memory(value: str) -> bool:
    kind = str(json_object(value).get("qom-type", value))
    return kind.startswith("memory-backend-")


def _highest_address(domain: Any) -> int:
    """Where guest RAM ends at most, memory that may be plugged included."""
    sizes = [_bytes(domain.find(tag)) for tag in ("maxMemory", "memory")]
    size = max(sizes)
    if size <= _HOLE:
        return size
    moved = 4 * _GIB - _HOLE if board_of(domain) is Q35 else _GIB
    pluggable = _GIB if sizes[0] else 0  # begins at a whole GiB
    return size + moved + pluggable


def _bytes(element: Any) -> int:
    """A size as libvirt writes it; 0 for none, or one that is none."""
    if element is None or not (element.text or "").strip().isdigit():
        return 0
    return int(element.text) * _UNITS.get(element.get("unit", "KiB"), 1 << 10)


def _set(parent: Any, tag: str, attribute: str, value: str, words: str) -> list[str]:
    """Have an element with that attribute; the change in words, unless it was so."""
    element = parent.find(tag)
    if element is None:
        element = etree.SubElement(parent, tag)
    before = element.get(attribute)
    if before == value:
        return []
    element.set(attribute, value)
    return [f"{words}{f' (was {before})' if before else ''}"]


def _put_after(domain: Any, element: Any, tags: tuple[str, ...]) -> None:
    """Place a new child of the domain after the first of ``tags`` that is there."""
    for tag in tags:
        there = domain.find(tag)
        if there is not None:
            element.tail = there.tail
            there.addnext(element)
            return
    domain.insert(0, element)
