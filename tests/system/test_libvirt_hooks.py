"""A real libvirtd asks vgpud: who may start, who is refused, who is freed. No guest boots."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qemu_hooks.domain_xml import add
from tests.guests.domain import DomainFacts, DomainGuest
from tests.guests.images import images
from tests.guests.libvirt_copy import find_libvirt
from tests.guests.libvirtd import Libvirtd, LibvirtdError
from tests.guests.served import REPOSITORY
from tests.guests.store import cache_root
from tests.integration.control_rig import wait_until
from tests.integration.libvirt_rig import LibvirtRig, libvirt_rig
from tests.unit.qemu_hooks.samples import vgpus_in
from vgpu_ctl.api.objects import VgpuState

pytestmark = pytest.mark.system

ODD = 'it\'s "a" <machine> & more'
SMALL = 256
GUARDED = "vgpu-cannot-be-saved-or-moved"


@pytest.fixture(scope="module")
def rig() -> Iterator[LibvirtRig]:
    with libvirt_rig(images()) as made:
        yield made


@pytest.fixture
def web(rig: LibvirtRig) -> Iterator[str]:
    """A vGPU for one test."""
    with rig.vgpud.client() as client:
        client.define(name="web", type="V9_4")
    yield "web"
    with rig.vgpud.client() as client:  # another, maybe of another vgpud
        client.destroy("web", force=True)


@pytest.fixture
def domains(rig: LibvirtRig) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def define(rig: LibvirtRig, stack: ExitStack, name: str) -> DomainGuest:
    facts = DomainFacts(name, memory=SMALL, cpus=1)
    return stack.enter_context(DomainGuest(rig.images, rig.libvirtd, facts))


def start(rig: LibvirtRig, guest: DomainGuest) -> None:
    """With its processors stopped: QEMU has all of its devices then."""
    rig.libvirtd.virsh("start", guest.name, "--paused")


def test_a_start_claims_and_the_end_releases(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    one = define(rig, domains, ODD)
    said = rig.must("attach", ODD, web)
    assert f"{ODD}: metadata names it" in said
    assert "it has web already" in rig.must("attach", ODD, web)
    rig.must("stop", web)
    start(rig, one)
    with rig.vgpud.client() as client:
        vgpu = client.show(web)
    assert (vgpu.state, vgpu.domain) == (VgpuState.ACTIVE, ODD)
    assert vgpu.client is not None
    assert vgpu.client.pid == one.pid
    assert ODD in rig.must("list", "-o", "wide")
    one.kill()
    with rig.vgpud.client() as client:
        wait_until(lambda: client.show(web).state is VgpuState.DEFINED, "stopped by the hook")
    rig.must("detach", ODD, web)
    kept = rig.libvirtd.virsh("dumpxml", ODD)
    assert vgpus_in(kept) == []
    assert "commandline" not in kept


def test_the_example_of_the_document(rig: LibvirtRig, tmp_path: Path) -> None:
    """libvirt keeps all of it; the accelerator and QEMU are this machine's."""
    page = (REPOSITORY / "docs/libvirt.md").read_text()
    xml = page.split("```xml\n")[1].split("```")[0]
    xml = xml.replace("type='kvm'", "type='qemu'").replace("<cpu mode='host-passthrough'/>", "")
    xml = xml.replace("/usr/bin/qemu-system-x86_64", str(rig.libvirtd.emulator))
    path = tmp_path / "example.xml"
    path.write_text(xml)
    rig.libvirtd.virsh("define", "--validate", str(path))
    try:
        kept = rig.libvirtd.virsh("dumpxml", "mydomain")
        example = vgpus_in(xml)
        assert example[0].socket == "/run/vgpud/vgpus/web.sock"
        assert vgpus_in(kept) == example
        guard = "/run/vgpud/vgpus/no-migration.vhd"
        assert add(kept, example[0], guard).changes == []
    finally:
        rig.libvirtd.virsh("undefine", "mydomain")


