"""`events`."""

from __future__ import annotations

import json

import yaml

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.test_start_stop import once_listening
from vgpu_ctl.api.objects import EventKind

WEB = samples.vgpu("web", 1, active=True)
DB = samples.vgpu("db", 2)


def publish(vgpud: FakeVgpud) -> None:
    """A handful of events."""
    vgpud.publish(EventKind.ATTACHED, WEB, pid=4711, command="qemu system")
    vgpud.publish(EventKind.MODIFIED, DB)
    vgpud.publish(EventKind.HANG, WEB, engine="rcs0", after=1.5)


def listened(vgpud: FakeVgpud, vgpuctl: Vgpuctl, *arguments: str) -> tuple[int, list[str], str]:
    """Status, lines and errors of `events`, while a handful of them happen."""
    vgpud.add(WEB)
    vgpud.add(DB)
    thread = once_listening(vgpud, lambda: publish(vgpud))
    status, out, err = vgpuctl("events", *arguments)
    thread.join()
    return status, out.splitlines(), err


def test_lines(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, lines, _ = listened(vgpud, vgpuctl, "--count", "3")
    assert status == 0
    assert [line.split("  ", 1)[1] for line in lines] == [
        "attached     web           gpu0    pid=4711 command='qemu system'",
        "modified     db",
        "hang         web           gpu0    engine=rcs0 after=1.5",
    ]
    assert lines[0][8:12] == ".250"


def test_nobody_steers_the_terminal(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    def claimed() -> None:
        vgpud.publish(EventKind.CLAIMED, WEB, domain="a\x1b[31mRED")

    thread = once_listening(vgpud, claimed)
    out = vgpuctl("events", "--count", "1").out
    thread.join()
    assert r"domain='a\x1b[31mRED'" in out


def test_json_lines(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    _, lines, _ = listened(vgpud, vgpuctl, "-o", "json", "--count", "2", "web")
    found = [json.loads(line) for line in lines]
    assert [event["kind"] for event in found] == ["attached", "hang"]
    assert found[0]["data"] == {"pid": 4711, "command": "qemu system"}


def test_yaml_and_csv(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    _, lines, _ = listened(vgpud, vgpuctl, "-o", "yaml", "--count", "3")
    assert [event["kind"] for event in yaml.safe_load("\n".join(lines))] == [
        "attached",
        "modified",
        "hang",
    ]
    _, lines, _ = listened(vgpud, vgpuctl, "-o", "csv", "--count", "3")
    assert lines[0] == "time,kind,vgpu,uuid,gpu,data"
    assert len(lines) == 4


def test_kinds(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    _, lines, _ = listened(vgpud, vgpuctl, "--kind", "hang", "--kind", "reset", "--count", "1")
    assert "hang" in lines[0]
    assert vgpuctl("events", "--kind", "party").status == 2


def test_time_out(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("events", "--timeout", "0.1") == (0, "", "")
    for seconds in ("0.5", "3", "20"):  # long enough for whoever tells of them, on a busy machine
        status, lines, err = listened(vgpud, vgpuctl, "--timeout", seconds, "--count", "9")
        assert status == 124
        assert err == f"error: {len(lines)} of 9 events after {seconds} s\n"
        if len(lines) == 3:
            break
    assert len(lines) == 3


def test_nobody_of_that_name(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("events", "web").status == 3


def test_help_has_every_kind(vgpuctl: Vgpuctl) -> None:
    words = vgpuctl("events", "--help").out.split()
    assert [kind.value for kind in EventKind if kind.value not in words] == []
