"""`wait`."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.test_start_stop import once_listening
from vgpu_ctl.api import methods
from vgpu_ctl.api.objects import EventKind, VgpuState


@pytest.fixture
def web(vgpud: FakeVgpud) -> FakeVgpud:
    """`web` is active, and nobody is attached."""
    vgpud.add(samples.vgpu("web", active=True))
    return vgpud


@pytest.mark.parametrize("state", ["active", "detached"])
def test_what_is_so_already(state: str, web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("wait", "web", "--for", state) == (0, "", "")


@pytest.mark.parametrize("state", ["attached", "stopped", "gone"])
def test_what_does_not_come(state: str, web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("wait", "web", "--for", state, "--timeout", "0.1")
    assert (status, out) == (124, "")
    assert err == f"error: 0.1 s were too short for web to be {state}\n"


def test_attached(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    thread = once_listening(web, lambda: web.client("web"))
    assert vgpuctl("wait", "web", "--for", "attached", "--timeout", "20").status == 0
    thread.join()


def test_stopped_under_another_name(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    def act() -> None:
        web.change("web", EventKind.MODIFIED, name="www")
        web.change("www", EventKind.STOPPED, state=VgpuState.DEFINED)

    thread = once_listening(web, act)
    assert vgpuctl("wait", "web", "--for", "stopped", "--timeout", "20").status == 0
    thread.join()


@pytest.mark.parametrize(("state", "status"), [("gone", 0), ("detached", 0), ("attached", 3)])
def test_it_vanishes(state: str, status: int, web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    if state == "detached":
        web.client("web")

    def act() -> None:
        web.answer("destroy", methods.StopParams(vgpu="web", force=True))

    thread = once_listening(web, act)
    assert vgpuctl("wait", "web", "--for", state, "--timeout", "20").status == status
    thread.join()


def test_nobody_of_that_name(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("wait", "web", "--for", "gone") == (0, "", "")
    assert vgpuctl("wait", "web", "--for", "active").status == 3


def test_idle(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    def reading(**fields: int) -> object:
        engine = msgspec.structs.replace(samples.engine(), **fields)
        return samples.stats(1.0, samples.vgpu_stats("web", engines={"rcs0": engine}))

    web.readings = [reading(queue_depth=1), reading(in_flight=1), reading()]  # type: ignore[list-item]
    assert vgpuctl("wait", "web", "--for", "idle", "--timeout", "20").status == 0
    assert len(web.readings) == 1


def test_what_is_stopped_is_idle(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.add(samples.vgpu("web"))
    assert vgpuctl("wait", "web", "--for", "idle").status == 0


def test_usage(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("wait", "web").status == 2
    assert vgpuctl("wait", "web", "--for", "happy").status == 2
    assert vgpuctl("wait", "web", "--for", "idle", "--timeout", "-1").status == 2
