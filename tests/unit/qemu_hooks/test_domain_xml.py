"""A vGPU in a domain's XML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import etree

from qemu_hooks.commandline import options
from qemu_hooks.domain_facts import COMMANDLINE_TAG, GUARD_NODE, DomainVgpu
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import named_vgpus, other_devices, vfio_devices
from qemu_hooks.domain_xml import add, parsed, prepare, remove
from tests.unit.qemu_hooks.samples import DB, GUARD, WEB, at, commandline, domain, vgpus_in

SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def objects(xml: str, option: str = "-device") -> list[dict[str, Any]]:
    return [found.object for found in options(parsed(xml)) if found.name == option]


def canonical(xml: str) -> str:
    text: str = etree.canonicalize(xml, strip_text=True, with_comments=True)
    return text


def added(xml: str, vgpu: DomainVgpu = WEB) -> str:
    return add(xml, vgpu, GUARD).xml


def test_on_q35_it_has_a_port_of_its_own() -> None:
    edited = add(domain(), WEB, GUARD)
    port, device = objects(edited.xml)
    assert port == {
        "driver": "pcie-root-port",
        "id": "vgpud-port-web",
        "bus": "pcie.0",
        "addr": "0x19",
        "chassis": 153,
        "mem-reserve": 32 << 20,
        "pref64-reserve": 512 << 20,
    }
    assert device == {
        "driver": "vfio-user-pci",
        "id": "vgpud-gpu-web",
        "bus": "vgpud-port-web",
        "addr": "0x0",
        "socket": {"type": "unix", "path": WEB.socket},
        "x-msg-timeout": 30000,
    }
    assert edited.changes == [
        "device vgpud-gpu-web in root port vgpud-port-web, slot 0x19 of pcie.0",
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
    assert (device["bus"], device["addr"]) == ("pci.0", "0x19")


def test_nobody_has_its_slot() -> None:
    mine = commandline(
        *("-device", "edu,addr=17.0", "-device", '{"driver":"edu","addr":"0x16"}'),
        *("-device", '{"driver":"edu","addr":168}'),  # a devfn: slot 0x15
    )
    (port, _) = objects(added(domain(mine, at(0x19) + at(0x18) + at(0x14, bus=1))))[3:]
    assert port["addr"] == "0x14"
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
    assert [port["addr"] for port in ports] == ["0x19", "0x18"]
    assert len({port["chassis"] for port in ports}) == 2
    assert len(objects(both, "-blockdev")) == 1
    one = remove(both, "web")
    assert one.warnings == []
    assert vgpus_in(one.xml) == [DB]
    assert objects(one.xml, "-blockdev")[0]["node-name"] == GUARD_NODE
    none = remove(one.xml, "db")
    assert none.changes[-1] == "QEMU may save and move it"
    assert parsed(none.xml).find(COMMANDLINE_TAG) is None
    assert parsed(none.xml).find("metadata") is None


def test_ports_to_plug_into() -> None:
    edited = prepare(added(domain()), 2)
    assert edited.changes == [
        "root port vgpud-spare-0 in slot 0x18 of pcie.0",
        "root port vgpud-spare-1 in slot 0x17 of pcie.0",
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
        "device vgpud-gpu-web has socket /elsewhere/web.sock",
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


def test_libvirts_own_places_come_last() -> None:
    """It wants them for what it adds later without an address."""
    below = "".join(at(slot) for slot in range(1, 0x1A))
    assert objects(added(domain(devices=below)))[0]["addr"] == "0x1c"
    assert objects(added(domain(devices=below + at(0x1C))))[0]["addr"] == "0x1b"


def own(identity: str = "mine", **properties: str) -> tuple[str, str]:
    """A device that the domain's owner made for `web`."""
    socket = {"type": "unix", "path": WEB.socket}
    device = {"driver": "vfio-user-pci", "id": identity, **properties, "socket": socket}
    return ("-device", json.dumps(device))


METADATA = (
    "<metadata><v:vgpus xmlns:v='urn:vgpud:domain:1'>"
    f"<v:vgpu name='web' uuid='{WEB.uuid}'/></v:vgpus></metadata>"
)


