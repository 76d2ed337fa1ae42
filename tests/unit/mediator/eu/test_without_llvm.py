"""A host that cannot compile kernels says why, and interprets them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from mediator.physical.compute_work import ComputeWork
from mediator.softgpu.eu.dispatch.host_units import make_units, shared_translations
from mediator.softgpu.eu.translator import service
from tests.unit.mediator.eu.small_programs import Counting
from tests.unit.mediator.soft_gpu_fixture import make_bench
from vgpu_ctl.interpreter import prepare_interpreter

GROUPS = 5
USERS = {
    "mediator.softgpu.eu._native": (
        "mediator.softgpu.eu.dispatch.native_pool",
        "mediator.softgpu.eu.messages.native_messages",
    )
}
"""Modules that begin with an import of one that is absent, and may have been imported before."""


def forget() -> None:
    """What this process knows of its LLVM."""
    shared_translations.cache_clear()
    service.versions.cache_clear()


@pytest.fixture(params=["llvmlite", "llvmlite.binding", "mediator.softgpu.eu._native"])
def absent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module that cannot be imported. Without its binding llvmlite is there, and broken."""
    for name in (request.param, *USERS.get(request.param, ())):
        monkeypatch.setitem(sys.modules, name, None)
    forget()
    yield request.param
    monkeypatch.undo()
    forget()


def test_it_is_said(
    absent: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    broken = absent == "llvmlite.binding"
    assert (service.missing() is None) == broken
    with caplog.at_level(logging.WARNING):
        prepare_interpreter()
        assert service.open_translations() is None
    [told] = caplog.messages
    assert "interpreted" in told
    assert absent in told


def test_kernels_run_all_the_same(absent: str) -> None:
    bench = make_bench(units=make_units())
    work = Counting(bench.driver, GROUPS, 3)
    request = bench.driver.run(work.context, work.start())
    bench.run("rcs0", 10_000)
    assert bench.driver.done(request)
    assert work.is_right()
    counters = bench.gpu.units.counters
    assert (counters.groups, counters.interpreted_groups) == (GROUPS, GROUPS)
    assert counters.threads == GROUPS
    bench.gpu.units.close()


def test_a_trace_says_what_was_interpreted() -> None:
    work = ComputeWork(kernels=2, threads=9, groups=5, interpreted_groups=3, busy_ns=2_500_000)
    text = str(work)
    assert "2 kernels, 9 threads, 2.5 ms" in text
    assert "2 compiled, 3 interpreted" in text
    assert not str(ComputeWork(program_hits=0))
