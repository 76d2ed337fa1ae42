"""A vGPU plugged into a running domain, and what is taken back when that fails."""

from __future__ import annotations

from typing import Any

import pytest

from qemu_hooks.domain_facts import GUARD_NODE
from qemu_hooks.domain_problem import DomainProblem, DomainTimeout
from qemu_hooks.domain_reading import named_vgpus
from qemu_hooks.domain_xml import add, parsed
from qemu_hooks.hotplug import plug, unplug
from tests.unit.qemu_hooks.fake_libvirt import FakeDomain, FakeLibvirt, connection
from tests.unit.qemu_hooks.samples import DB, GUARD, WEB, commandline, domain
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.client import ApiError, Client

SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def port(index: int, extra: str = "") -> str:
    return (
        f"<controller type='pci' index='{index}' model='pcie-root-port'>{extra}"
        f"<alias name='pci.{index}'/></controller>"
    )


@pytest.fixture
def guest() -> FakeDomain:
    """It has shared memory and two ports that are free."""
    live = domain(SHARED, port(9) + port(10) + port(11, "<target hotplug='off'/>"))
    made = FakeDomain(domain(), live)
    made.ports = ["pci.9", "pci.10", "pci.11"]
    return made


@pytest.fixture
def client(vgpud: FakeVgpud) -> Client:
    return Client.connect()


def plugged(guest: FakeDomain, client: Client, vgpu: Any = WEB) -> list[str]:
    return plug(connection(FakeLibvirt(guest)), guest, client, vgpu, GUARD)


def unplugged(guest: FakeDomain, name: str = "web", timeout_s: float = 10.0) -> list[str]:
    shown: list[float] = []
    done = unplug(
        connection(FakeLibvirt(guest)), guest, name, lambda: None, shown.append, timeout_s
    )
    assert shown
    return done


def names(guest: FakeDomain) -> list[str]:
    assert guest.live is not None
    return [vgpu.name for vgpu in named_vgpus(parsed(guest.live))]


def test_in_and_out(guest: FakeDomain, client: Client, vgpud: FakeVgpud) -> None:
    assert plugged(guest, client) == ["device vgpud-gpu-web in pci.10, slot 0x0"]
    device = guest.devices["vgpud-gpu-web"]
    assert (device["bus"], device["addr"], device["socket"]["path"]) == (
        "pci.10",
        "0x0",
        WEB.socket,
    )
    assert names(guest) == ["web"]
    assert list(guest.nodes) == [GUARD_NODE]
    assert vgpud.find("web").domain == "guest"
    assert plugged(guest, client) == []
    assert plugged(guest, client, DB) == ["device vgpud-gpu-db in pci.9, slot 0x0"]
    assert unplugged(guest) == ["device vgpud-gpu-web is gone"]
    assert names(guest) == ["db"]
    assert list(guest.nodes) == [GUARD_NODE]
    assert unplugged(guest, "db") == ["device vgpud-gpu-db is gone", "QEMU may save and move it"]
    assert (names(guest), guest.nodes, guest.listeners) == ([], {}, {})


def test_a_port_of_our_own_comes_first(guest: FakeDomain, client: Client) -> None:
    own = '{"driver":"pcie-root-port","id":"vgpud-port-old"}'
    guest.live = domain(SHARED + commandline("-device", own), port(9))
    guest.ports = ["pci.9", "vgpud-port-old"]
    assert plugged(guest, client) == ["device vgpud-gpu-web in vgpud-port-old, slot 0x0"]


def test_on_i440fx(guest: FakeDomain, client: Client) -> None:
    guest.live = domain(SHARED, machine="pc")
    guest.slots = [0, 1, 2, 0x1F]
    assert plugged(guest, client) == ["device vgpud-gpu-web in pci.0, slot 0x1e"]


def test_memory_that_is_not_shared(guest: FakeDomain, client: Client) -> None:
    for inside in (
        "",
        SHARED.replace("memfd", "anonymous"),
        SHARED + "<cpu><numa><cell memAccess='private'/></numa></cpu>",
    ):
        guest.live = domain(inside, port(9))
        with pytest.raises(DomainProblem, match="cannot change while it does") as caught:
            plugged(guest, client)
        assert "attach` without --live" in caught.value.hint
    assert guest.commands == []


def test_no_free_port(guest: FakeDomain, client: Client, vgpud: FakeVgpud) -> None:
    plugged(guest, client, DB)
    guest.ports.remove("pci.9")
    with pytest.raises(DomainProblem, match="no free root port"):
        plugged(guest, client)
    guest.ports.append("pci.9")
    guest.room["pci.9"] = (1 << 64) - 1
    with pytest.raises(DomainProblem, match="no free root port"):
        plugged(guest, client)
    assert vgpud.find("web").domain == ""


def test_a_vgpu_of_another(guest: FakeDomain, client: Client, vgpud: FakeVgpud) -> None:
    vgpud.change("web", None, domain="other")
    with pytest.raises(ApiError, match="has claimed it"):
        plugged(guest, client)
    assert (guest.devices, guest.nodes, guest.metadata) == ({}, {}, [])


