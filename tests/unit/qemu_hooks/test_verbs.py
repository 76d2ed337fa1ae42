"""`attach`, `detach` and `xml` as they are typed; libvirt's own test driver has no QEMU."""

from __future__ import annotations

import shlex
import sys

import pytest
from lxml import etree

from qemu_hooks.commandline import options
from qemu_hooks.domain_reading import named_vgpus
from qemu_hooks.domain_xml import parsed
from tests.unit.qemu_hooks.samples import QEMU, WEB
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud

TEST = ("--connect", "test:///default")


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
    out = vgpuctl("xml", "web").out
    root = etree.fromstring(f"<domain {QEMU}>{out}</domain>")
    assert named_vgpus(root)[0].socket == f"{vgpud.directory}/web.sock"
