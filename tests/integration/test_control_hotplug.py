"""GPUs that come and go: the kernel's own uevents about a PCI device of this machine.

The device is not touched: what is written into its `uevent` file is repeated by the kernel as an
event (Documentation/ABI/testing/sysfs-uevent).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.control_rig import NO_METRICS, ControlRig, running, wait_until
from tests.integration.vgpu_rig import connect
from vgpu_ctl.api.objects import EventKind, VgpuState
from vgpu_ctl.client import ApiError, Client, ErrorCode

DEVICES = Path("/sys/bus/pci/devices")


def usable_device() -> str:
    """The address of a PCI device whose uevent file can be written; empty: there is none."""
    found = sorted(DEVICES.iterdir()) if DEVICES.is_dir() else []
    usable = [device.name for device in found if os.access(device / "uevent", os.W_OK)]
    return usable[-1] if usable else ""


ADDRESS = usable_device()
pytestmark = pytest.mark.skipif(not ADDRESS, reason="no PCI device, or no right to send uevents")
CONFIG = f"""{NO_METRICS}
[[gpu]]
name = "plugged"
pci = "{ADDRESS}"
[[gpu]]
name = "fixed"
"""


def uevent(action: str) -> None:
    (DEVICES / ADDRESS / "uevent").write_text(action)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ControlRig]:
    with running(tmp_path, CONFIG) as made:
        yield made


def state(client: Client, name: str) -> str:
    return next(gpu.state for gpu in client.gpus() if gpu.name == name)


def test_a_gpu_vanishes_and_comes_back(rig: ControlRig) -> None:
    with rig.client() as client, rig.client() as listener:
        events = listener.events(kinds=[EventKind.GPU_REMOVED, EventKind.ERROR])
        victims = [client.create(name=f"v{n}", type="V9_8", gpu="plugged") for n in range(2)]
        other = client.create(name="other", type="V9_8", gpu="fixed")
        guests = [connect(each.socket) for each in (*victims, other)]
        uevent("remove")
        wait_until(lambda: state(client, "plugged") == "absent", "it is absent")
        told = [next(events) for _ in range(3)]
        assert {(event.kind.value, event.vgpu, event.gpu) for event in told} == {
            ("error", "v0", "plugged"),
            ("error", "v1", "plugged"),
            ("gpu-removed", "", "plugged"),
        }
        for each, guest in zip(victims, guests, strict=False):
            found = client.show(each.name)
            assert (found.state, found.error) == (VgpuState.ERROR, "plugged has vanished")
            assert found.client is None
            assert not Path(each.socket).exists()
            with pytest.raises(ConnectionError):
                guest.client.region_read(0, 0, 4)
        driver = guests[-1].driver
        driver.wait(driver.run(driver.create_context("rcs0")))
        assert client.show("other").state is VgpuState.ACTIVE
        with pytest.raises(ApiError, match=f"plugged is absent: there is no PCI device {ADDRESS}"):
            client.start("v0")
        assert client.show("v0").state is VgpuState.ERROR
        assert client.create(name="new", type="V9_8").gpu == "fixed"
        assert next(t for t in client.types() if t.name == "V9_8").available.keys() == {"fixed"}
        assert client.stop("v1").state is VgpuState.DEFINED

        uevent("add")
        wait_until(lambda: state(client, "plugged") == "ready", "it is ready")
        again = client.start("v0")
        assert (again.state, again.error, again.gpu) == (VgpuState.ACTIVE, "", "plugged")
        fresh = connect(again.socket)
        fresh.driver.wait(fresh.driver.run(fresh.driver.create_context("rcs0")))
        for guest in (*guests, fresh):
            guest.close()


def test_what_vanished_with_its_gpu_is_tried_again_by_the_next_vgpud(rig: ControlRig) -> None:
    with rig.client() as client:
        kept = client.create(name="kept", type="V9_8", gpu="plugged", transient=True)
        uevent("remove")
        wait_until(lambda: client.show("kept").state is VgpuState.ERROR, "an error")
        assert client.modify("kept", weight=9).weight == 9
    rig.stop()
    rig.start()
    with rig.client() as client:
        found = client.show("kept")
        assert (found.uuid, found.state, found.weight) == (kept.uuid, VgpuState.ACTIVE, 9)
        client.destroy("kept")


def test_a_new_configuration_looks_for_its_device(rig: ControlRig) -> None:
    """And one for a device that is not there is said to be absent."""
    rig.config.write_text(
        f'{NO_METRICS}[[gpu]]\nname = "new"\npci = "{ADDRESS}"\n'
        '[[gpu]]\nname = "gone"\npci = "ffff:ff:1f.7"\n'
    )
    with rig.client() as client:
        client.reload()
        assert {gpu.name: gpu.state for gpu in client.gpus()} == {"new": "ready", "gone": "absent"}
        with pytest.raises(ApiError, match="gone is absent") as error:
            client.create(name="a", type="V9_8", gpu="gone")
        assert error.value.code is ErrorCode.BUSY
        assert client.vgpus() == []
        assert client.create(name="a", type="V9_8").gpu == "new"
