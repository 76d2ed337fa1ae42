"""`gpus`, `types` and `version`."""

from __future__ import annotations

import json

from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud


def test_gpus(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("gpus").out == (
        "NAME  BACKEND              STATE  DEVICE     VGPUS  DESCRIPTION\n"
        "gpu0  softgpu (simulated)  ready  8086:5912  web    Kaby Lake GT2\n"
    )
    assert "timeslice" in vgpuctl("gpus", "-o", "wide").out
    assert json.loads(vgpuctl("gpus", "-o", "json").out)[0]["resources"][1]["left"] == 30


def test_one_gpu(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    head, rest = vgpuctl("gpus", "gpu0").out.split("\n\n")
    assert "policy       timeslice" in head
    assert rest == (
        "RESOURCE     LEFT       OF  HELD BY\n"
        "aperture  192 MiB  256 MiB  web 64 MiB\n"
        "slots          30       31  -\n"
    )
    assert json.loads(vgpuctl("gpus", "gpu0", "-o", "json").out)["name"] == "gpu0"
    status, _, err = vgpuctl("gpus", "gpu7")
    assert (status, err) == (3, "error: there is no GPU 'gpu7'\nhint: there are: gpu0\n")


def test_types(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("types").out == (
        "NAME  KIND           LOW      HIGH  FENCES  WEIGHT  AVAILABLE\n"
        "V9_4  ballooned   64 MiB   448 MiB      32       4          3\n"
        "V9_1  ballooned  256 MiB  1.75 GiB      32      16          0\n"
    )
    assert "gpu0: 3" in vgpuctl("types", "-o", "wide").out
    assert vgpuctl("types", "-o", "name").out == "V9_4\nV9_1\n"


def test_version(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    out = vgpuctl("version").out
    assert "vgpuctl   0." in out
    assert "vgpud     9.9" in out
    assert "routines  C" in out
    both = json.loads(vgpuctl("version", "-o", "json").out)
    assert both["vgpud"]["pid"] == 42


def test_version_without_vgpud(vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("version")
    assert status == 6
    assert out.startswith("vgpuctl")
    assert "no vgpud" in err