def test_a_vgpu_that_is_taken(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    one, two = define(rig, domains, "one"), define(rig, domains, "two")
    rig.must("attach", "one", web)
    second = rig.vgpuctl("attach", "two", web)
    assert second.returncode == 1
    assert "domain 'one' has web already" in second.stderr
    copied = rig.libvirtd.virsh("dumpxml", "one", "--inactive")
    for old, new in ((one.name, two.name), (uuid_of(rig, "one"), uuid_of(rig, "two"))):
        copied = copied.replace(f">{old}<", f">{new}<")
    path = Path(two.console_path.parent, "copied.xml")
    path.write_text(copied)
    rig.libvirtd.virsh("define", str(path))
    start(rig, one)
    with pytest.raises(LibvirtdError, match="web is taken: domain 'one'") as caught:
        start(rig, two)
    assert "Hook script execution failed" in str(caught.value)
    assert rig.domain_of(web) == "one"
    one.kill()
    wait_until(lambda: not rig.domain_of(web), "released")
    start(rig, two)
    assert rig.domain_of(web) == "two"


def uuid_of(rig: LibvirtRig, name: str) -> str:
    return rig.libvirtd.virsh("domuuid", name)


def test_a_qemu_that_is_killed_frees_it_at_once(
    rig: LibvirtRig, web: str, domains: ExitStack
) -> None:
    """Also while no libvirtd is there to run a hook. On a busy machine, one of several times."""
    guest = define(rig, domains, "one")
    rig.must("attach", "one", web)
    assert any(freed_within(rig, web, guest) < 1 for _ in range(4))


def freed_within(rig: LibvirtRig, web: str, guest: DomainGuest) -> float:
    """Seconds from the end of its QEMU on."""
    start(rig, guest)
    pid = guest.pid
    rig.libvirtd.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not rig.domain_of(web), "freed")
    took = time.monotonic() - killed
    with rig.vgpud.client() as client:
        client.claim(web, "another", "11111111-2222-4333-8444-555555555555")
        client.release(web)
    rig.libvirtd.start()
    guest.wait_for_state("shut off", 60)
    return took