@pytest.mark.parametrize("step", ["setMetadata", "blockdev-add", "device_add"])
def test_what_fails_is_taken_back(
    step: str, guest: FakeDomain, client: Client, vgpud: FakeVgpud
) -> None:
    plugged(guest, client, DB)
    unplugged(guest, "db")
    guest.failing[step] = "no such luck"
    with pytest.raises(DomainProblem, match="no such luck"):
        plugged(guest, client)
    guest.failing.clear()
    assert (guest.devices, guest.nodes, names(guest)) == ({}, {}, [])
    assert vgpud.find("web").domain == ""
    assert plugged(guest, client)


def test_a_domain_that_does_not_run(guest: FakeDomain, client: Client) -> None:
    guest.live = None
    with pytest.raises(DomainProblem, match="does not run"):
        plugged(guest, client)
    with pytest.raises(DomainProblem, match="does not run"):
        unplugged(guest)


def test_a_guest_that_does_not_let_go(guest: FakeDomain, client: Client) -> None:
    plugged(guest, client)
    guest.on_delete = lambda _: None
    with pytest.raises(DomainTimeout, match=r"within 0\.3 s"):
        unplugged(guest, timeout_s=0.3)
    assert (names(guest), list(guest.nodes)) == (["web"], [GUARD_NODE])

    def at_last(identity: str) -> None:
        guest.let_go(identity)
        raise ValueError(f"Device {identity} is already in the process of unplug")

    guest.on_delete = at_last
    assert unplugged(guest)


def test_a_guest_that_refuses(guest: FakeDomain, client: Client) -> None:
    plugged(guest, client)
    guest.on_delete = lambda identity: guest.tell("DEVICE_UNPLUG_GUEST_ERROR", device=identity)
    with pytest.raises(DomainProblem, match="refuses to let go"):
        unplugged(guest)


def test_events_of_others_and_lost_ones(guest: FakeDomain, client: Client) -> None:
    plugged(guest, client)

    def silently(identity: str) -> None:
        guest.tell("DEVICE_DELETED", device="another")
        guest.tell("DEVICE_DELETED", path="/machine/x")
        del guest.devices[identity]

    guest.on_delete = silently
    assert unplugged(guest)


def test_qemu_refuses_to_unplug(guest: FakeDomain, client: Client) -> None:
    plugged(guest, client)
    guest.failing["device_del"] = "Bus does not support hotplugging"
    with pytest.raises(DomainProblem, match="Bus does not support"):
        unplugged(guest)


def test_one_that_is_not_there(guest: FakeDomain) -> None:
    with pytest.raises(DomainProblem, match="runs without web"):
        unplug(connection(FakeLibvirt(guest)), guest, "web", lambda: None, lambda _: None)


def test_one_that_went_by_itself(guest: FakeDomain) -> None:
    """The guest let go after we had stopped waiting: what is left is cleared."""
    guest.live = add(domain(SHARED), WEB, GUARD).xml
    guest.nodes[GUARD_NODE] = {}
    done = unplug(connection(FakeLibvirt(guest)), guest, "web", lambda: None, lambda _: None)
    assert done == ["QEMU may save and move it"]
    assert names(guest) == []


def test_one_that_comes_while_another_goes(guest: FakeDomain, client: Client) -> None:
    """Its metadata stays, and the guard that it needs."""
    plugged(guest, client)

    def slowly(identity: str) -> None:
        assert plugged(guest, client, DB)
        guest.let_go(identity)

    guest.on_delete = slowly
    assert unplugged(guest) == ["device vgpud-gpu-web is gone"]
    assert (names(guest), list(guest.nodes)) == (["db"], [GUARD_NODE])


@pytest.mark.parametrize("name", ["x", "device[3]"])
def test_the_guard_stays_with_a_device_that_is_not_named(
    name: str, guest: FakeDomain, client: Client
) -> None:
    plugged(guest, client)
    guest.devices[name] = {"driver": "vfio-user-pci", "id": name}
    assert unplugged(guest) == ["device vgpud-gpu-web is gone"]
    assert list(guest.nodes) == [GUARD_NODE]


def test_a_device_with_an_id_of_its_own(guest: FakeDomain, client: Client) -> None:
    """The domain was started with it: it is found by its socket, or in its port."""
    started = add(domain(SHARED), WEB, GUARD).xml.replace("vgpud-gpu-web", "mine")
    for live in (started, started.replace("vgpud-port-web", "pci.5")):
        guest.live = live
        guest.devices["mine"] = {"driver": "vfio-user-pci"}
        assert plugged(guest, client) == []
        done = unplug(
            *(connection(FakeLibvirt(guest)), guest, "web", lambda: None, lambda _: None),
            socket=WEB.socket,
        )
        assert done == ["device mine is gone"]
        assert names(guest) == []


def test_an_answer_that_is_none(guest: FakeDomain, client: Client) -> None:
    libvirt = connection(FakeLibvirt(guest))

    class Broken:
        @staticmethod
        def qemuMonitorCommand(*_: object) -> str:  # noqa: N802
            return "{"

    libvirt.monitor = Broken
    with pytest.raises(DomainProblem, match="no answer in JSON"):
        plug(libvirt, guest, client, WEB, GUARD)
