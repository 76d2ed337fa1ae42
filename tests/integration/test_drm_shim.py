"""Intel's user-space drivers, on this machine, compute on a software GPU in this process."""

import contextlib
import json
from collections.abc import Iterator

import numpy as np
import pytest

from tests.drm_shim.recorder import Capture, Recorder
from tests.drm_shim.runner import Runner
from tests.drm_shim.seat import NativeSeat, Seat
from tests.drm_shim.session import PLATFORMS, Session
from tests.eu_corpus.vulkan_cases import VULKAN_CASES
from tests.guests.compute import parse_reports
from tests.guests.compute_programs import built, parse_answer
from tests.guests.userland import userland

pytestmark = [pytest.mark.modes, pytest.mark.timeout(900)]

DRIVERS = {"rusticl": "trixie", "neo": "bookworm"}
CASES = ("vadd", "matmul", "scan", "atomics", "private_array", "collatz", "images", "doubles")
_WALKER = 0x7105_000D


@contextlib.contextmanager
def running(seat: Seat | None = None) -> Iterator[Runner]:
    """A software GPU that ends with the block."""
    gpu = Runner(seat)
    try:
        yield gpu
    finally:
        gpu.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_opencl_programs_compute(driver: str) -> None:
    with running() as gpu, Session(userland(DRIVERS[driver]), gpu) as session:
        words = ["python3", "-m", "tests.eu_corpus.opencl_run", "--platform", PLATFORMS[driver]]
        done = session.run([*words, *CASES], seconds=800)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    results = {line["name"]: line for line in lines if "name" in line}
    wrong = {name: r["detail"] for name, r in results.items() if r["result"] == "fail"}
    assert wrong == {}
    assert results.keys() == set(CASES), done.stdout[-3000:]
    assert done.returncode == 0
    assert gpu.hangs == 0


@pytest.mark.parametrize("variables", [{}, {"INTEL_DEBUG": "noccs"}], ids=["ccs", "noccs"])
def test_mesa_copies_and_fills_by_rectangles(variables: dict[str, str]) -> None:
    """Every byte, with compressed images (whose clears and resolves are of their own) and without;
    and nothing that it draws is passed over."""
    words = ["python3", "-m", "tests.eu_corpus.copies_run", "--platform", PLATFORMS["rusticl"]]
    seat = NativeSeat()
    with running(seat) as gpu, Session(userland("trixie"), gpu) as session:
        done = session.run(words, variables, seconds=800)
        counters = seat.gpu.engines["rcs0"].counters
    results = {each["name"]: each for each in parse_reports(done.stdout) if "name" in each}
    assert {name: r["detail"] for name, r in results.items() if r["result"] != "pass"} == {}
    assert len(results) == 62, done.stdout[-3000:]
    assert gpu.hangs == 0
    assert counters.skipped["3DPRIMITIVE"] == 0
    assert counters.executed["3DPRIMITIVE"] > 50


def test_a_vulkan_program_computes() -> None:
    words = ["/host/programs/vulkan_check", "/host/programs/vulkan_check.spv", "3"]
    with running() as gpu, Session(userland("trixie"), gpu, {"programs": built()}) as session:
        answer = parse_answer(session.run(words).stdout)
        other = parse_answer(session.run(["/host/programs/opencl_check", "4"]).stdout)
    assert "HD Graphics 530" in answer.device
    assert (answer.failures, answer.passed) == ((), ("compute",))
    assert (other.failures, other.passed) == ((), ("xorshift", "group_sums", "product"))


def test_vulkan_jobs_compute() -> None:
    words = ["python3", "-m", "tests.eu_corpus.vulkan_run", "--programs", "/host/programs"]
    with running() as gpu, Session(userland("trixie"), gpu, {"programs": built()}) as session:
        done = session.run(words, seconds=800)
    results = {each["name"]: each for each in parse_reports(done.stdout) if "name" in each}
    assert {name: r["detail"] for name, r in results.items() if r["result"] != "pass"} == {}
    assert results.keys() == VULKAN_CASES.keys(), done.stdout[-3000:]
    assert gpu.hangs == 0


def test_what_a_driver_submits_is_recorded() -> None:
    with running() as gpu:
        recorder = Recorder(gpu)
        with Session(userland("bookworm"), recorder) as session:
            words = ["python3", "-m", "tests.eu_corpus.opencl_run"]
            done = session.run([*words, "--platform", PLATFORMS["neo"], "vadd"], seconds=800)
    assert done.returncode == 0, done.stdout[-3000:]
    assert any(_has_walker(capture) for capture in recorder.captures)


def _has_walker(capture: Capture) -> bool:
    """Does a walker's header stand anywhere in the memory of the submission?"""
    return any(
        bool((np.frombuffer(segment.data, np.uint32) == _WALKER).any())
        for segment in capture.segments
    )