def test_a_libvirtd_that_comes_back_finds_it(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    guest = define(rig, domains, "one")
    rig.must("attach", "one", web)
    start(rig, guest)
    before = rig.vgpud.said().count("claimed by domain one")
    rig.libvirtd.stop()
    rig.libvirtd.start()
    wait_until(lambda: rig.vgpud.said().count("claimed by domain one") > before, "reconnected")
    assert (guest.state(), rig.domain_of(web)) == ("paused", "one")


def test_a_libvirtd_that_comes_back_finds_what_was_plugged_in(
    rig: LibvirtRig, web: str, domains: ExitStack
) -> None:
    """And what the hook had started, which is stopped in the end."""
    with rig.vgpud.client() as client:
        client.define(name="db", type="V9_4")
    domains.callback(rig.must, "destroy", "db", "--force")
    guest = define(rig, domains, "one")
    rig.must("attach", "one", "db")
    rig.must("prepare", "one")
    rig.must("stop", "db")
    start(rig, guest)
    rig.must("attach", "one", web, "--live")

    def told(what: str) -> int:
        return rig.vgpud.said().count(f"{what} by domain one")

    claimed, released = told("claimed"), told("released")
    rig.libvirtd.stop()
    rig.libvirtd.start()
    wait_until(lambda: told("claimed") == claimed + 2, "both found")
    assert told("released") == released
    assert (guest.state(), rig.domain_of(web), rig.domain_of("db")) == ("paused", "one", "one")
    guest.kill()
    with rig.vgpud.client() as client:
        wait_until(
            lambda: {vgpu.state for vgpu in client.vgpus()} == {VgpuState.DEFINED},
            "stopped by the hook",
        )


def test_without_vgpud(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    plain, with_vgpu = define(rig, domains, "plain"), define(rig, domains, "one")
    rig.must("attach", "one", web)
    rig.vgpud.stop()
    try:
        start(rig, plain)
        with pytest.raises(LibvirtdError, match="no vgpud"):
            start(rig, with_vgpu)
        plain.kill()
    finally:
        rig.vgpud.start()
    start(rig, with_vgpu)


def test_it_is_not_saved_or_moved(
    rig: LibvirtRig, web: str, domains: ExitStack, tmp_path: Path
) -> None:
    guest = define(rig, domains, "one")
    rig.must("attach", "one", web)
    start(rig, guest)
    root = Path(rig.libvirtd.directory.parent, "m")
    root.mkdir()
    virsh = rig.libvirtd.virsh
    with Libvirtd(find_libvirt(cache_root()), rig.images.qemu, root) as target:
        for command in (
            ("save", "one", str(tmp_path / "saved")),
            ("managedsave", "one"),
            ("migrate", "one", target.uri, "--live", "--p2p"),
            ("migrate", "one", target.uri, "--unsafe"),
        ):
            said = virsh(*command, check=False)
            assert GUARDED in said, (command, said)
            assert guest.state() == "paused"
    said = virsh(
        *("snapshot-create-as", "one", "s", "--live"),
        *("--memspec", f"file={tmp_path / 'm'},snapshot=external", "--diskspec", "vda,snapshot=no"),
        check=False,
    )
    assert GUARDED in said
    assert not (tmp_path / "saved").exists()
    # `virsh dump` needs a helper at a fixed place: this is what it has QEMU do.
    migrate = '{"execute":"migrate","arguments":{"uri":"exec:cat >/dev/null"}}'
    assert GUARDED in virsh("qemu-monitor-command", "one", migrate, check=False)
    assert guest.state() == "paused"


def test_a_saved_state_is_not_restored(
    rig: LibvirtRig, web: str, domains: ExitStack, tmp_path: Path
) -> None:
    """As a libvirt without the guard may have written it."""
    define(rig, domains, "one")
    rig.must("attach", "one", web)
    xml = rig.libvirtd.virsh("dumpxml", "one").encode() + b"\0"
    # virQEMUSaveHeader of libvirt's src/qemu/qemu_saveimage.h
    header = struct.pack("=16s5I56x", b"LibvirtQemudSave", 2, len(xml), 0, 0, 0)
    saved = tmp_path / "saved"
    saved.write_bytes(header + xml)
    said = rig.libvirtd.virsh("restore", str(saved), check=False)
    assert "cannot be restored or migrated" in said


def test_plugged_in_and_out(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    guest = define(rig, domains, "one")
    rig.must("prepare", "one")
    start(rig, guest)
    assert "device vgpud-gpu-web in vgpud-spare-0" in rig.must("attach", "one", web, "--live")
    assert "runs with web already" in rig.must("attach", "one", web, "--live")
    assert [vgpu.name for vgpu in vgpus_in(rig.libvirtd.virsh("dumpxml", "one"))] == [web]
    assert vgpus_in(rig.libvirtd.virsh("dumpxml", "one", "--inactive")) == []
    assert GUARDED in rig.libvirtd.virsh("managedsave", "one", check=False)
    stuck = rig.vgpuctl("detach", "one", web, "--live", "--timeout", "0.5")
    assert stuck.returncode == 124, stuck.stderr  # its processors do not run
    assert "has not let go" in stuck.stderr
    assert rig.domain_of(web) == "one"


def test_what_cannot_be_plugged(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    unshared, shared = define(rig, domains, "one"), define(rig, domains, "two")
    rig.must("prepare", "two")
    assert "does not run" in rig.vgpuctl("attach", "one", web, "--live").stderr
    start(rig, unshared)
    start(rig, shared)
    refused = rig.vgpuctl("attach", "one", web, "--live")
    assert "its memory is not shared" in refused.stderr
    assert "without --live" in refused.stderr
    with rig.vgpud.client() as client:
        assert client.show(web).state is VgpuState.DEFINED
        Path(client.start(web).socket).unlink()
    before = rig.libvirtd.virsh("dumpxml", "two")
    failed = rig.vgpuctl("attach", "two", web, "--live")
    assert failed.returncode == 1
    assert "QEMU: device_add: " in failed.stderr
    after = rig.libvirtd.virsh("dumpxml", "two")
    assert after.replace("  <metadata/>\n", "") == before
    assert GUARDED not in rig.libvirtd.virsh(
        "qemu-monitor-command", "two", '{"execute":"query-named-block-nodes"}'
    )
    assert rig.domain_of(web) == ""


def test_a_connection_that_may_not_write(rig: LibvirtRig, web: str, domains: ExitStack) -> None:
    define(rig, domains, "one")
    before = rig.libvirtd.virsh("dumpxml", "one")
    uri = f"{rig.libvirtd.uri}-ro"
    denied = rig.vgpuctl("attach", "one", web, uri=uri)
    assert denied.returncode == 7, denied.stderr
    assert "become root, or join the group libvirt" in denied.stderr
    assert rig.libvirtd.virsh("dumpxml", "one") == before
    assert rig.vgpuctl("attach", "nobody", web).returncode == 3
