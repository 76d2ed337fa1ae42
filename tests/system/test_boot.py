"""An unmodified guest brings the software GPU up, takes it down again, and complains of nothing."""

import contextlib

import pytest

from tests.guests.boot import GPU_ADDRESS, Guest, GuestFailure
from tests.guests.demo import ENGINES, engines
from tests.guests.kernel_log import complaints, console_complaints
from tests.guests.served import ServedGpu

pytestmark = pytest.mark.system

UNBIND = f"echo {GPU_ADDRESS} >/sys/bus/pci/drivers/i915/unbind"
BIND = f"echo {GPU_ADDRESS} >/sys/bus/pci/drivers/i915/bind"


def assert_up(guest: Guest) -> None:
    """Check that i915 offers every engine; what the kernel said is shown if it does not."""
    assert engines(guest) == list(ENGINES), guest.dmesg()[-8000:]


def quiet_end(guest: Guest) -> None:
    """Power off and check that the kernel complained of nothing on the way up, since, and down."""
    log = guest.dmesg()
    guest.power_off()
    assert complaints(log) == []
    assert console_complaints(guest.console()) == []


def test_unbind_rebind_and_reload(guest: Guest, gpu: ServedGpu) -> None:
    guest.load_i915()
    assert_up(guest)
    for _ in range(2):
        guest.check(UNBIND, 120)
        assert engines(guest) == []
        guest.check(BIND, 120)
        assert_up(guest)
    guest.check(UNBIND, 120)
    guest.check("rmmod i915", 120)
    guest.load_i915()
    assert_up(guest)
    guest.check("gem_exec_basic --run-subtest basic", 120)
    quiet_end(guest)
    assert gpu.counters().get("writes", 0) > 0
    assert gpu.running()


def test_the_next_guest_is_served(guest: Guest, gpu: ServedGpu) -> None:
    guest.load_i915()
    guest.kill()
    with Guest(guest.images, [gpu.socket]) as second:
        second.load_i915()
        second.check("gem_exec_store --run-subtest basic", 120)
        quiet_end(second)
    assert gpu.running()


def test_a_guest_outlives_its_server(guest: Guest, gpu: ServedGpu) -> None:
    """Some kernels refuse a GPU that reads all ones, others bind and then find it dead."""
    gpu.stop()
    with contextlib.suppress(GuestFailure):
        guest.load_i915()
    assert guest.run("gem_exec_basic --run-subtest basic", 120).status != 0
    assert guest.check("uname -s").strip() == "Linux"
    guest.power_off()
