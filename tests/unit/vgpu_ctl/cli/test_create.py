"""`create` and `define`."""

from __future__ import annotations

import json

import msgspec

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.methods import CreateParams, DefineParams


def test_create_prints_it(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("create", "web", "--type", "V9_4", "--weight", "200")
    assert (status, err) == (0, "")
    assert "name    web\n" in out
    assert "socket  /run/vgpud/web.sock\n" in out
    assert vgpud.calls == [("create", CreateParams(name="web", type="V9_4", weight=200))]


def test_everything_said(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    options = ["--uuid", samples.uuid(7), "--gpu", "gpu0", "--weight", "3", "--cap", "0.25"]
    out = vgpuctl("create", "web", "-t", "V9_4", *options, "--autostart", "-o", "json").out
    assert json.loads(out)["uuid"] == samples.uuid(7)
    assert vgpud.calls[-1][1] == CreateParams(
        name="web",
        type="V9_4",
        uuid=samples.uuid(7),
        gpu="gpu0",
        weight=3,
        cap=0.25,
        autostart=True,
    )
    assert vgpuctl("create", "lent", "-t", "V9_4", "--transient").status == 0
    assert vgpud.calls[-1][1] == CreateParams(name="lent", type="V9_4", transient=True)


def test_what_is_not_kept_is_not_started_again(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("create", "web", "-t", "V9_4", "--transient", "--autostart")
    assert (status, out) == (2, "")
    assert "--transient and --autostart" in err
    assert vgpud.calls == []


def test_a_weight_where_nobody_asks_for_it(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    """A definition for any GPU cannot know, so it is no error, with `modify` neither."""
    note = "note: policy fifo of gpu0 has no shares: the weight counts elsewhere\n"
    assert vgpuctl("create", "shared", "-t", "V9_4", "--weight", "7").err == ""
    vgpud.gpus = [msgspec.structs.replace(samples.GPU, policy="fifo")]
    status, out, err = vgpuctl("create", "web", "-t", "V9_4", "--weight", "7")
    assert (status, err) == (0, note)
    assert "weight  7\n" in out
    assert vgpuctl("modify", "web", "--weight", "9").err == note
    assert vgpuctl("modify", "web", "--cap", "0.5").err == ""
    assert vgpuctl("create", "db", "-t", "V9_4").err == ""


def test_name_of_what_was_made(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("create", "web", "-t", "V9_4", "-o", "name").out == "web\n"


def test_refusals(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("create", "web", "-t", "V8_1")
    assert (status, out) == (2, "")
    assert err == "error: no type 'V8_1'\nhint: there are V9_4, V9_1\n"
    assert vgpuctl("create", "web", "-t", "V9_1").status == 5
    assert vgpuctl("create", "web").status == 2
    assert vgpuctl("create", "web", "-t", "V9_4", "--weight", "much").status == 2
    assert vgpud.vgpus == {}


def test_twice(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("create", "web", "-t", "V9_4").status == 0
    assert vgpuctl("create", "web", "-t", "V9_4").status == 4


def test_if_not_exists(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.add(samples.vgpu("web"))
    status, out, _ = vgpuctl("create", "web", "-t", "V9_4", "--if-not-exists")
    assert status == 0
    assert "state   active" in out
    assert vgpuctl("create", "web", "-t", "V9_4", "--if-not-exists").status == 0
    assert vgpuctl("create", "web", "-t", "V9_1", "--if-not-exists").status == 4
    assert [method for method, _ in vgpud.calls] == ["create", "start", "create", "create"]


def test_define(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert "state   defined" in vgpuctl("define", "web", "-t", "V9_4", "--cap", "0.5").out
    assert vgpud.calls == [("define", DefineParams(name="web", type="V9_4", cap=0.5))]
    assert vgpuctl("define", "web", "-t", "V9_4").status == 4
    assert vgpuctl("define", "web", "-t", "V9_4", "--if-not-exists").status == 0
