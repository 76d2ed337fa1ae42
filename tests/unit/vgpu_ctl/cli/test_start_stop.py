"""`start`, `stop`, `destroy`, `undefine`, `reset` and `modify`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.methods import ModifyParams
from vgpu_ctl.api.objects import EventKind


@pytest.fixture
def two(vgpud: FakeVgpud) -> FakeVgpud:
    """`web` is active and has a client, `db` is defined."""
    vgpud.add(samples.vgpu("web", 1, active=True))
    vgpud.client("web")
    vgpud.add(samples.vgpu("db", 2))
    return vgpud


def once_listening(vgpud: FakeVgpud, act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as somebody listens to events."""
    before = vgpud.subscriptions

    def run() -> None:
        while vgpud.subscriptions == before:
            time.sleep(0.001)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_start_prints_what_was_started(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("start", "db", "-o", "name").out == "db\n"


def test_the_others_are_seen_to_after_a_failure(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("start", "nobody", "web", "db", "db")
    assert status == 3
    assert "error: there is no vGPU 'nobody'" in err
    assert "error: web is active" in err
    assert out.splitlines()[1].startswith("db ")
    assert len(out.splitlines()) == 2


def test_stop_refuses_while_a_client_is_attached(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, _, err = vgpuctl("stop", "web")
    assert status == 4
    assert "hint: stop the machine, or use --force" in err
    assert vgpuctl("stop", "web", "--force") == (0, "", "stopped web\n")


@pytest.mark.parametrize("verb", ["stop", "destroy"])
def test_waiting_for_the_client_to_leave(verb: str, two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    thread = once_listening(two, lambda: two.change("web", EventKind.DETACHED, client=None))
    assert vgpuctl(verb, "--wait", "web").status == 0
    thread.join()
    assert two.calls[-1][0] == verb
    assert not two.calls[-1][1].force


def test_waiting_too_long(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, _, err = vgpuctl("stop", "--wait=0.1", "web")
    assert status == 124
    assert err == "error: 0.1 s were too short for web to be detached\n"
    assert two.calls == []


@pytest.mark.parametrize("value", ["-1", "nan", "soon"])
def test_waiting_for_nonsense(value: str, two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("stop", f"--wait={value}", "web").status == 2


def test_nobody_to_wait_for(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("start", "db").status == 0
    assert vgpuctl("stop", "db", "--wait").status == 0


def test_destroy_and_undefine(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("undefine", "web", "db") == (0, "", "undefined web\nundefined db\n")
    assert [vgpu.name for vgpu in two.vgpus.values()] == ["web"]
    assert not two.find("web").persistent
    assert vgpuctl("destroy", "web").status == 4
    assert vgpuctl("destroy", "--force", "web").status == 0
    assert two.vgpus == {}


def test_reset(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("reset", "web", "--level", "function").err == "reset web (function)\n"
    assert vgpuctl("reset", "web").status == 0
    assert [params.level for _, params in two.calls] == ["function", "engines"]
    assert vgpuctl("reset", "web", "--level", "all").status == 2


def test_modify(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    out = vgpuctl("modify", "web", "--weight", "400", "--cap", "0.5", "--name", "www").out
    assert "name    www\n" in out
    assert "weight  400\n" in out
    assert two.calls == [("modify", ModifyParams(vgpu="web", weight=400, cap=0.5, name="www"))]
    vgpuctl("modify", "db", "--manual", "--gpu", "", "--type", "V9_1")
    assert two.calls[-1][1] == ModifyParams(vgpu="db", autostart=False, gpu="", type="V9_1")


def test_the_weight_of_its_type_again(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpuctl("modify", "web", "--weight", "400")
    assert two.find("web").own_weight == 400
    assert "weight  4\n" in vgpuctl("modify", "web", "--weight", "type").out
    assert two.calls[-1] == ("modify", ModifyParams(vgpu="web", weight="type"))


def test_modify_refusals(two: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("modify", "web", "--weight", "0") == (
        2,
        "",
        "error: weight: 0 is not allowed: 1 to 1024\n",
    )
    assert vgpuctl("modify", "web").err.startswith("error: Nothing to change.\n")
    assert vgpuctl("modify", "web", "--weight", "many").status == 2
