"""`attach`, `detach` and `xml` as they are typed; libvirt's own test driver has no QEMU."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lxml import etree

from qemu_hooks import libvirt_connection
from qemu_hooks.commandline import options
from qemu_hooks.domain_reading import named_vgpus
from qemu_hooks.domain_xml import parsed
from qemu_hooks.libvirt_connection import Connection
from tests.unit.qemu_hooks.fake_libvirt import FakeDomain, FakeLibvirt, LibvirtError, connection
from tests.unit.qemu_hooks.samples import QEMU, WEB, at, commandline, domain, vgpus_in
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import VgpuState

SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
SPARE = commandline("-device", '{"driver":"pcie-root-port","id":"vgpud-spare-0"}')
TEST = ("--connect", "test:///default")


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> FakeDomain:
    """The only domain of a libvirt; it runs, has shared memory and a free port."""
    made = FakeDomain(domain(), live=domain(SHARED + SPARE))
    made.ports = ["vgpud-spare-0"]

    @contextmanager
    def fake(_: str) -> Iterator[Connection]:
        yield connection(FakeLibvirt(made))

    monkeypatch.setattr(libvirt_connection, "connected", fake)
    return made


def test_live_first_and_then_the_definition(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain
) -> None:
    both = ("guest", "web", "--live", "--config")
    outcome = vgpuctl("attach", *both)
    assert outcome.status == 0
    assert outcome.err.index("vgpud-spare-0") < outcome.err.index("metadata names it")
    assert vgpus_in(guest.xml) == [WEB]
    outcome = vgpuctl("detach", *both)
    assert outcome.status == 0
    assert vgpus_in(guest.xml) == []
    assert guest.devices == {}


def test_what_fails_live_leaves_the_definition(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain
) -> None:
    guest.failing["device_add"] = "no such luck"
    assert vgpuctl("attach", "guest", "web", "--live", "--config").status == 1
    assert guest.xml == domain()
    guest.failing.clear()
    assert vgpuctl("attach", "guest", "web", "--live", "--config").status == 0
    guest.on_delete = lambda _: None
    with_it = guest.xml
    command = ("detach", "guest", "web", "--live", "--config", "--timeout", "0.3")
    assert vgpuctl(*command).status == 124
    assert guest.xml == with_it


def test_a_definition_that_cannot_have_it_is_seen_first(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain
) -> None:
    guest.xml = domain(devices="".join(at(slot) for slot in range(32)))
    assert vgpuctl("attach", "guest", "web", "--live", "--config").status == 1
    assert guest.devices == {}


def test_a_definition_that_does_not_follow(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vGPU stays in the machine, and that is said."""

    def fail(*_: object) -> None:
        raise LibvirtError(1, "no such luck")

    monkeypatch.setattr(FakeLibvirt, "defineXML", fail)
    outcome = vgpuctl("attach", "guest", "web", "--live", "--config")
    assert outcome.status == 1
    assert "as it runs was changed, its definition was not: libvirt: no such luck" in outcome.err
    assert "vgpud-gpu-web" in guest.devices


