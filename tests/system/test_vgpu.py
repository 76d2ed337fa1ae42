"""Two unmodified guests share one software GPU, in every mode, and both get right results."""

import pytest

from tests.guests import igt_plan
from tests.guests.boot import Machine
from tests.guests.demo import run_shared
from tests.guests.igt import Run, neighbour_troubles
from tests.guests.igt_results import GOOD, Outcome
from tests.guests.igt_subtest import selection
from tests.guests.images import Images

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("guest_images", "address_space", "ggtt"),
    [
        ("6.12", "shadow", "ballooned"),
        ("6.12", "direct", "private"),
        ("6.1", "shadow", "private"),
        ("6.1", "direct", "ballooned"),
    ],
    indirect=["guest_images"],
)
def test_two_guests_at_once(guest_images: Images, address_space: str, ggtt: str) -> None:
    options = ["--address-space", address_space, "--ggtt", ggtt]
    report = run_shared(guest_images, igt_plan.QUICK, Machine(), 2, options)
    assert report.problems == [], report.log[-4000:]


@pytest.mark.parametrize(
    ("guest_images", "address_space"),
    [("6.12", "shadow"), ("6.1", "direct")],
    indirect=["guest_images"],
)
def test_the_rules_hold_beside_a_busy_guest(guest_images: Images, address_space: str) -> None:
    """Preemption, semaphores, hangs and resets of a guest without PVINFO."""
    options = ("--address-space", address_space, "--ggtt", "private")
    run = Run(guest_images, serve_options=options, vgpu=True, busy=True)
    try:
        results = [result for test in igt_plan.RULES for result in run.program(selection(test))]
    finally:
        run.drop_guest()
    assert [f"{r.subtest}: {r.reason}" for r in results if r.outcome not in GOOD] == []
    assert Outcome.PASS in {result.outcome for result in results}
    assert [trouble for report in run.neighbours for trouble in neighbour_troubles(report)] == []
