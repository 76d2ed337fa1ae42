"""The hook, as libvirt calls it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qemu_hooks import hook, hook_operations
from qemu_hooks.domain_facts import DRIVER, OWN_NAMESPACE
from qemu_hooks.domain_xml import add
from tests.unit.qemu_hooks.samples import DB, GUARD, WEB, commandline, domain
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import VgpuState

BOTH = add(add(domain(), WEB, GUARD).xml, DB, GUARD).xml.encode()
ONE = add(domain(), WEB, GUARD).xml.encode()
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
PROGRAM = Path(sys.executable).with_name("vgpu-libvirt-hook")
DEVICE = '{"driver":"vfio-user-pci","id":"x","socket":{"type":"unix","path":"%s"}}'
NO_PATH = DEVICE.replace('"unix","path":"%s"', '"inet","host":"::1","port":"1"')
FOREIGN = domain(commandline("-device", DEVICE % "/foreign")).encode()
ALL = ("prepare", "start", "started", "stopped", "release", "reconnect", "restore", "migrate")


def call(operation: str, xml: bytes = ONE) -> int:
    return hook.run(["guest", operation, "begin", "-"], xml)


def test_the_marks_are_the_facts() -> None:
    assert (OWN_NAMESPACE.encode(), DRIVER.encode()) == hook._MARKS


@pytest.mark.parametrize("operation", [*ALL, "attach", "later"])
def test_a_domain_without_a_vgpu(operation: str, tmp_path: Path) -> None:
    """Nothing is imported, and no vgpud asked: none is there. How long that takes is measured by
    `python -m tests.bench control_plane`.
    """
    code = (
        "import sys; from qemu_hooks import hook\n"
        f"status = hook.run(['guest', {operation!r}, 'begin', '-'], hook.read(0))\n"
        "print(status, 'json' in sys.modules, 'vgpu_ctl' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=domain().encode(),
        env={**os.environ, "VGPUD_SOCKET": str(tmp_path / "none")},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == ["0", "False", "False"]


def test_claims_and_releases(vgpud: FakeVgpud) -> None:
    assert call("prepare", BOTH) == 0
    assert call("start", BOTH) == 0
    found = [vgpud.find(name) for name in ("web", "db")]
    assert [(vgpu.state, vgpu.domain) for vgpu in found] == [(VgpuState.ACTIVE, "guest")] * 2
    claims = [params for method, params in vgpud.calls if method == "claim"]
    assert {(each.domain, each.domain_uuid) for each in claims} == {("guest", UUID)}
    for operation in ("started", "stopped"):
        assert call(operation, BOTH) == 0
    assert call("release", BOTH) == 0
    assert [vgpud.find(name).domain for name in ("web", "db")] == ["", ""]


def test_a_vgpu_that_is_taken(vgpud: FakeVgpud, capsys: pytest.CaptureFixture[str]) -> None:
    vgpud.change("db", None, domain="other")
    assert call("prepare", BOTH) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ("vgpud: domain guest: db is taken: domain 'other' has claimed it\n")
    assert vgpud.find("web").domain == ""
    assert vgpud.find("db").domain == "other"


def test_a_vgpu_that_is_no_more(vgpud: FakeVgpud, capsys: pytest.CaptureFixture[str]) -> None:
    vgpud.vgpus.clear()
    assert call("prepare") == 1
    assert "its vGPU web" in capsys.readouterr().err
    assert call("release") == 0
    assert call("reconnect") == 0


def test_a_socket_that_moved(vgpud: FakeVgpud, capsys: pytest.CaptureFixture[str]) -> None:
    vgpud.directory = "/elsewhere"
    assert call("prepare") == 1
    assert "run `vgpuctl attach guest web`" in capsys.readouterr().err
    assert vgpud.find("web").domain == ""


def test_a_device_with_an_id_of_its_own(vgpud: FakeVgpud) -> None:
    """The metadata names the vGPU, and a device has its socket."""
    xml = ONE.replace(b"vgpud-gpu-web", b"mine").replace(b"vgpud-port-web", b"pci.5")
    assert call("prepare", xml) == 0
    assert vgpud.find("web").domain == "guest"
    assert [method for method, _ in vgpud.calls].count("claim") == 1
    assert call("release", xml) == 0
    assert vgpud.find("web").domain == ""


def test_metadata_without_a_device(vgpud: FakeVgpud, capsys: pytest.CaptureFixture[str]) -> None:
    xml = ONE.replace(b"vfio-user-pci", b"edu")
    assert call("prepare", xml) == 1
    assert "no device for it: run `vgpuctl attach guest web`" in capsys.readouterr().err
    assert vgpud.find("web").domain == ""


def test_what_is_taken_back_has_no_uuid(vgpud: FakeVgpud) -> None:
    """Metadata by hand may name a vGPU by its name alone."""
    vgpud.change("db", None, domain="other")
    assert call("prepare", BOTH.replace(WEB.uuid.encode(), b"")) == 1
    assert vgpud.find("web").domain == ""


@pytest.fixture
def plugged(vgpud: FakeVgpud) -> bytes:
    """A running domain as libvirt has it: `web` is in its definition, `db` was plugged in."""
    for name in ("web", "db"):
        vgpud.change(name, None, state=VgpuState.ACTIVE, socket=f"/run/vgpud/vgpus/{name}.sock")
        vgpud.client(name)
    more = f'<vgpud:vgpu name="db" uuid="{DB.uuid}"/></vgpud:vgpus>'
    return ONE.replace(b"</vgpud:vgpus>", more.encode())


def changes(vgpud: FakeVgpud) -> list[str]:
    return [f"{method} {vgpud.find(params.vgpu).name}" for method, params in vgpud.calls]


def test_reconnect_claims_what_was_plugged_in(vgpud: FakeVgpud, plugged: bytes) -> None:
    assert call("reconnect", plugged) == 0
    assert [vgpud.find(name).domain for name in ("web", "db")] == ["guest", "guest"]
    assert changes(vgpud) == ["claim web", "claim db"]


def test_reconnect_gives_nothing_back(vgpud: FakeVgpud, plugged: bytes) -> None:
    """Whatever became of one vGPU, the others are kept."""
    del vgpud.vgpus[WEB.uuid]
    assert call("reconnect", plugged) == 0
    assert changes(vgpud) == ["claim db"]
    vgpud.change("db", None, domain="other")
    assert call("reconnect", plugged) == 0
    assert changes(vgpud) == ["claim db", "claim db"]
    assert vgpud.find("db").domain == "other"


def test_reconnect_claims_nothing_that_is_not_used(vgpud: FakeVgpud, plugged: bytes) -> None:
    """Its vgpud was restarted: QEMU does not come back to it."""
    vgpud.change("web", None, client=None)
    assert call("reconnect", plugged) == 0
    assert changes(vgpud) == ["claim db"]


def test_a_vgpud_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Devices of another server are no business of ours."""
    monkeypatch.setenv("VGPUD_SOCKET", str(tmp_path / "s"))
    monkeypatch.setattr(hook_operations, "_ANSWER_S", 0.2)
    monkeypatch.setattr(hook_operations, "_START_S", 0.2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(8)
        for operation in ALL:
            assert call(operation, FOREIGN) == 0
        assert call("reconnect") == 0
        assert call("release") == 0
        assert call("prepare") == 1
    assert "guest: vgpud" in capsys.readouterr().err.replace("domain ", "")


@pytest.mark.parametrize("operation", ALL)
def test_a_device_of_another_server_without_a_path(operation: str, vgpud: FakeVgpud) -> None:
    """No vGPU is meant, not even one that has no socket now."""
    assert all(vgpu.state is VgpuState.DEFINED for vgpu in vgpud.vgpus.values())
    assert call(operation, domain(commandline("-device", NO_PATH)).encode()) == 0
    assert changes(vgpud) == []


def test_a_device_by_hand_of_a_vgpu_that_is_not_active(vgpud: FakeVgpud) -> None:
    by_hand = FOREIGN.replace(b"/foreign", vgpud.find("web").place.encode())
    assert call("restore", by_hand) == 1
    assert call("prepare", by_hand) == 0
    assert vgpud.find("web").domain == "guest"
    assert vgpud.find("web").state is VgpuState.ACTIVE


@pytest.mark.parametrize("operation", ["restore", "migrate"])
def test_the_state_of_devices_by_hand(operation: str, vgpud: FakeVgpud) -> None:
    """It is refused if one of them is a vGPU."""
    assert call(operation, FOREIGN) == 0
    vgpud.change("web", None, state=VgpuState.ACTIVE, socket=WEB.socket)
    assert call(operation, FOREIGN.replace(b"/foreign", WEB.socket.encode())) == 1


@pytest.mark.parametrize("operation", ["restore", "migrate"])
def test_a_saved_state_is_refused(
    operation: str, vgpud: FakeVgpud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(operation) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot be restored or migrated" in captured.err
    assert call(operation, domain().encode()) == 0
    assert capsys.readouterr() == ("", "")


def test_without_vgpud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only domains that need it do not start."""
    monkeypatch.setenv("VGPUD_SOCKET", str(tmp_path / "none"))
    assert call("prepare") == 1
    assert "no vgpud: there is no socket" in capsys.readouterr().err
    for operation in ("started", "stopped", "release", "reconnect"):
        assert call(operation) == 0
    foreign = domain(commandline("-device", '{"driver":"vfio-user-pci","socket":{"path":"/x"}}'))
    assert call("prepare", foreign.encode()) == 0
    assert call("release", foreign.encode()) == 0


def test_a_device_made_by_hand(vgpud: FakeVgpud) -> None:
    """It is known by its socket, if that is one of vgpud's."""
    vgpud.change("web", None, state=VgpuState.ACTIVE, socket=WEB.socket)
    device = '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"%s"}}'
    ours = domain(commandline("-device", device % WEB.socket, "-device", device % "/foreign"))
    assert call("prepare", ours.encode()) == 0
    assert vgpud.find("web").domain == "guest"
    assert call("release", ours.encode()) == 0
    assert vgpud.find("web").domain == ""


def test_reconnect_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setitem(hook_operations._OPERATIONS, "reconnect", broken)
    assert call("reconnect") == 0


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0\xff" * 100,
        b"urn:vgpud:domain:1",
        b"<domain>vfio-user-pci",
        b"<x a='urn:vgpud:domain:1'/>",
        ONE[: len(ONE) // 2],
        b"<?xml version='1.0' encoding='foo'?>" + ONE,
        b"<?xml version='1.0' encoding='shift_jis'?>" + ONE,
    ],
)
def test_garbage(operation: str, garbage: bytes, vgpud: FakeVgpud) -> None:
    assert call(operation, garbage) == 0
    assert vgpud.calls == []


@pytest.mark.parametrize("arguments", [[], ["guest"], ["guest", "prepare", "begin", "-"]])
def test_no_input(arguments: list[str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", str(PROGRAM), *arguments],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
