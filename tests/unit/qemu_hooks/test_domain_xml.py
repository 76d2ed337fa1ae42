"""A vGPU in a domain's XML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import etree

from qemu_hooks.domain_facts import COMMANDLINE_TAG, GUARD_NODE, DomainVgpu
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import named_vgpus, options, other_sockets
from qemu_hooks.domain_xml import add, parsed, prepare, remove, vgpus_in
from tests.unit.qemu_hooks.samples import DB, GUARD, WEB, at, commandline, domain

SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def objects(xml: str, option: str = "-device") -> list[dict[str, Any]]:
    return [found.object for found in options(parsed(xml)) if found.name == option]


def canonical(xml: str) -> str:
    return etree.canonicalize(xml, strip_text=True, with_comments=True)


def added(xml: str, vgpu: DomainVgpu = WEB) -> str:
    return add(xml, vgpu, GUARD).xml


def test_on_q35_it_has_a_port_of_its_own() -> None:
    edited = add(domain(), WEB, GUARD)
    port, device = objects(edited.xml)
    assert port == {
        "driver": "pcie-root-port",
        "id": "vgpud-port-web",
        "bus": "pcie.0",
        "addr": "0x1e",
        "chassis": 158,
        "mem-reserve": 32 << 20,
        "pref64-reserve": 512 << 20,
    }
    assert device == {
        "driver": "vfio-user-pci",
        "id": "vgpud-web",
        "bus": "vgpud-port-web",
        "addr": "0x0",
        "socket": {"type": "unix", "path": WEB.socket},
        "x-msg-timeout": 30000,
    }
    assert edited.changes == [
        "device vgpud-web in root port vgpud-port-web, slot 0x1e of pcie.0",
        "QEMU refuses to save or move it",
        "memory is a memfd",
        "memory is shared",
        "metadata names it",
    ]
    assert edited.warnings == []
    assert vgpus_in(edited.xml) == [WEB]


@pytest.mark.parametrize("machine", ["pc", "pc-i440fx-9.0"])
def test_on_i440fx_it_has_a_slot(machine: str) -> None:
    (device,) = objects(added(domain(machine=machine)))
    assert (device["bus"], device["addr"]) == ("pci.0", "0x1e")


def test_nobody_has_its_slot() -> None:
    mine = commandline("-device", "edu,addr=1c.0", "-device", '{"driver":"edu","addr":"0x1b"}')
    port, _ = objects(added(domain(mine, at(0x1E) + at(0x1D) + at(0x1A, bus=1))))[2:]
    assert port["addr"] == "0x1a"
    full = "".join(at(slot) for slot in range(32))
    with pytest.raises(DomainProblem, match="no slot"):
        add(domain(devices=full), WEB, GUARD)


def test_again_changes_nothing() -> None:
    once = added(domain())
    edited = add(once, WEB, GUARD)
    assert (edited.xml, edited.changes) == (once, [])


def test_two_of_them() -> None:
    both = added(added(domain()), DB)
    assert vgpus_in(both) == [WEB, DB]
    ports = [each for each in objects(both) if each["driver"] == "pcie-root-port"]
    assert [port["addr"] for port in ports] == ["0x1e", "0x1d"]
    assert len({port["chassis"] for port in ports}) == 2
    assert len(objects(both, "-blockdev")) == 1
    one = remove(both, "web")
    assert vgpus_in(one.xml) == [DB]
    assert objects(one.xml, "-blockdev")[0]["node-name"] == GUARD_NODE
    none = remove(one.xml, "db")
    assert none.changes[-1] == "QEMU may save and move it"
    assert parsed(none.xml).find(COMMANDLINE_TAG) is None
    assert parsed(none.xml).find("metadata") is None


def test_ports_to_plug_into() -> None:
    edited = prepare(added(domain()), 2)
    assert edited.changes == [
        "root port vgpud-spare-0 in slot 0x1d of pcie.0",
        "root port vgpud-spare-1 in slot 0x1c of pcie.0",
    ]
    assert prepare(edited.xml, 2).changes == []
    assert prepare(edited.xml, 1).changes == ["root port vgpud-spare-1 is gone"]
    assert vgpus_in(edited.xml) == [WEB]
    first = prepare(domain(), 1)
    assert first.changes[1:] == ["memory is a memfd", "memory is shared"]
    none = prepare(first.xml, 0)
    assert none.changes == ["root port vgpud-spare-0 is gone"]
    assert parsed(none.xml).find(COMMANDLINE_TAG) is None
    assert prepare(domain(machine="pc"), 1).changes == ["memory is a memfd", "memory is shared"]


def test_a_socket_that_moved() -> None:
    moved = WEB._replace(socket="/elsewhere/web.sock")
    edited = add(added(domain()), moved, "/elsewhere/guard.vhd")
    assert edited.changes == [
        "device vgpud-web has socket /elsewhere/web.sock",
        "guard against saving and moving is /elsewhere/guard.vhd",
    ]
    assert vgpus_in(edited.xml) == [moved]


def test_a_new_vgpu_of_that_name() -> None:
    edited = add(added(domain()), WEB._replace(uuid=DB.uuid), GUARD)
    assert edited.changes == ["metadata has its new UUID"]


def test_what_is_not_ours_stays() -> None:
    inside = (
        "<!-- keep --><metadata><o:a xmlns:o='urn:other' o:b='1'>text</o:a></metadata>"
        + commandline("-device", "edu", "-S", "plain", "-name", "x='y' & z")
        + "<x:later xmlns:x='urn:x'/>"
    )
    xml = f"<!-- before -->{domain(inside)}<!-- after -->"
    edited = added(xml)
    for text in ("<!-- keep -->", "<!-- before -->", "<!-- after -->", "urn:other", "x:later"):
        assert text in edited
    kept = [(o.name, o.value) for o in options(parsed(edited))][:4]
    assert kept == [("-device", "edu"), ("-S", "plain"), ("-name", "x='y' & z"), kept[3]]
    gone = remove(edited, "web").xml
    backing = parsed(gone)
    backing.remove(backing.find("memoryBacking"))
    assert canonical(etree.tostring(backing.getroottree(), encoding="unicode")) == canonical(xml)


def test_remove_knows_no_other() -> None:
    xml = added(domain())
    assert remove(xml, "db").changes == []
    assert remove(domain(), "web").changes == []


@pytest.mark.parametrize(
    ("backing", "changes"),
    [
        ("", ["memory is a memfd", "memory is shared"]),
        ("<memoryBacking><hugepages/></memoryBacking>", ["memory is a memfd", "memory is shared"]),
        (
            "<memoryBacking><source type='anonymous'/><access mode='private'/></memoryBacking>",
            ["memory is a memfd (was anonymous)", "memory is shared (was private)"],
        ),
        (
            SHARED,
            [],
        ),
        (
            SHARED
            + "<cpu><numa><cell id='0' memAccess='private'/><cell id='1' memAccess='shared'/>"
            "<cell id='2'/></numa></cpu>",
            ["memory of NUMA cell 0 is shared"],
        ),
    ],
)
def test_memory(backing: str, changes: list[str]) -> None:
    edited = add(domain(backing), WEB, GUARD)
    assert [change for change in edited.changes if change.startswith("memory")] == changes
    root = parsed(edited.xml)
    assert len(root.findall("memoryBacking")) == 1
    assert (root.find("memoryBacking/hugepages") is not None) == ("hugepages" in backing)


def test_memory_modules() -> None:
    edited = add(domain(devices="<memory model='dimm' access='private'/>"), WEB, GUARD)
    assert "memory module dimm is shared" in edited.changes


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("", "no XML"),
        ("<domain", "no XML"),
        ("\0", "no XML"),
        ("<network/>", "<network> is no domain"),
        (domain(kind="xen"), "'xen'"),
        (domain(arch="aarch64", machine="virt"), "'aarch64'"),
        (domain(machine="microvm"), "'microvm'"),
        ("<domain type='kvm'><os><type>exe</type></os></domain>", "hvm"),
        ("<domain type='kvm'/>", "hvm"),
        (domain("<launchSecurity type='sev'/>"), "launchSecurity"),
        (domain("<memoryBacking><source type='file'/></memoryBacking>"), "type='file'"),
    ],
)
def test_what_cannot_have_one(xml: str, said: str) -> None:
    with pytest.raises(DomainProblem, match=said):
        add(xml, WEB, GUARD)


def test_entities_are_not_followed() -> None:
    bomb = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
    text = bomb + domain("<title>&a;</title>")
    assert "root:" not in added(text)


def test_a_device_made_by_hand_is_not_doubled() -> None:
    device = json.dumps({"driver": "vfio-user-pci", "socket": {"type": "unix", "path": WEB.socket}})
    xml = domain(commandline("-device", device))
    assert other_sockets(parsed(xml)) == [WEB.socket]
    with pytest.raises(DomainProblem, match="uses the socket of web already"):
        add(xml, WEB, GUARD)
    assert other_sockets(parsed(added(xml, DB))) == [WEB.socket]


@pytest.mark.parametrize(
    ("inside", "options", "said"),
    [
        ("", {"acpi": False}, "no <acpi/>"),
        ("", {"memory": str(20 << 20)}, "up to 22 GiB"),
        ("<maxMemory slots='4' unit='GiB'>32</maxMemory>", {}, "up to 35 GiB"),
        (commandline("-object", "memory-backend-file,id=x"), {}, "is not looked at"),
        (commandline("-object", '{"qom-type":"memory-backend-ram"}'), {}, "is not looked at"),
    ],
)
def test_warnings(inside: str, options: dict[str, Any], said: str) -> None:
    (warning,) = add(domain(inside, **options), WEB, GUARD, reach=16 << 30).warnings
    assert said in warning


@pytest.mark.parametrize(
    "words",
    [
        ("-device",),
        ("vfio-user-pci",),
        ("-device", "{"),
        ("-device", "[" * 5000),
        ("-device", '{"driver":"vfio-user-pci","socket":7}'),
        ("-device", '{"driver":"vfio-user-pci","socket":{"path":[]}}'),
        ("-device", "-device", '{"driver":["vfio-user-pci"]}'),
    ],
)
def test_odd_arguments(words: tuple[str, ...]) -> None:
    xml = domain(commandline(*words))
    assert named_vgpus(parsed(xml)) == []
    assert other_sockets(parsed(xml)) == []
    assert vgpus_in(added(xml)) == [WEB]
