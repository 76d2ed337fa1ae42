"""The command line of `make igt`, and its judgement of a busy guest."""

import pytest

from tests.guests import igt
from tests.guests.igt_results import Outcome, SubtestResult
from tests.guests.workers import GuestReport


@pytest.mark.parametrize(
    "option", [["--busy"], ["--address-space", "direct"], ["--ggtt", "private"]]
)
def test_options_of_a_vgpu_need_one(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        igt.main(option)
    assert ended.value.code == 2
    assert "--busy, --address-space and --ggtt need --vgpu" in capsys.readouterr().err


def test_troubles_of_a_busy_guest() -> None:
    report = GuestReport("vgpu1", results=[SubtestResult("gem_basic", "a", Outcome.PASS, 1.0)])
    assert igt.neighbour_troubles(report) == []
    report.results.append(SubtestResult("gem_basic", "b", Outcome.FAIL, 1.0, "wrong"))
    report.complaints.append("i915 *ERROR*")
    report.failure = "QEMU ended"
    assert igt.neighbour_troubles(report) == [
        "QEMU ended",
        "gem_basic@b: fail: wrong",
        "guest kernel: i915 *ERROR*",
    ]