@pytest.mark.parametrize("metadata", ["", METADATA])
def test_a_device_made_by_hand_is_kept(metadata: str) -> None:
    """What else it needs is completed."""
    xml = domain(metadata + commandline(*own(bus="pci.5")))
    edited = add(xml, WEB, GUARD)
    assert [each["id"] for each in objects(edited.xml)] == ["mine"]
    assert "QEMU refuses to save or move it" in edited.changes
    assert [vgpu.uuid for vgpu in vgpus_in(edited.xml)] == [WEB.uuid]
    assert add(edited.xml, WEB, GUARD).changes == []
    gone = remove(edited.xml, "web", WEB.socket)
    assert (objects(gone.xml), objects(gone.xml, "-blockdev")) == ([], [])
    unknown = remove(edited.xml, "web")  # no vgpud has said where its socket is
    assert [each["id"] for each in objects(unknown.xml)] == ["mine"]
    assert unknown.warnings == [
        "device mine stays: no vGPU's, or made by hand",
    ]
    assert len(objects(unknown.xml, "-blockdev")) == 1


def test_two_devices_with_one_socket() -> None:
    for words in (own("vgpud-gpu-db"), [*own(), *own("vgpud-gpu-web")]):
        with pytest.raises(DomainProblem, match="uses the socket of web already"):
            add(domain(commandline(*words)), WEB, GUARD)


def test_a_device_of_another_server_is_left_alone() -> None:
    device = json.dumps({"driver": "vfio-user-pci", "id": "x", "socket": {"path": "/x.sock"}})
    xml = domain(commandline("-device", device))
    edited = added(xml)
    assert [each["id"] for each in objects(edited)] == ["x", "vgpud-port-web", "vgpud-gpu-web"]
    left = other_devices(vfio_devices(parsed(edited)), vgpus_in(edited))
    assert [each.socket for each in left] == ["/x.sock"]
    gone = remove(edited, "web")
    assert [each["id"] for each in objects(gone.xml)] == ["x"]
    assert len(objects(gone.xml, "-blockdev")) == 1


def ids(xml: str) -> list[str]:
    return [str(each.get("id")) for each in objects(xml)]


def named(name: str) -> DomainVgpu:
    return DomainVgpu(name, f"uuid of {name}", f"/run/vgpud/vgpus/{name}.sock")


@pytest.mark.parametrize("name", ["port-web", "spare-0", "gpu-web"])
def test_names_like_our_ids(name: str) -> None:
    both = added(added(domain()), named(name))
    assert len(set(ids(both))) == 4
    assert ids(remove(both, name).xml) == ["vgpud-port-web", "vgpud-gpu-web"]
    ready = prepare(both, 1)
    assert ids(ready.xml) == [*ids(both), "vgpud-spare-0"]
    assert ids(prepare(ready.xml, 0).xml) == ids(both)


def test_only_ports_are_taken_for_ports() -> None:
    mine = [
        json.dumps({"driver": "edu", "id": name}) for name in ("vgpud-port-web", "vgpud-spare-7")
    ]
    xml = domain(SHARED + commandline("-device", mine[0], "-device", mine[1]))
    assert remove(xml, "web").changes == []
    assert prepare(xml, 0).changes == []


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_vgpu_with_a_new_name(machine: str) -> None:
    """It is known by its UUID, and stays where it was."""
    before = added(added(domain(machine=machine)), DB)
    renamed = DomainVgpu("w2", WEB.uuid, "/run/vgpud/vgpus/w2.sock")
    edited = add(before, renamed, GUARD)
    assert edited.changes[0] == "web is w2 now"
    assert vgpus_in(edited.xml) == [DB, renamed]
    assert not {"vgpud-gpu-web", "vgpud-port-web"}.intersection(ids(edited.xml))

    def slot(xml: str, name: str) -> str:
        wanted = (f"vgpud-port-{name}", f"vgpud-gpu-{name}")
        return next(str(each["addr"]) for each in objects(xml) if each["id"] in wanted)

    assert slot(edited.xml, "w2") == slot(before, "web")
    assert add(edited.xml, renamed, GUARD).changes == []


