"""The definition of a domain, through libvirt."""

from __future__ import annotations

import pytest

from qemu_hooks.attach import attach, detach, refuse_second
from qemu_hooks.domain_problem import DomainDenied, DomainMissing, DomainProblem
from qemu_hooks.domain_reading import vfio_devices
from qemu_hooks.domain_xml import add, parsed
from qemu_hooks.libvirt_connection import connected
from tests.unit.qemu_hooks.fake_libvirt import Binding, FakeDomain, FakeLibvirt, connection
from tests.unit.qemu_hooks.fake_libvirt import LibvirtError as Error
from tests.unit.qemu_hooks.samples import DB, GUARD, WEB, commandline, domain, vgpus_in

DEVICE = '{"driver":"vfio-user-pci","id":"x","socket":{"type":"unix","path":"%s"}}'


def test_there_and_back() -> None:
    guest = FakeDomain(domain())
    libvirt = connection(FakeLibvirt(guest))
    assert "metadata names it" in attach(libvirt, guest, WEB, GUARD, 0, write=True).changes
    assert vgpus_in(guest.xml) == [WEB]
    assert attach(libvirt, guest, WEB, GUARD, 0, write=True).changes == []
    assert detach(libvirt, guest, "web", write=True).changes
    assert vgpus_in(guest.xml) == []
    assert len(libvirt.handle.defined) == 2


def test_a_look_changes_nothing() -> None:
    guest = FakeDomain(domain())
    libvirt = connection(FakeLibvirt(guest))
    edited = attach(libvirt, guest, WEB, GUARD, 0, write=False)
    assert vgpus_in(edited.xml) == [WEB]
    assert guest.xml == domain()


def test_another_domain_has_it() -> None:
    guest, other = FakeDomain(domain()), FakeDomain(add(domain(), WEB, GUARD).xml)
    libvirt = connection(FakeLibvirt(guest, other))
    with pytest.raises(DomainProblem, match="has web already"):
        attach(libvirt, guest, WEB, GUARD, 0, write=True)
    assert libvirt.handle.defined == []


def test_another_domain_runs_with_it() -> None:
    """Plugged in: its definition knows nothing of that."""
    guest, other = FakeDomain(domain()), FakeDomain(domain(), live=add(domain(), WEB, GUARD).xml)
    libvirt = connection(FakeLibvirt(guest, other))
    with pytest.raises(DomainProblem, match="has web already while it runs") as caught:
        refuse_second(libvirt, guest, WEB)
    assert "`vgpuctl detach guest web --live`" in caught.value.hint


def test_another_domain_has_it_by_hand() -> None:
    device = DEVICE % WEB.socket
    guest, other = FakeDomain(domain()), FakeDomain(domain(commandline("-device", device)))
    libvirt = connection(FakeLibvirt(guest, other))
    with pytest.raises(DomainProblem, match="has web already, by hand") as caught:
        refuse_second(libvirt, guest, WEB)
    assert "`virsh edit guest`" in caught.value.hint
    refuse_second(libvirt, guest, DB)
    other.xml, other.live = domain(), other.xml  # plugged out: arguments stay as long as it runs
    refuse_second(libvirt, guest, WEB)


def test_a_device_of_its_owner_is_kept() -> None:
    device = DEVICE % WEB.socket
    guest = FakeDomain(domain(commandline("-device", device)))
    libvirt = connection(FakeLibvirt(guest))
    assert "metadata names it" in attach(libvirt, guest, WEB, GUARD, 0, write=True).changes
    assert detach(libvirt, guest, "web", WEB.socket, write=True).changes
    assert vfio_devices(parsed(guest.xml)) == []


def test_a_transient_domain() -> None:
    guest = FakeDomain(domain(), live=domain())
    guest.persistent = False
    with pytest.raises(DomainProblem, match="is transient"):
        attach(connection(FakeLibvirt(guest)), guest, WEB, GUARD, 0, write=True)


def test_a_libvirt_that_does_not_keep_it() -> None:
    guest = FakeDomain(domain())
    handle = FakeLibvirt(guest)
    handle.keeps = False
    with pytest.raises(DomainProblem, match="has not kept"):
        attach(connection(handle), guest, WEB, GUARD, 0, write=True)
    assert handle.defined[-1] == domain()


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (Binding.VIR_ERR_NO_DOMAIN, "Domain not found", DomainMissing),
        (Binding.VIR_ERR_AUTH_UNAVAILABLE, "authentication unavailable", DomainDenied),
        (Binding.VIR_ERR_OPERATION_DENIED, "read only access prevents defineXML", DomainDenied),
        (Binding.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: Permission denied", DomainDenied),
        (Binding.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: No such file", DomainProblem),
        (1, "internal error", DomainProblem),
    ],
)
def test_what_libvirt_says(code: int, text: str, kind: type[DomainProblem]) -> None:
    """Also in the middle: a domain may vanish between two calls."""
    guest = FakeDomain(domain())
    handle = FakeLibvirt(guest)

    def fail(xml: str) -> FakeDomain:
        raise Error(code, text)

    handle.defineXML = fail  # type: ignore[method-assign]
    with pytest.raises(DomainProblem, match=text) as caught:
        attach(connection(handle), guest, WEB, GUARD, 0, write=True)
    assert type(caught.value) is kind
    assert guest.xml == domain()


def test_the_real_binding_finds_no_libvirt() -> None:
    """libvirt-python is there for the tests; what it says is what users see."""
    with (
        pytest.raises(DomainProblem, match="/nowhere/socket") as caught,
        connected("qemu+unix:///system?socket=/nowhere/socket"),
    ):
        pass
    assert "is libvirtd or virtqemud running?" in caught.value.hint


def test_the_real_binding_finds_a_domain() -> None:
    with connected("test:///default") as libvirt:
        found = libvirt.domain("test")
        assert libvirt.domain(found.UUIDString()).name() == "test"
        with pytest.raises(DomainMissing, match="Domain not found"):
            libvirt.domain('it\'s "new"')
        with pytest.raises(DomainProblem, match="type 'test'"):
            attach(libvirt, found, WEB, GUARD, 0, write=True)
