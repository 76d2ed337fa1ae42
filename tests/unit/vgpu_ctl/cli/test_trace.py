"""`trace`, the format it writes, and how a file is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import TraceChunk, TraceRecord
from vgpu_ctl.cli.chrome_trace import ChromeTrace
from vgpu_ctl.cli.replaced_file import replaced_file


def record(track: str, name: str, start_ns: int, duration_ns: int, detail: str = "") -> TraceRecord:
    return TraceRecord(
        track=track, name=name, start_ns=start_ns, duration_ns=duration_ns, detail=detail
    )


RECORDS = [
    record("traps", "RCS_ELSP", 5_000_000_000, 12_500, "write 0x1"),
    record("rcs0", "request 1", 5_000_010_000, 2_000_000),
    record("interrupts", "MSI", 5_002_020_000, -1),
    record("traps", "GEN8_GT_IIR", 4_999_999_000, 1_000),
]


def events(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["traceEvents"]
    return found


@pytest.fixture
def web(vgpud: FakeVgpud) -> FakeVgpud:
    """`web`, with a trace in two pieces."""
    vgpud.add(samples.vgpu("web", active=True))
    vgpud.chunks = [TraceChunk(records=RECORDS[:1]), TraceChunk(records=RECORDS[1:], dropped=7)]
    return vgpud


def test_the_file(web: FakeVgpud, vgpuctl: Vgpuctl, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    assert vgpuctl("trace", "web", "--seconds", "1", "-o", str(path)) == (
        0,
        "",
        "4 records, 7 had no room\n",
    )
    assert list(tmp_path.glob("*.part")) == []
    trace = json.loads(path.read_text())
    assert trace["otherData"] == {"vgpu": "web", "records": 4, "dropped": 7}
    named = [event for event in trace["traceEvents"] if event["ph"] == "M"]
    threads = {e["args"]["name"]: e["tid"] for e in named if e["name"] == "thread_name"}
    assert set(threads) == {"traps", "rcs0", "interrupts"}
    assert {"name": "web"} in [event["args"] for event in named]
    trap, request, interrupt, early = [e for e in trace["traceEvents"] if e["ph"] != "M"]
    assert trap == {
        "name": "RCS_ELSP",
        "ph": "X",
        "pid": 1,
        "tid": threads["traps"],
        "ts": 5_000_000.0,
        "dur": 12.5,
        "args": {"detail": "write 0x1"},
    }
    assert (request["ts"], request["dur"], request["tid"]) == (
        5_000_010.0,
        2000.0,
        threads["rcs0"],
    )
    assert (interrupt["ph"], interrupt["s"], interrupt["ts"]) == ("i", "t", 5_002_020.0)
    assert early["ts"] == 4_999_999.0


def test_standard_output(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, out, _ = vgpuctl("trace", "web", "-o", "-")
    assert status == 0
    assert len([event for event in events(out) if event["ph"] != "M"]) == 4


def test_an_empty_trace_is_one() -> None:
    trace = ChromeTrace("web")
    text = trace.head() + trace.body([]) + trace.body(RECORDS[:1]) + trace.body([]) + trace.tail(0)
    assert len(events(text.decode())) == 4
    empty = ChromeTrace("web")
    assert len(events((empty.head() + empty.tail(0)).decode())) == 1


def test_what_overlaps_is_on_threads_of_its_own() -> None:
    trace = ChromeTrace("web")
    times = [(0, 10_000), (5_000, 7_000), (10_000, 1_000), (11_500, 9_000), (30_000, -1)]
    records = [record("rcs0", "request", start, length) for start, length in times]
    records.append(record("rcs0 busy", "busy", 0, 5))
    found = events((trace.head() + trace.body(records) + trace.tail(0)).decode())
    names = {e["tid"]: e["args"]["name"] for e in found if e["name"] == "thread_name"}
    assert [names[e["tid"]] for e in found if e["ph"] != "M"] == [
        "rcs0",
        "rcs0 (2)",
        "rcs0",
        "rcs0",
        "rcs0",
        "rcs0 busy",
    ]
    order = {e["tid"]: e["args"]["sort_index"] for e in found if e["name"] == "thread_sort_index"}
    assert [names[tid] for tid in sorted(order, key=lambda tid: order[tid])] == [
        "rcs0",
        "rcs0 (2)",
        "rcs0 busy",
    ]


def test_a_flood_of_overlaps_has_an_end() -> None:
    trace = ChromeTrace("web")
    records = [record("rcs0", "request", 0, 10) for _ in range(100)]
    found = events((trace.head() + trace.body(records) + trace.tail(0)).decode())
    assert len({e["tid"] for e in found if e["ph"] == "X"}) == 16


def test_no_such_vgpu_leaves_the_file(vgpud: FakeVgpud, vgpuctl: Vgpuctl, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("old")
    assert vgpuctl("trace", "web", "-o", str(path)).status == 3
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s", "t.json"]


def test_a_directory_that_is_not_there(web: FakeVgpud, vgpuctl: Vgpuctl, tmp_path: Path) -> None:
    status, _, err = vgpuctl("trace", "web", "-o", str(tmp_path / "no" / "t.json"))
    assert status == 1
    assert "error: cannot write" in err
    assert "No such file or directory" in err
    assert vgpuctl("trace", "web").status == 2
    assert vgpuctl("trace", "web", "-o", str(tmp_path)).status == 2


def test_what_is_no_file_is_written_to() -> None:
    with replaced_file(Path("/dev/null")) as stream:
        stream.write(b"gone")
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with replaced_file(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
