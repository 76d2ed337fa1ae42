"""`doctor --domain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from qemu_hooks import domain_findings as findings
from qemu_hooks.domain_findings import DomainSubject
from qemu_hooks.domain_xml import add, parsed
from qemu_hooks.hook_script import script
from tests.unit.qemu_hooks.samples import GUARD, WEB, commandline, domain
from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.cli.finding import Outcome, Status
from vgpu_ctl.cli.subject import Subject

WITH = add(domain(), WEB, GUARD).xml
BY_HAND = domain(commandline("-device", '{"driver":"vfio-user-pci","socket":{"path":"/x"}}'))
NO_DEVICE = WITH.replace("vfio-user-pci", "edu")
OWN_ID = WITH.replace("vgpud-gpu-web", "mine").replace("vgpud-port-web", "pci.5")
SERVED = samples.vgpu("web", uuid=WEB.uuid, active=True, socket=WEB.socket)


def subject(
    xml: str, *, saved: bool = False, vgpus: list[VgpuInfo] | None = None, hooks: Path = Path("/n")
) -> DomainSubject:
    return DomainSubject("guest", parsed(xml), saved, vgpus, hooks, Subject())


def said(outcome: Outcome) -> tuple[Status, str]:
    assert outcome.advice or outcome.status in (Status.OK, Status.SKIP)
    return outcome.status, outcome.detail


def test_machine() -> None:
    assert said(findings.can_have_one(subject(WITH)))[0] is Status.OK
    assert said(findings.can_have_one(subject(domain(machine="microvm"))))[0] is Status.FAIL


@pytest.mark.parametrize(
    ("xml", "vgpus", "status", "text"),
    [
        (WITH, [SERVED], Status.OK, "web"),
        (WITH, [samples.vgpu("web", uuid=WEB.uuid, place=WEB.socket)], Status.OK, "web"),
        (WITH, None, Status.WARN, "no vgpud"),
        (NO_DEVICE, [SERVED], Status.FAIL, "has no device"),
        (NO_DEVICE, [samples.vgpu("web", uuid=WEB.uuid, place="/x")], Status.FAIL, "has no device"),
        (OWN_ID, [SERVED], Status.OK, "web"),
        (WITH, [], Status.FAIL, "web is no more"),
        (add(domain(), WEB._replace(socket="/y"), GUARD).xml, [SERVED], Status.FAIL, "not at /y"),
        (BY_HAND, [], Status.WARN, "/x"),
        (domain(), [], Status.SKIP, "none"),
    ],
)
def test_vgpus(xml: str, vgpus: list[VgpuInfo] | None, status: Status, text: str) -> None:
    found = said(findings.names_its_vgpus(subject(xml, vgpus=vgpus)))
    assert found[0] is status
    assert text in found[1]


def test_memory() -> None:
    assert said(findings.shares_memory(subject(WITH)))[0] is Status.OK
    assert said(findings.shares_memory(subject(domain())))[0] is Status.WARN
    unshared = WITH.replace("shared", "private")
    assert said(findings.shares_memory(subject(unshared)))[0] is Status.FAIL
    module = WITH.replace("</devices>", "<memory model='dimm' access='private'/></devices>")
    assert said(findings.shares_memory(subject(module))) == (
        Status.FAIL,
        "a memory module is private",
    )


def test_unusual() -> None:
    assert said(findings.has_no_surprises(subject(WITH)))[0] is Status.OK
    assert "acpi" in said(findings.has_no_surprises(subject(domain(acpi=False))))[1]


def test_saving() -> None:
    assert said(findings.is_not_saved_or_moved(subject(WITH)))[0] is Status.OK
    assert said(findings.is_not_saved_or_moved(subject(domain())))[0] is Status.SKIP
    assert said(findings.is_not_saved_or_moved(subject(BY_HAND)))[0] is Status.WARN
    assert said(findings.is_not_saved_or_moved(subject(WITH, saved=True)))[0] is Status.FAIL


def test_hook(tmp_path: Path) -> None:
    place = tmp_path / "qemu.d" / "50-vgpud"
    look = subject(WITH, hooks=tmp_path)
    assert said(findings.hook_is_installed(look))[0] is Status.WARN
    place.parent.mkdir()
    place.write_text("#!/bin/sh\n")
    assert "not ours" in said(findings.hook_is_installed(look))[1]
    place.write_text(script("/p"))
    assert said(findings.hook_is_installed(look))[0] is Status.OK


def test_emulator(tmp_path: Path) -> None:
    assert said(findings.emulator_is_fit(subject(WITH)))[0] is Status.SKIP
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'name \"vfio-user-pci\"'\n")
    program.chmod(0o755)
    there = domain(devices=f"<emulator>{program}</emulator>")
    assert said(findings.emulator_is_fit(subject(there)))[0] is Status.OK
    gone = domain(devices="<emulator>/nowhere</emulator>")
    assert said(findings.emulator_is_fit(subject(gone)))[0] is not Status.OK


def test_as_it_is_typed(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    outcome = vgpuctl("doctor", "--domain", "test", "--connect", "test:///default")
    assert outcome.status == 1
    assert "machine" in outcome.out
    assert "type 'test' is not run by QEMU" in outcome.out
    nobody = vgpuctl("doctor", "--domain", "nobody", "--connect", "test:///default")
    assert nobody.status == 3
