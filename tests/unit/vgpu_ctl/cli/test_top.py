"""`top`: its rows, and the view in a terminal that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.test_rates import AFTER, BEFORE
from vgpu_ctl.api.objects import ClientInfo, VgpuInfo, VgpuState
from vgpu_ctl.cli.rates import usages
from vgpu_ctl.cli.table import Column, table
from vgpu_ctl.cli.top_app import TopApp
from vgpu_ctl.cli.top_rows import SORTS, Reading, heading, next_of, rows
from vgpu_ctl.cli.top_views import KERNELS, SHARING, VIEWS, Shown
from vgpu_ctl.client import Client

CLIENT = ClientInfo(pid=4711, uid=0, command="qemu", since=0.0)
VGPUS = [
    samples.vgpu("db", 2, active=True),
    samples.vgpu("idle", 3, active=True),
    samples.vgpu("off", 4),
    samples.vgpu("broken", 5, state=VgpuState.ERROR, error="gpu0 is gone"),
    samples.vgpu("web", 1, active=True, client=CLIENT),
]


def cells(
    vgpu: str, found: list[VgpuInfo] = VGPUS, columns: Sequence[Column[Shown]] = SHARING
) -> dict[str, str]:
    """A row, by column."""
    made = rows(Reading(BEFORE, found), Reading(AFTER, found), "name", columns)
    row = next(row for row in made if row.vgpu.name == vgpu)
    return dict(zip([column.title for column in columns], row.cells, strict=True))


def test_a_busy_vgpu() -> None:
    assert cells("web") == {
        "NAME": "web",
        "GPU": "gpu0",
        "SHARE": "75.0 %",
        "ENTITLED": "75.0 %",
        "RCS": "50.0 %",
        "BCS": "0.0 %",
        "VCS": "",
        "VECS": "",
        "QUEUE": "3",
        "WAIT P50": "2.00 ms",
        "P99": "2.00 ms",
        "REQ/S": "50.0",
        "TRAPS/S": "150",
        "KERN/S": "40.0",
        "EU": "25.0 %",
        "FAULTS": "0",
        "HANGS": "1",
        "CLIENT": "qemu (4711)",
    }


def test_kernels_of_a_vgpu() -> None:
    assert cells("web", columns=KERNELS) == {
        "NAME": "web",
        "GPU": "gpu0",
        "SHARE": "75.0 %",
        "EU": "25.0 %",
        "KERN/S": "40.0",
        "THREADS/S": "4.00k",
        "HITS/S": "36.0",
        "COMPILED": "9",
        "DISK": "6",
        "UNCOMPILED": "3",
        "INTERPRETED": "12",
        "CLIENT": "qemu (4711)",
    }
    assert cells("off", columns=KERNELS)["CLIENT"] == "defined"
    assert cells("off", columns=KERNELS)["COMPILED"] == ""


def test_kernels_fit_a_terminal() -> None:
    """With the widest numbers: the view puts a blank at both sides of each column."""
    usage = next(iter(usages(BEFORE, AFTER)))
    much = msgspec.structs.replace(
        usage, kernels_per_second=199e3, threads_per_second=199e6, hits_per_second=199e3
    )
    total = samples.vgpu_stats("web", compute=samples.compute(interpreted_groups=99_999_999_999))
    shown = Shown(samples.vgpu("a-long-name", 1, active=True, client=CLIENT), much, total)
    most = KERNELS.index(next(column for column in KERNELS if column.title == "COMPILED")) + 1
    for columns, width in ((KERNELS[:most], 80), (KERNELS, 120)):
        lines = click.unstyle(table(columns, [shown])).splitlines()
        assert max(map(len, lines)) + 2 <= width


def test_a_vgpu_that_has_its_gpu_alone_has_kernels_all_the_same() -> None:
    alone = [
        samples.stats(
            seconds,
            samples.vgpu_stats(
                "web", 1, mediated=False, engines={}, compute=samples.compute(kernels=kernels)
            ),
        )
        for seconds, kernels in ((1.0, 0), (2.0, 7))
    ]
    before, after = (Reading(each, VGPUS) for each in alone)
    [row] = [each for each in rows(before, after, "name", KERNELS) if each.vgpu.name == "web"]
    assert row.cells[2:5] == ("", "0.0 %", "7.00")


def test_those_that_are_not_active() -> None:
    assert cells("off")["CLIENT"] == "defined"
    assert cells("broken")["CLIENT"] == "gpu0 is gone"
    assert cells("off")["SHARE"] == ""


def test_orders() -> None:
    def names(sort: str) -> list[str]:
        found = rows(Reading(BEFORE, VGPUS), Reading(AFTER, VGPUS), sort, SHARING)
        return [row.vgpu.name for row in found]

    assert names("name") == ["broken", "db", "idle", "off", "web"]
    assert names("share")[:2] == ["web", "db"]
    assert all(names(sort)[0] == "web" for sort in SORTS if sort != "name")
    for names_of in (SORTS, VIEWS):
        seen = [next(iter(names_of))]
        for _ in names_of:
            seen.append(next_of(names_of, seen[-1]))
        assert seen == [*names_of, seen[0]]


def test_heading() -> None:
    text = heading(Reading(BEFORE, []), Reading(AFTER, []))
    assert text.startswith("gpu0  90.0 % busy  350 MHz  0.0 W (estimated)  0 switches/s")


def test_a_gpu_that_one_has_alone() -> None:
    """Is in use, though vgpud does nothing for it."""
    alone = samples.vgpu_stats("all", mediated=False, engines={})
    readings = [
        msgspec.structs.replace(
            samples.stats(seconds, alone), gpus=[samples.gpu_stats(active=False)]
        )
        for seconds in (1.0, 2.0)
    ]
    before, after = (Reading(each, []) for each in readings)
    assert heading(before, after) == "gpu0  passthrough: all"


def test_no_terminal(vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("top")
    assert (status, out) == (2, "")
    assert "top needs a terminal" in err
    assert "vgpuctl stats" in err


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the application run until something is so; the test's time-out ends it else."""
    while not condition():
        await pilot.pause(0.02)