def test_a_definition_that_libvirt_refuses_starts_nothing(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LibvirtError(1, "no such luck")

    monkeypatch.setattr(FakeLibvirt, "defineXML", fail)
    outcome = vgpuctl("attach", "guest", "web")
    assert (outcome.status, "started" in outcome.err) == (1, False)
    assert vgpud.find("web").state is VgpuState.DEFINED


def test_a_snippet_starts_nothing_and_says_so(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    outcome = vgpuctl("xml", "web")
    assert vgpud.find("web").place in outcome.out
    assert "web is not active: the hook starts it" in outcome.err
    assert vgpud.find("web").state is VgpuState.DEFINED


def test_a_look_starts_nothing(vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain) -> None:
    outcome = vgpuctl("attach", "guest", "web", "--dry-run")
    assert vgpus_in(outcome.out) == [WEB]
    assert vgpud.find("web").state is VgpuState.DEFINED
    assert guest.xml == domain()


@pytest.mark.parametrize("where", [(), ("--live",)])
def test_what_is_refused_starts_nothing(
    where: tuple[str, ...], vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain
) -> None:
    guest.xml = domain("<memoryBacking><source type='file'/></memoryBacking>")
    guest.live = domain()
    assert vgpuctl("attach", "guest", "web", *where).status == 1
    assert vgpud.find("web").state is VgpuState.DEFINED


def test_a_managed_save_is_told_of(vgpud: FakeVgpud, vgpuctl: Vgpuctl, guest: FakeDomain) -> None:
    guest.saved, guest.live = True, None
    assert "`virsh managedsave-remove guest`" in vgpuctl("attach", "guest", "web").err


def test_two_snippets_in_one_domain(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    """They differ in the slot; the guard is said to belong in once."""
    first, second = vgpuctl("xml", "web").out, vgpuctl("xml", "db", "--slot", "0x18").out
    ports = [
        next(option.object for option in options(parsed(f"<domain {QEMU}>{out}</domain>")))
        for out in (first, second)
    ]
    assert [port["addr"] for port in ports] == ["0x19", "0x18"]
    assert "once in a domain" in first
    for wrong in ("0", "0x20", "x", "0x1f"):
        assert vgpuctl("xml", "web", "--slot", wrong).status == 2


def test_xml_for_hands(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    for machine, ports in (("q35", 1), ("i440fx", 0)):
        outcome = vgpuctl("xml", "web", "--machine", machine)
        assert outcome.status == 0
        root = parsed(f"<domain {QEMU}>{outcome.out}</domain>")
        assert named_vgpus(root) == [WEB]
        found = [option.object for option in options(root)]
        assert [each.get("driver") for each in found] == (
            ["pcie-root-port"] * ports + ["vfio-user-pci", "vpc"]
        )


def test_xml_for_virt_install(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    words = shlex.split(vgpuctl("xml", "web", "--form", "virt-install").out.replace("\\\n", ""))
    assert words[:2] == ["--memorybacking", "source.type=memfd,access.mode=shared"]
    inner = shlex.split(words[2].removeprefix("--qemu-commandline="))
    assert inner[::2] == ["-device", "-device", "-blockdev"]


def test_a_domain_that_is_not_there(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    for verb in ("attach", "detach"):
        outcome = vgpuctl(verb, 'it\'s "new"', "web", *TEST)
        assert outcome.status == 3
        assert "virsh list --all" in outcome.err
    assert vgpud.find("web").socket == ""


def test_a_domain_that_cannot(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    outcome = vgpuctl("attach", "test", "web", *TEST)
    assert outcome.status == 1
    assert "type 'test' is not run by QEMU" in outcome.err
    assert vgpud.find("web").socket == ""
    outcome = vgpuctl("detach", "test", "web", *TEST)
    assert (outcome.status, outcome.err) == (0, "test: its definition does not have web\n")


def test_dry_run_is_for_the_definition(vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("attach", "test", "web", "--live", "--dry-run").status == 2


def test_without_libvirt_python(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    outcome = vgpuctl("attach", "test", "web", *TEST)
    assert outcome.status == 1
    assert outcome.err.startswith("error: no libvirt-python: ")
    assert "pip install 'vgpu-mediator[libvirt]'" in outcome.err


def test_without_vgpud(vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("attach", "test", "web", *TEST).status == 6
    assert vgpuctl("detach", "test", "web", *TEST).status == 0


def test_the_snippet_is_xml_for_any_name(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.directory = '/run/it\'s "a & b" <c>'
    vgpud.add(vgpud.find("web"))
    out = vgpuctl("xml", "web").out
    root = etree.fromstring(f"<domain {QEMU}>{out}</domain>")
    assert named_vgpus(root)[0].socket == f"{vgpud.directory}/web.sock"