def without(xml: str, identity: str) -> str:
    """A device is gone, by hand."""
    root = parsed(xml)
    for option in list(options(root)):
        if option.object.get("id") == identity:
            for element in option.elements:
                element.getparent().remove(element)
    return etree.tostring(root, encoding="unicode")


def changed(xml: str, identity: str, **properties: str) -> str:
    """A device is another, by hand."""
    root = parsed(xml)
    for option in options(root):
        if option.object.get("id") == identity:
            option.elements[1].set("value", json.dumps(option.object | properties))
    return etree.tostring(root, encoding="unicode")


def test_a_port_that_is_gone_comes_back() -> None:
    """Before the device, as QEMU takes them in order; what its owner gave that stays."""
    owned = changed(without(added(domain()), "vgpud-port-web"), "vgpud-gpu-web", x="1")
    edited = add(owned, WEB, GUARD)
    assert edited.changes == ["root port vgpud-port-web in slot 0x19 of pcie.0"]
    assert ids(edited.xml) == ["vgpud-port-web", "vgpud-gpu-web"]
    assert objects(edited.xml)[1]["x"] == "1"
    alone = without(added(domain()), "vgpud-gpu-web")
    assert ids(added(alone)) == ["vgpud-port-web", "vgpud-gpu-web"]


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_slot_that_is_anothers_by_now(machine: str) -> None:
    before = added(added(domain(machine=machine)), DB)
    edited = add(before.replace("<devices>", f"<devices>{at(0x19)}"), WEB, GUARD)
    assert edited.changes[0].endswith(
        f"in slot 0x17 of {'pcie.0' if machine == 'q35' else 'pci.0'}"
    )
    assert add(edited.xml, WEB, GUARD).changes == []
    assert ids(edited.xml) == ids(before)


def test_a_machine_of_another_kind() -> None:
    before = added(domain(machine="q35"))
    old = add(before.replace("'q35'", "'pc'").replace('"q35"', '"pc"'), WEB, GUARD)
    (device,) = objects(old.xml)
    assert (device["bus"], device["addr"]) == ("pci.0", "0x19")
    new = add(old.xml.replace('"pc"', '"q35"'), WEB, GUARD)
    port, device = objects(new.xml)
    assert (port["bus"], device["bus"], device["addr"]) == ("pcie.0", "vgpud-port-web", "0x0")


def test_where_its_owner_wants_it() -> None:
    on_pci = domain(commandline(*own(bus="pci.0")), machine="pc")
    assert [each.get("addr") for each in objects(added(on_pci))] == [None]
    for bus in ("pci.5", "pcie.0"):
        moved = changed(without(added(domain()), "vgpud-port-web"), "vgpud-gpu-web", bus=bus)
        assert add(moved, WEB, GUARD).changes == []


def test_a_device_with_another_id_is_removed_too() -> None:
    """It is in the port that was made for it."""
    gone = remove(changed(added(domain()), "vgpud-gpu-web", id="mine"), "web")
    assert gone.changes == [
        "vfio-user-pci is gone",
        "pcie-root-port is gone",
        "metadata does not name it",
        "QEMU may save and move it",
    ]
    assert parsed(gone.xml).find(COMMANDLINE_TAG) is None


@pytest.mark.parametrize(
    "word",
    ["edu,id=x,bus=vgpud-port-web", '{"driver":"edu","id":"x","bus":"vgpud-port-web"}'],
)
def test_a_port_that_another_device_is_in_stays(word: str) -> None:
    xml = added(domain(commandline("-device", word)))
    with pytest.raises(DomainProblem, match="x is in the root port of web too"):
        remove(xml, "web")


def test_the_guard_stays_with_a_device() -> None:
    """Also one that no metadata names: its GPU's state would be lost too."""
    both = added(domain(commandline(*own())), DB)
    gone = remove(both, "db")
    assert gone.changes[-1] == "metadata does not name it"
    assert objects(gone.xml, "-blockdev")


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
    assert [each.socket for each in vfio_devices(parsed(xml)) if each.socket] == []
    assert vgpus_in(added(xml)) == [WEB]
