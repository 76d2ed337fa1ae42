"""Guests for the system tests; they skip, saying why, only where guests cannot be made at all."""

import sys
from collections.abc import Iterator

import pytest

from tests.guests.boot import Guest
from tests.guests.images import Images, images
from tests.guests.packages import KERNELS
from tests.guests.served import ServedGpu

# Seconds for one test: a few boots without KVM on a busy machine.
SYSTEM_TIMEOUT_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test in this directory the time that a boot takes."""
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.timeout(SYSTEM_TIMEOUT_SECONDS))


@pytest.fixture(scope="session", params=sorted(KERNELS, reverse=True))
def guest_images(request: pytest.FixtureRequest) -> Images:
    """The images of each guest kernel; a machine that cannot make them fails with the reason."""
    if sys.platform != "linux":
        pytest.skip("guests are made on Linux only")
    return images(request.param)


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> Iterator[ServedGpu]:
    """A fresh software GPU, served; a parameter names another device id than the usual one."""
    device_id = getattr(request, "param", None)
    with ServedGpu(("--device-id", device_id) if device_id else ()) as served:
        yield served


@pytest.fixture
def guest(guest_images: Images, gpu: ServedGpu) -> Iterator[Guest]:
    """A booted guest with the GPU attached; i915 is not loaded yet."""
    with Guest(guest_images, [gpu.socket]) as running:
        yield running
