"""Programs in an unmodified guest use the software GPU: IGT, OpenCL and Vulkan."""

from collections.abc import Sequence

import pytest

from tests.guests import compute_programs, igt_plan
from tests.guests.boot import Guest
from tests.guests.demo import VULKAN
from tests.guests.igt_results import Outcome
from tests.guests.igt_subtest import chosen, list_subtests, run_subtest, selection
from tests.guests.kernel_log import complaints, console_complaints
from tests.guests.served import ServedGpu

pytestmark = pytest.mark.system

MUST_PASS = {
    "gem_exec_basic@basic",
    "gem_exec_store@basic",
    "gem_exec_store@pages",
    "gem_gpgpu_fill@basic",
    "gem_media_fill@media-fill",
}


def run_igt(guest: Guest, tests: Sequence[str]) -> set[str]:
    """Run the tests' subtests; check that each passes or skips quietly; the names that passed."""
    passed = set()
    for test in tests:
        program = selection(test)
        for subtest in chosen(program, list_subtests(guest, program.name)):
            result = run_subtest(guest, program.name, subtest, program.seconds)
            name = f"{program.name}@{subtest}"
            assert result.outcome in (Outcome.PASS, Outcome.SKIP), f"{name}: {result.reason}"
            assert result.complaints == (), name
            if result.outcome is Outcome.PASS:
                passed.add(name)
    return passed


def test_quick_igt_programs(guest: Guest) -> None:
    guest.load_i915()
    assert run_igt(guest, igt_plan.QUICK) >= MUST_PASS
    guest.power_off()
    assert console_complaints(guest.console()) == []


def test_preemption_semaphores_and_resets(guest: Guest) -> None:
    guest.load_i915()
    passed = run_igt(guest, igt_plan.RULES)
    assert passed >= {test for test in igt_plan.RULES if "@" in test}


def test_opencl_and_vulkan_name_the_device(guest: Guest) -> None:
    guest.load_i915()
    assert "HD Graphics 630 (KBL GT2)" in guest.check(VULKAN, 180)
    assert "HD Graphics 630 (KBL GT2)" in guest.check("clinfo", 180)
    assert complaints(guest.dmesg()) == []


def test_opencl_and_vulkan_programs_compute(guest: Guest) -> None:
    guest.load_i915()
    answer = compute_programs.opencl(guest)
    assert (answer.failures, answer.passed) == ((), ("xorshift", "group_sums", "product"))
    answer = compute_programs.vulkan(guest)
    assert (answer.failures, answer.passed) == ((), ("compute",))
    assert complaints(guest.dmesg()) == []


@pytest.mark.parametrize("gpu", ["1912"], indirect=True)
def test_skylake_is_driven_too(guest: Guest, gpu: ServedGpu) -> None:
    guest.load_i915()
    assert "HD Graphics 530 (SKL GT2)" in guest.check(VULKAN, 180)
    guest.check("gem_exec_store --run-subtest basic", 120)
    assert complaints(guest.dmesg()) == []
