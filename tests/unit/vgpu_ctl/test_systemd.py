"""What is said to systemd, with a datagram socket in its place, and what comes from it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vgpu_ctl
from vgpu_ctl import systemd

SHARE = Path(vgpu_ctl.__file__).parent / "share"
UNITS = sorted((SHARE / "systemd").iterdir())
_RECEIVE_AS_SYSTEMD_GIVES = """
import os, sys
sockets = [int(fd) for fd in sys.argv[2:]]
spare = [os.dup2(fd, 100 + index) for index, fd in enumerate(sockets)]
for index, fd in enumerate(spare):
    os.dup2(fd, 3 + index)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
_REPORT = """
import json, os
from vgpu_ctl.systemd import listen_fds
found = listen_fds()
print(json.dumps({
    "names": {name: [str(one.getsockname()) for one in sockets] for name, sockets in found.items()},
    "inheritable": [one.get_inheritable() for sockets in found.values() for one in sockets],
    "blocking": [one.getblocking() for sockets in found.values() for one in sockets],
    "fds": [one.fileno() for sockets in found.values() for one in sockets],
    "left": [name for name in os.environ if name.startswith("LISTEN_")],
    "again": len(listen_fds()),
}))
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        abstract = f"\0vgpud-test-{secrets.token_hex(8)}"
        receiver.bind(abstract if request.param == "abstract" else str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def environment_of(manager: socket.socket) -> dict[str, str]:
    name = manager.getsockname()
    return {"NOTIFY_SOCKET": f"@{name[1:].decode()}" if isinstance(name, bytes) else name}


def test_notifications(manager: socket.socket) -> None:
    environment = environment_of(manager)
    assert systemd.ready("3 vGPUs", environment=environment)
    assert manager.recv(4096) == b"READY=1\nSTATUS=3 vGPUs"
    assert systemd.status("a\nMAINPID=1\rb", environment=environment)
    assert manager.recv(4096) == b"STATUS=a MAINPID=1 b"
    assert systemd.stopping("bye \ud800", environment=environment)
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=bye ?"
    assert systemd.alive(environment=environment)
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert systemd.main_pid(42, environment=environment)
    assert manager.recv(4096) == b"MAINPID=42"


def test_reloading_says_when(manager: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.reloading(environment=environment_of(manager))
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    reloading, moment, status = manager.recv(4096).decode().split("\n")
    assert (reloading, status) == ("RELOADING=1", "STATUS=")
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= after


@pytest.mark.parametrize(
    "address", ["", "notify", "vsock:2:1", "/nowhere/notify", "@nobody", "/" + "x" * 200, "/a\0b"]
)
def test_without_a_manager_nothing_is_raised(address: str) -> None:
    assert not systemd.ready(environment={"NOTIFY_SOCKET": address} if address else {})


def test_a_manager_that_stands_still_holds_nobody_up(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SEND_TIMEOUT_S", 0.01)
    environment = environment_of(manager)
    assert not all(systemd.alive(environment=environment) for _ in range(10_000))


@pytest.mark.parametrize(
    ("timeout", "pid", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", "ours", 15.0),
        ("30000000", "1", None),
        ("30000000", "", None),
        ("0", None, None),
        ("-1", None, None),
        ("", None, None),
        ("soon", None, None),
        ("9" * 5000, None, None),
        (None, None, None),
    ],
)
def test_the_watchdog(timeout: str | None, pid: str | None, expected: float | None) -> None:
    process = str(os.getpid()) if pid == "ours" else pid
    given = {"WATCHDOG_USEC": timeout, "WATCHDOG_PID": process}
    environment = {name: value for name, value in given.items() if value is not None}
    assert systemd.watchdog_interval(environment) == expected


def received(sockets: list[socket.socket], **variables: str) -> dict[str, object]:
    """What a program finds that systemd starts with ``sockets``."""
    fds = [one.fileno() for one in sockets]
    done = subprocess.run(
        [sys.executable, "-c", _RECEIVE_AS_SYSTEMD_GIVES, _REPORT, *map(str, fds)],
        pass_fds=fds,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_sockets_come_by_name(tmp_path: Path) -> None:
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(tmp_path / "control.sock"))
    metrics = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    control.listen()
    control.setblocking(False)
    names = [str(one.getsockname()) for one in metrics]
    sockets = [metrics[0], control, metrics[1]]
    answer = received(sockets, LISTEN_FDS="3", LISTEN_FDNAMES="metrics:control:metrics")
    assert answer == {
        "names": {"metrics": names, "control": [str(tmp_path / "control.sock")]},
        "inheritable": [False] * 3,
        "blocking": [True] * 3,
        "fds": [3, 5, 4],
        "left": [],
        "again": 0,
    }
    answer = received(sockets, LISTEN_FDS="2")
    assert answer["names"] == {"unknown": [names[0], str(tmp_path / "control.sock")]}
    for one in sockets:
        one.close()


def test_what_does_not_listen_is_left_out() -> None:
    left, right = socket.socketpair()
    with left, right, socket.create_server(("127.0.0.1", 0)) as listening:
        names = "control:metrics:file"
        answer = received([left, listening], LISTEN_FDS="3", LISTEN_FDNAMES=names)
        assert answer["names"] == {"metrics": [str(listening.getsockname())]}


@pytest.mark.parametrize("number", ["", "0", "-1", "many", "9" * 30])
def test_sockets_of_others_or_none(number: str) -> None:
    for pid in (str(os.getpid() + 1), "", "x"):
        environment = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "control"}
        assert systemd.listen_fds(environment) == {}
        assert environment == {}
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number, "PATH": "/bin"}
    assert systemd.listen_fds(environment) == {}
    assert environment == {"PATH": "/bin"}


_VALUES = st.text() | st.integers().map(str)


@given(st.dictionaries(st.sampled_from(["WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID"]), _VALUES))
def test_any_environment_is_survived(environment: dict[str, str]) -> None:
    systemd.watchdog_interval(environment)
    assert systemd.listen_fds(environment) == {}


def installed_units(directory: Path) -> list[str]:
    """The units in ``directory``, with a program that is there."""
    paths = []
    for unit in UNITS:
        text = unit.read_text()
        if unit.suffix == ".service":
            assert "ExecStart=/usr/bin/vgpud run\n" in text
            text = text.replace("/usr/bin/vgpud", shutil.which("true") or sys.executable)
        path = directory / unit.name
        path.write_text(text)
        paths.append(str(path))
    return paths


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    assert len(UNITS) == 3
    done = analyze("verify", "--man=no", *installed_units(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_exposed_little(tmp_path: Path) -> None:
    service = next(path for path in installed_units(tmp_path) if path.endswith(".service"))
    done = analyze("security", "--offline=true", "--threshold=30", "--no-pager", service)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout


def test_sysusers_makes_the_group(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    rules = SHARE / "sysusers.d" / "vgpud.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", rules], check=True)
    assert (tmp_path / "etc" / "group").read_text().startswith("vgpud:")
    assert "SocketGroup=vgpud\n" in (SHARE / "systemd" / "vgpud.socket").read_text()
