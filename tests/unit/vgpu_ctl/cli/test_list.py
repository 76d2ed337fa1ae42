"""`list` and `show`, and with them every form of output."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
import yaml

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import VgpuInfo, VgpuState


@pytest.fixture
def three(vgpud: FakeVgpud) -> FakeVgpud:
    """One that is used, one that waits, one that is broken."""
    vgpud.add(samples.vgpu("web", 1, active=True, weight=200, cap=0.5, domain="shop"))
    vgpud.client("web")
    vgpud.add(samples.vgpu("db", 2, autostart=True))
    vgpud.add(samples.vgpu("old", 3, state=VgpuState.ERROR, error="gpu0 is gone"))
    return vgpud


def test_table(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("list").out == (
        "NAME  TYPE  STATE    GPU   WEIGHT     CAP  CLIENT                  DOMAIN\n"
        "db    V9_4  defined  -          4       -  -                       -\n"
        "old   V9_4  error    -          4       -  -                       -\n"
        "web   V9_4  active   gpu0     200  50.0 %  qemu-system-x86 (4711)  shop\n"
    )


def test_wide_has_more(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    out = vgpuctl("list", "-o", "wide").out
    assert "/run/vgpud/web.sock" in out
    assert samples.uuid(2) in out
    assert "gpu0 is gone" in out


def test_without_headers(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert len(vgpuctl("list", "--no-headers").out.splitlines()) == 3
    assert len(vgpuctl("list", "--no-headers", "-o", "csv").out.splitlines()) == 3


def test_json_and_yaml_are_the_objects(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    expected = sorted(three.vgpus.values(), key=lambda vgpu: vgpu.name)
    out = vgpuctl("list", "-o", "json").out
    assert msgspec.json.decode(out, type=list[VgpuInfo]) == expected
    assert json.loads(out) == yaml.safe_load(vgpuctl("list", "-o", "yaml").out)
    assert msgspec.json.decode(vgpuctl("show", "web", "-o", "json").out, type=VgpuInfo) == (
        three.find("web")
    )


def test_csv(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    rows = list(csv.DictReader(io.StringIO(vgpuctl("list", "-o", "csv").out)))
    assert [row["name"] for row in rows] == ["db", "old", "web"]
    assert list(rows[0]) == list(VgpuInfo.__struct_fields__)
    assert (rows[0]["client"], rows[0]["autostart"]) == ("", "true")
    assert json.loads(rows[2]["client"])["pid"] == 4711


def test_names(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("list", "-o", "name").out == "db\nold\nweb\n"
    assert vgpuctl("list", "--active", "-o", "name").out == "web\n"


def test_nothing(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("list")
    assert (status, out) == (0, "")
    assert "no vGPUs" in err
    assert vgpuctl("list", "-o", "json") == (0, "[]\n", "")
    assert vgpuctl("list", "-o", "name") == (0, "", "")
    titles = ",".join(VgpuInfo.__struct_fields__)
    assert vgpuctl("list", "-o", "csv") == (0, f"{titles}\n", "")
    assert vgpuctl("list", "-o", "csv", "--no-headers") == (0, "", "")
    vgpud.add(samples.vgpu("db"))
    assert vgpuctl("list", "--active") == (0, "", "no active vGPUs\n")


def test_show(three: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("show", "web").out == (
        "name    web\n"
        f"uuid    {samples.uuid(1)}\n"
        "type    V9_4\n"
        "state   active\n"
        "gpu     gpu0\n"
        "weight  200\n"
        "cap     50.0 %\n"
        "start   manual\n"
        "kept    yes\n"
        "client  qemu-system-x86 (4711)\n"
        "domain  shop\n"
        "socket  /run/vgpud/web.sock\n"
    )
    assert vgpuctl("show", samples.uuid(2), "-o", "name").out == "db\n"


def test_nobody_steers_the_terminal(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.add(samples.vgpu("web", domain="a\x1b[31mRED\n\x9b1m"))
    assert r"a\x1b[31mRED\n\x9b1m" in vgpuctl("list").out
    assert r"domain  a\x1b[31mRED\n\x9b1m" in vgpuctl("show", "web").out
    vgpud.refusals["show"] = ApiError(ErrorCode.FAILED, "two\nlines\x1b[2J")
    assert vgpuctl("show", "web").err == "error: two\nlines\\x1b[2J\n"


def test_show_what_is_not_there(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("show", "web") == (3, "", "error: there is no vGPU 'web'\n")
