"""Two unmodified guests share one software GPU, in every mode, and both get right results."""

import pytest

from tests.guests import igt_plan
from tests.guests.boot import Machine
from tests.guests.demo import run_shared
from tests.guests.images import Images

pytestmark = pytest.mark.system


@pytest.mark.parametrize("address_space", ["shadow", "direct"])
@pytest.mark.parametrize("ggtt", ["ballooned", "private"])
def test_two_guests_at_once(guest_images: Images, address_space: str, ggtt: str) -> None:
    options = ["--address-space", address_space, "--ggtt", ggtt]
    report = run_shared(guest_images, igt_plan.QUICK, Machine(), 2, options)
    assert report.problems == [], report.log[-4000:]
