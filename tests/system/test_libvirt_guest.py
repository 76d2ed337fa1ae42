"""Stock guests as domains of a real libvirtd: they drive their vGPUs, share one, get and lose one.

The images are those of the newer kernel: what libvirt does is the same for both.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.guests.boot import Guest, GuestFailure
from tests.guests.domain import DomainFacts, DomainGuest
from tests.guests.images import images
from tests.guests.kernel_log import complaints, console_complaints
from tests.integration.control_rig import wait_until
from tests.integration.libvirt_rig import LibvirtRig, libvirt_rig
from tests.system.test_gpu_work import run_igt

pytestmark = pytest.mark.system

WORK = ("gem_exec_basic@basic", "gem_exec_store@basic", "gem_exec_store@pages")
MEMORY = 2048
_GPU = re.compile(r"^(\S+) .*\[8086:5912\]", re.M)


@pytest.fixture(scope="module")
def rig() -> Iterator[LibvirtRig]:
    with libvirt_rig(images()) as made:
        yield made


@pytest.fixture
def stack(rig: LibvirtRig) -> Iterator[ExitStack]:
    """vGPUs go with it, and domains."""
    with ExitStack() as made:
        yield made
    with rig.vgpud.client() as client:
        for vgpu in client.vgpus():
            client.destroy(vgpu.uuid, force=True)


def define(rig: LibvirtRig, stack: ExitStack, facts: DomainFacts) -> DomainGuest:
    return stack.enter_context(DomainGuest(rig.images, rig.libvirtd, facts))


def gpu_of(guest: Guest) -> str:
    """Where the guest sees its GPU; empty: nowhere."""
    found = _GPU.search(guest.check("lspci -D -nn"))
    return found[1] if found else ""


def load_i915(guest: Guest) -> None:
    guest.gpu_address = gpu_of(guest)
    guest.load_i915()


def requests(rig: LibvirtRig, name: str) -> int:
    with rig.vgpud.client() as client:
        (found,) = client.stats(name).vgpus
    return sum(engine.completed for engine in found.engines.values())


def test_started_by_virsh_it_runs_igt(rig: LibvirtRig, stack: ExitStack) -> None:
    """Then libvirtd is restarted under it, and its QEMU is killed at work."""
    rig.must("create", "web", "-t", "V9_4")
    guest = define(rig, stack, DomainFacts("it's a machine", memory=MEMORY))
    rig.must("attach", guest.name, "web")
    guest.start()
    load_i915(guest)
    assert run_igt(guest, WORK) >= set(WORK)
    assert complaints(guest.dmesg()) == []
    rig.libvirtd.stop()
    rig.libvirtd.start()
    assert guest.state() == "running"
    assert run_igt(guest, WORK[:1]) == {WORK[0]}
    assert rig.domain_of("web") == guest.name
    kill_at_work(rig, guest)


def kill_at_work(rig: LibvirtRig, guest: DomainGuest) -> None:
    """Its vGPU is free for another domain: how soon, says test_libvirt_hooks.py."""
    before = requests(rig, "web")

    def work() -> None:
        with pytest.raises(GuestFailure):
            guest.check("while gem_exec_store --run-subtest basic; do :; done", 120)

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: requests(rig, "web") > before + 10, "at work", patience=60)
    os.kill(guest.pid, signal.SIGKILL)
    wait_until(lambda: not rig.domain_of("web"), "freed")
    worker.join()
    guest.wait_for_state("shut off", 60)
    with rig.vgpud.client() as client:
        assert client.show("web").client is None


def test_two_domains_share_a_gpu(rig: LibvirtRig, stack: ExitStack) -> None:
    guests = []
    for name in ("one", "two"):
        rig.must("create", name, "-t", "V9_4")
        guest = define(rig, stack, DomainFacts(f"machine {name}", memory=MEMORY, cpus=1))
        rig.must("attach", guest.name, name)
        guest.start()
        load_i915(guest)
        guests.append(guest)
    passed: dict[str, set[str]] = {}

    def work(guest: DomainGuest) -> None:
        passed[guest.name] = run_igt(guest, WORK)

    workers = [threading.Thread(target=work, args=(guest,)) for guest in guests]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(passed[guest.name] >= set(WORK) for guest in guests)
    with rig.vgpud.client() as client:
        assert {vgpu.domain for vgpu in client.vgpus()} == {"machine one", "machine two"}
        assert len({vgpu.gpu for vgpu in client.vgpus()}) == 1
        assert all(each.world_switches for each in client.stats().gpus)
    for guest in guests:
        guest.power_off()
        assert console_complaints(guest.console()) == []
    wait_until(lambda: not any(map(rig.domain_of, ("one", "two"))), "released")


def is_bound(guest: DomainGuest) -> bool:
    """i915 has registered its device: it does that last."""
    drm = f"/sys/bus/pci/drivers/i915/{guest.gpu_address}/drm"
    return guest.run(f"ls {drm}/renderD128").status == 0


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_plugged_into_a_running_guest_and_out(
    machine: str, rig: LibvirtRig, stack: ExitStack
) -> None:
    """Twice; the guest goes on without."""
    rig.must("create", "web", "-t", "V9_4")
    guest = define(rig, stack, DomainFacts("late", memory=MEMORY, machine=machine))
    rig.must("prepare", guest.name)
    guest.start()
    guest.check("modprobe i915")
    assert gpu_of(guest) == ""
    pid = guest.pid
    for _ in range(2):
        rig.must("attach", guest.name, "web", "--live")
        wait_until(lambda: gpu_of(guest), "seen by the guest", patience=60)
        guest.gpu_address = gpu_of(guest)
        wait_until(lambda: is_bound(guest), "bound", patience=60, step=0.2)
        assert run_igt(guest, WORK[:2]) == set(WORK[:2])
        assert rig.domain_of("web") == guest.name
        rig.must("detach", guest.name, "web", "--live")
        assert gpu_of(guest) == ""
        assert rig.domain_of("web") == ""
    assert complaints(guest.dmesg()) == []
    assert guest.pid == pid
    guest.power_off()
    assert console_complaints(guest.console()) == []