def test_the_view(vgpud: FakeVgpud, tmp_path: Path) -> None:
    vgpud.readings = [BEFORE, AFTER]
    for vgpu in VGPUS:
        vgpud.add(vgpu)
    app = TopApp(lambda: Client.connect(vgpud.path, 5.0), 0.1)

    def first_names() -> list[str]:
        shown: DataTable[object] = app.query_one(DataTable)
        return [str(shown.get_row_at(row)[0]) for row in range(shown.row_count)]

    def titles() -> list[str]:
        shown: DataTable[object] = app.query_one(DataTable)
        return [str(column.label) for column in shown.ordered_columns]

    def text_of(name: str) -> str:
        return str(app.query_one(name, Static).render())

    async def drive() -> None:
        async with app.run_test(size=(160, 24)) as pilot:
            await until(pilot, lambda: len(first_names()) == len(VGPUS))
            assert "gpu0" in text_of("#gpus")
            assert text_of("#status").startswith("sharing, by share")
            await pilot.press("v")
            assert text_of("#status").startswith("kernels, by share")
            assert titles() == [column.title for column in KERNELS]
            assert len(first_names()) == len(VGPUS)
            await pilot.press("v")
            assert titles() == [column.title for column in SHARING]
            await pilot.press("s")
            by_name = ["broken", "db", "idle", "off", "web"]
            await until(pilot, lambda: first_names() == by_name)
            assert "by name" in text_of("#status")
            vgpud.stop()
            await until(pilot, lambda: "does not answer" in text_of("#status"))
            vgpud.path.unlink()
            with FakeVgpud(vgpud.path) as again:
                again.readings = [BEFORE, AFTER]
                again.add(samples.vgpu("fresh", 9))
                await until(pilot, lambda: first_names() == ["fresh"])
                await pilot.press("q")
            assert app.return_code == 0

    asyncio.run(drive())


@pytest.mark.parametrize("interval", ["0", "no"])
def test_usage(interval: str, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("top", "--interval", interval).status == 2
