"""The demo's table and its judgement, from reports without a guest."""

from __future__ import annotations

import argparse

import pytest

from tests.guests.demo import (
    ENGINES,
    add_shares,
    described,
    guests_argument,
    problems,
    rejections,
)
from tests.guests.igt_results import Outcome, SubtestResult
from tests.guests.served import VgpuSummary
from tests.guests.workers import GuestReport

TESTS = ("gem_basic", "gem_exec_store@basic")
PASSED = [
    SubtestResult("gem_basic", "create-close", Outcome.PASS, 1.0),
    SubtestResult("gem_exec_store", "basic", Outcome.PASS, 1.0),
]


def guest(name: str = "vgpu0") -> GuestReport:
    """A guest in which everything went well."""
    return GuestReport(name, engines=list(ENGINES), device="HD", results=list(PASSED))


def summary(name: str, gpu_seconds: float, weight: int) -> VgpuSummary:
    """What vgpud may say of a vGPU."""
    return VgpuSummary(
        name=name,
        weight=weight,
        share=0.5,
        requests=1234,
        gpu_seconds=gpu_seconds,
        wait_p50_ms=0.5,
        wait_p99_ms=16,
        reads=1000,
        writes=2000,
        hangs=0,
        world_switches=7,
        rejections={},
    )


def test_a_column_for_each_guest() -> None:
    report = described([guest("vgpu0"), guest("vgpu1")], TESTS)
    add_shares(report, [summary("vgpu0", 3.0, 8), summary("vgpu1", 1.0, 8)])
    assert report.problems == []
    rows = dict(report.rows)
    assert rows["tests passed"] == ["2 of 2", "2 of 2"]
    assert rows["requests"] == ["1,234", "1,234"]
    assert rows["share (weight)"] == ["75 % (50 %)", "25 % (50 %)"]
    assert rows["queue wait p50/p99"][0] == "0.50 / 16.00 ms"
    assert rows["traps"][0] == "3,000"
    assert rows["audit rejections"] == ["none", "none"]
    lines = report.table().splitlines()
    assert lines[0].split() == ["vgpu0", "vgpu1"]
    assert len(lines) == len(report.rows) + 1
    assert lines[0].index("vgpu1") == lines[1].index("HD", lines[1].index("HD") + 1)


def test_what_is_a_problem() -> None:
    assert problems(guest(), TESTS) == []
    lost = guest()
    lost.failure = "QEMU ended"
    assert problems(lost, TESTS) == ["QEMU ended"]
    short = guest()
    short.engines.remove("bcs0")
    assert problems(short, TESTS) == ["engine bcs0 is missing"]
    failed = guest()
    failed.results[1] = SubtestResult("gem_exec_store", "basic", Outcome.FAIL, 1.0, "wrong")
    assert problems(failed, TESTS) == [
        "gem_exec_store@basic: fail: wrong",
        "no subtest of gem_exec_store passed",
    ]
    loud = guest()
    loud.complaints = ["i915 *ERROR*", "i915 *ERROR*"]
    assert problems(loud, TESTS) == ["guest kernel: i915 *ERROR*"]


def test_what_vgpud_tells_can_be_a_problem() -> None:
    report = described([guest("vgpu0"), guest("vgpu1"), guest("vgpu2")], TESTS)
    refused = summary("vgpu0", 0.0, 1)
    refused.rejections["register"] = 2
    hung = VgpuSummary(
        **{name: getattr(summary("vgpu1", 0.0, 1), name) for name in VgpuSummary.__slots__}
        | {"hangs": 1}
    )
    add_shares(report, [refused, hung, None])
    assert report.problems == [
        "vgpu0: refused: register 2",
        "vgpu1: 1 hangs",
        "vgpu2: vgpud did not report on it",
    ]
    assert dict(report.rows)["share (weight)"] == ["none (50 %)", "none (50 %)", "not reported"]
    assert rejections({"address": 1, "register": 2}) == "address 1, register 2"


@pytest.mark.parametrize("text", ["0", "17", "-1", "two", "", "2.0"])
def test_a_number_of_guests_that_is_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="1 to 16 guests are possible"):
        guests_argument(text)
    assert guests_argument("16") == 16
