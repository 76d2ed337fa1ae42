"""`stats`."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.samples import stats, uuid, vgpu, vgpu_stats
from tests.unit.vgpu_ctl.cli.test_rates import AFTER, BEFORE
from vgpu_ctl.cli.rates import VgpuUsage


@pytest.fixture
def busy(vgpud: FakeVgpud) -> FakeVgpud:
    """Three vGPUs, two of which work."""
    vgpud.readings = [BEFORE, AFTER]
    for number, name in enumerate(("web", "db", "idle"), 1):
        vgpud.add(vgpu(name, number, active=True))
    vgpud.add(vgpu("off", 4))
    return vgpud


def test_table(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("stats", "--interval", "0.05").out == (
        "NAME  GPU     BUSY   SHARE  ENTITLED  REQ/S  QUEUE  WAIT P50      P99  TRAPS/S  IRQ/S"
        "  REJECTED  HANGS\n"
        "web   gpu0  90.0 %  75.0 %    75.0 %   50.0      3   2.00 ms  2.00 ms      150   10.0"
        "         2      1\n"
        "db    gpu0  90.0 %  25.0 %    25.0 %      0      0         -        -        0      0"
        "         0      0\n"
        "idle  gpu0  90.0 %   0.0 %    66.7 %      0      0         -        -        0      0"
        "         0      0\n"
    )


def test_total(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    lines = vgpuctl("stats", "--total").out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "GPU", "GPU", "TIME"]
    assert lines[1].split()[2:4] == ["10.0", "s"]
    assert busy.readings == [AFTER]


def wide(busy: FakeVgpud, vgpuctl: Vgpuctl, *options: str) -> dict[str, str]:
    """The columns of kernels, of the vGPU that has some."""
    out = vgpuctl("stats", "web", "--interval", "0.05", "-o", "wide", *options).out
    titles, cells = (line.split("  ") for line in out.splitlines())
    found = [[each.strip() for each in line if each.strip()] for line in (titles, cells)]
    row = dict(zip(*found, strict=True))
    first = next(title for title in row if title.startswith("KERNELS"))
    names = list(row)
    return {name: row[name] for name in names[names.index(first) : names.index("FAILED")]}


def test_kernels(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert wide(busy, vgpuctl) == {
        "KERNELS/S": "40.0",
        "THREADS/S": "4.00k",
        "EU": "25.0 %",
        "HITS": "72",
        "COMPILED": "6",
        "DISK": "4",
        "UNCOMPILED": "2",
        "INTERPRETED": "7",
    }
    assert wide(busy, vgpuctl, "--total") == {
        "KERNELS": "90",
        "THREADS": "9000",
        "EU TIME": "750 ms",
        "HITS": "78",
        "COMPILED": "9",
        "DISK": "6",
        "UNCOMPILED": "3",
        "INTERPRETED": "12",
    }


def test_json(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    found = json.loads(vgpuctl("stats", "--interval", "0.05", "-o", "json").out)
    assert set(found[0]) == set(VgpuUsage.__struct_fields__)
    assert found[0]["share"] == pytest.approx(0.75)


def test_several_readings(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    args = ["stats", "web", "--interval", "0.05", "--count", "2"]
    lines = vgpuctl(*args, "-o", "json").out.splitlines()
    assert [json.loads(line)[0]["requests"] for line in lines] == [100, 0]
    rows = list(csv.DictReader(io.StringIO(vgpuctl(*args, "-o", "csv").out)))
    assert [row["name"] for row in rows] == ["web", "web"]


def test_chosen_ones(busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    names = vgpuctl("stats", "db", uuid(1), "--interval", "0.05", "-o", "name").out
    assert names == "web\ndb\n"
    assert vgpuctl("stats", uuid(1).upper(), "--total", "-o", "name").out == "web\n"
    assert vgpuctl("stats", "nobody") == (3, "", "error: there is no vGPU 'nobody'\n")


@pytest.mark.parametrize("options", [(), ("--total",)])
def test_only_active_ones_are_counted(
    options: tuple[str, ...], busy: FakeVgpud, vgpuctl: Vgpuctl
) -> None:
    status, out, err = vgpuctl("stats", "off", *options)
    assert (status, out) == (4, "")
    assert err.startswith("error: off is not active\nhint: ")


def test_passthrough_has_traps_alone(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.readings = [stats(1.0, vgpu_stats("all", mediated=False, engines={}))]
    cells = vgpuctl("stats", "--total", "--no-headers").out.split()
    assert cells[2:8] == ["-"] * 6
    vgpud.readings = [
        stats(seconds, vgpu_stats("all", mediated=False, engines={})) for seconds in (1.0, 2.0)
    ]
    assert vgpuctl("stats", "--no-headers", "--interval", "0.05").out.split()[2:9] == ["-"] * 7


def test_no_rows(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    """A table without rows has its titles."""
    vgpud.readings = [stats(1.0)]
    titles = ",".join(VgpuUsage.__struct_fields__) + "\n"
    assert vgpuctl("stats", "--total", "-o", "csv").out == titles
    assert vgpuctl("stats", "--total", "-o", "csv", "--no-headers").out == ""


@pytest.mark.parametrize("arguments", [("--interval", "0"), ("--count", "-1"), ("--count", "x")])
def test_usage(arguments: tuple[str, ...], busy: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("stats", *arguments).status == 2
