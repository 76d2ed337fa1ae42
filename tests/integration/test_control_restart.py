"""vgpud ends, is killed, cannot write, and starts again: nothing is lost, nothing half-written."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.control_rig import (
    NO_METRICS,
    PATIENCE_S,
    ControlRig,
    prepared,
    running,
    wait_until,
)
from tests.integration.other_user import needs_root
from tests.integration.socket_activation import giving_control
from tests.integration.test_mediated_vgpud import spin
from tests.integration.vgpu_rig import connect
from vgpu_ctl.api.objects import VgpuState
from vgpu_ctl.client import ApiError, ErrorCode

NOBODY = 65534


def definition_file(rig: ControlRig, uuid: str) -> Path:
    return rig.state / "vgpus" / f"{uuid}.json"


def test_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        with rig.client() as client:
            kept = client.create(name="kept", type="V9_8", weight=9)
            passing = client.create(name="passing", type="V9_8", transient=True, cap=0.25)
            client.define(name="idle", type="V9_8")
            automatic = client.define(name="automatic", type="V9_8", autostart=True)
            damaged = client.define(name="damaged", type="V9_8")
            client.modify("kept", weight=11)
        rig.kill()
        assert Path(kept.socket).exists()
        broken = definition_file(rig, damaged.uuid)
        broken.write_text('{"version": 1, "uuid": "')
        rest = broken.with_name("0-half.part")
        rest.write_text("{")
        rig.start()
        with rig.client() as client:
            found = {each.name: each for each in client.vgpus()}
            assert found.keys() == {"kept", "passing", "idle", "automatic"}
            states = {name: each.state.value for name, each in found.items() if name != "idle"}
            assert set(states.values()) == {"active"}
            assert found["idle"].state is VgpuState.DEFINED
            assert (found["kept"].uuid, found["kept"].weight) == (kept.uuid, 11)
            assert found["kept"].persistent
            assert (found["passing"].uuid, found["passing"].cap) == (passing.uuid, 0.25)
            assert not found["passing"].persistent
            assert found["automatic"].uuid == automatic.uuid
            guest = connect(found["kept"].socket)
            guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
            guest.close()
        assert not broken.exists()
        assert not rest.exists()
        aside = broken.with_name(broken.name + ".damaged")
        assert aside.read_text().startswith('{"version"')
        assert f"{broken} is no definition of a vGPU" in rig.said()
        assert f"set aside as {aside}" in rig.said()
        rig.stop()
        assert not rig.socket.exists()
        assert list((rig.runtime / "vgpus").glob("*.sock")) == []


@pytest.mark.modes
def test_what_cannot_come_back_is_in_its_error_state(tmp_path: Path) -> None:
    """And comes back when it can; a second vGPU of a name is not taken for the first."""
    config = NO_METRICS + '[types.mine]\nkind = "private"\n'
    with running(tmp_path, config) as rig:
        with rig.client() as client:
            a = client.create(name="a", type="mine")
            client.create(name="b", type="V9_4", transient=True)
            c = client.create(name="c", type="V9_4", transient=True)
            d = client.define(name="d", type="V9_4")
        rig.stop()
        rig.config.write_text(NO_METRICS)
        shutil.rmtree(rig.runtime / "vgpus")
        (rig.runtime / "vgpus").mkdir()
        (rig.runtime / "vgpus" / "b.sock").write_text("not a socket")
        record = rig.runtime / "active" / f"{c.uuid}.json"
        other = json.loads(record.read_text())
        record.unlink()
        other |= {"uuid": "123e4567-e89b-42d3-a456-426614174000", "name": "d"}
        record.with_name(f"{other['uuid']}.json").write_text(json.dumps(other))
        rig.start()
        with rig.client() as client:
            found = {each.name: each for each in client.vgpus()}
            assert found.keys() == {"a", "b", "d"}
            assert found.pop("d") == d
            assert found["a"].uuid == a.uuid
            assert found["a"].error.startswith("type: there is no 'mine' any more: V9_1, ")
            assert "exists and is not a socket" in found["b"].error
            assert {each.state for each in found.values()} == {VgpuState.ERROR}
            assert client.modify("b", weight=5).weight == 5
        rig.stop()
        (rig.runtime / "vgpus" / "b.sock").unlink()
        rig.config.write_text(config)
        rig.start()
        with rig.client() as client:
            found = {each.name: each for each in client.vgpus()}
            states = [found[name].state.value for name in "abd"]
            assert states == ["active", "active", "defined"]
            assert (found["b"].weight, found["b"].persistent) == (5, False)


@contextmanager
def tiny_disk(path: Path, pages: int) -> Iterator[None]:
    """A file system of so many pages at ``path``."""
    path.mkdir()
    size = f"size={pages * 4}k,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.modes
@needs_root
@pytest.mark.parametrize("full", ["state", "run"])
def test_a_full_disk_changes_nothing(tmp_path: Path, full: str) -> None:
    with tiny_disk(tmp_path / full, 8), running(tmp_path) as rig, rig.client() as client:
        there = client.define(name="there", type="V9_8")
        live = client.create(name="live", type="V9_8")
        filler = tmp_path / full / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(1 << 20))
        files = rig.files()
        contents = {name: (rig.root / name).read_bytes() for name in files if ".json" in name}
        calls: list[Callable[[], object]] = [
            lambda: client.create(name="new", type="V9_8"),
            lambda: client.modify("live", weight=77, cap=0.5),
        ]
        if full == "state":
            calls.append(lambda: client.define(name="new", type="V9_8"))
            calls.append(lambda: client.modify("there", autostart=True))
        else:
            calls.append(lambda: client.start("there"))
        for call in calls:
            with pytest.raises(ApiError, match="No space left on device") as error:
                call()
            assert error.value.code is ErrorCode.FAILED
            assert "nothing was changed" in error.value.hint
        assert rig.files() == files
        assert contents == {name: (rig.root / name).read_bytes() for name in contents}
        assert client.vgpus() == [live, there]
        guest = connect(live.socket)
        guest.close()
        client.destroy("live", force=True)  # to take away is possible
        filler.unlink()
        assert client.create(name="new", type="V9_8").state is VgpuState.ACTIVE


@pytest.mark.modes
@needs_root
def test_a_full_disk_keeps_nobody_down(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "state", 4), running(tmp_path) as rig:
        with rig.client() as client:
            live = client.create(name="live", type="V9_8")
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "state" / "filler").write_bytes(bytes(1 << 20))
        rig.kill()
        rig.start()
        with rig.client() as client:
            assert client.show("live").uuid == live.uuid
            assert client.show("live").state is VgpuState.ACTIVE
        rig.stop()


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[ControlRig]:
    """A vgpud without root's power over permissions, in directories of its own."""
    root = tmp_path / "nobody"
    root.mkdir()
    with prepared(root) as rig:
        if os.geteuid() == 0:
            for above in (root, *root.parents[:4]):
                above.chmod(above.stat().st_mode | 0o011)
            os.chown(root, NOBODY, NOBODY)
            rig.prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        yield rig


@pytest.mark.modes
def test_an_unwritable_directory(as_nobody: ControlRig) -> None:
    rig = as_nobody
    rig.start()
    with rig.client() as client:
        live = client.create(name="live", type="V9_8")
        idle = client.define(name="idle", type="V9_8")
        definitions = rig.state / "vgpus"
        definitions.chmod(0o555)
        files = rig.files()
        for call in (
            lambda: client.define(name="new", type="V9_8"),
            lambda: client.create(name="new", type="V9_8"),
            lambda: client.modify("live", weight=5),
            lambda: client.undefine("live"),
            lambda: client.undefine("idle"),
            lambda: client.destroy("live"),
        ):
            with pytest.raises(ApiError, match="Permission denied") as error:
                call()
            assert str(definitions) in str(error.value)
        assert client.vgpus() == [idle, live]
        assert rig.files() == files
        connect(live.socket).close()
        definitions.chmod(0o755)
    rig.stop()
    rig.state.chmod(0o555)
    code, said = rig.run_to_end()
    assert (code, f"Error: {rig.state} cannot be written" in said) == (1, True), said
    rig.state.chmod(0o757)
    code, said = rig.run_to_end()
    assert (code, f"{rig.state} can be written by everybody" in said) == (1, True), said
    rig.state.chmod(0o755)
    rig.root.chmod(0o777)
    code, said = rig.run_to_end()
    assert (code, f"{rig.root} can be written by everybody" in said) == (1, True), said


def test_another_daemon_is_there(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        code, said = rig.run_to_end()
        assert code == 1
        assert f"Error: another vgpud, process {rig.pid}, uses {rig.runtime}" in said
        (tmp_path / "other").mkdir()
        config = f'{NO_METRICS}[sockets]\ndirectory = "{rig.runtime}/vgpus"\n'
        with running(tmp_path / "other", config) as other:
            with rig.client() as client, other.client() as neighbour:
                mine = client.create(name="same", type="V9_8")
                with pytest.raises(ApiError, match="another server listens here") as error:
                    neighbour.create(name="same", type="V9_8")
                assert error.value.hint == "another program listens there: stop it"
                assert neighbour.vgpus() == []
                connect(mine.socket).close()
            assert other.files() == set()


@pytest.mark.modes
def test_what_keeps_it_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, prepared(tmp_path) as rig:
        port = taken.getsockname()[1]
        for config, code, text in (
            (f'[metrics]\nlisten = ["127.0.0.1:{port}"]', 1, f"127.0.0.1 port {port}: Address al"),
            ("[daemon]\ncolour = 1", 2, f"{rig.config}:2: daemon.colour: unknown key"),
            ('[control]\ngroup = "nobody-is-in-it"', 2, 'group "nobody-is-in-it" does not exist'),
            ('[control]\nmode = "0666"', 2, "control.mode"),
            ("[[gpu]]\nslice_ms = 0", 2, "gpu[0].slice_ms: 0 is not allowed: 0.5 to 1000"),
        ):
            rig.config.write_text(config)
            ended, said = rig.run_to_end()
            assert (ended, text in said) == (code, True), said
            assert "Traceback" not in said
            assert rig.files() == set()
            assert not rig.socket.exists()
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    with prepared(deep) as rig:
        ended, said = rig.run_to_end()
        assert (ended, "path too long: choose a" in said) == (1, True), said
        rig.config.unlink()
        assert rig.run_to_end()[0] == 2


def test_a_name_too_long_for_its_socket(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    length = 107 - len(str(root / "run" / "vgpus" / ".sock"))
    with running(root) as rig, rig.client() as client:
        for call in (client.create, client.define):
            with pytest.raises(ApiError, match="107 are allowed") as error:
                call(name="n" * min(length + 1, 64), type="V9_8")
            assert error.value.field == "name"
        made = client.create(name="n" * length, type="V9_8")
        connect(made.socket).close()


@pytest.mark.modes
def test_sigterm_lets_requests_end(tmp_path: Path) -> None:
    with running(tmp_path, NO_METRICS + "[daemon]\ndrain_seconds = 600\n") as rig:
        with rig.client() as client:
            made = client.create(name="a", type="V9_8")
        guest = connect(made.socket)
        spin(guest)
        guest.client.region_read(0, 0, 4)  # it has arrived
        assert rig.process is not None
        rig.process.send_signal(signal.SIGTERM)
        rig.wait_said("stopping: up to 600 s")
        with pytest.raises(subprocess.TimeoutExpired):
            rig.process.wait(0.3)
        assert rig.stop() == 0  # the second does not wait
        assert "stopping at once" in rig.said()
        guest.close()


def test_drain_ends_when_all_is_done(tmp_path: Path) -> None:
    with running(tmp_path, NO_METRICS + "[daemon]\ndrain_seconds = 600\n") as rig:
        with rig.client() as client:
            made = client.create(name="a", type="V9_8")
        guest = connect(made.socket)
        context = guest.driver.create_context("rcs0")
        requests = [guest.driver.add_request(context) for _ in range(3)]
        guest.driver.schedule(context)
        guest.client.region_read(0, 0, 4)  # writes are posted: they have arrived after this
        assert rig.stop(signal.SIGINT) == 0
        guest.driver.wait(*requests)
        guest.close()


def test_sighup(tmp_path: Path) -> None:
    one, two = '[[gpu]]\nname = "one"\n', '[[gpu]]\nname = "two"\n'
    with running(tmp_path, NO_METRICS + one) as rig, rig.client() as client:
        client.create(name="a", type="V9_8")
        assert rig.process is not None
        rig.config.write_text(NO_METRICS + two + one + '[types.small]\nkind = "private"\n')
        rig.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(client.gpus()) == 2, "another GPU")
        assert [gpu.name for gpu in client.gpus()] == ["two", "one"]
        assert client.create(name="b", type="small", gpu="two").gpu == "two"
        rig.config.write_text(NO_METRICS + "[[gpu]]\nname = 1\n")
        rig.process.send_signal(signal.SIGHUP)
        rig.wait_said("the configuration stays as it is: ")
        assert f"{rig.config}:4: gpu[0].name: 1 is not allowed" in rig.said()
        with pytest.raises(ApiError, match="gpu"):
            client.reload()
        rig.config.unlink()
        with pytest.raises(ApiError, match="not there any more"):
            client.reload()
        rig.config.write_text(NO_METRICS + two.replace("two", "three"))
        client.reload()
        rig.wait_said("one is in use and cannot be removed: stop its vGPUs first")
        assert [gpu.name for gpu in client.gpus()] == ["three", "two", "one"]
        connect(client.show("a").socket).close()
        client.destroy("a", force=True)
        client.destroy("b")
        client.reload()
        assert [gpu.name for gpu in client.gpus()] == ["three"]


class Manager:
    """What systemd is for a service: a socket that it notifies; a context manager.

    A thread reads it all the time: few messages have room in a socket, and others are lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._messages: queue.Queue[list[str]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Manager:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while message := self._socket.recv(4096):
            self._messages.put(message.decode().split("\n"))

    def next(self, begin: str) -> list[str]:
        """The next message that begins so; others, of which there are a few a second, are read."""
        while True:
            lines = self._messages.get(timeout=PATIENCE_S)
            if lines[0].startswith(begin):
                return lines


@pytest.mark.modes
def test_as_a_service(tmp_path: Path) -> None:
    """sd_notify, the watchdog, and a control socket that it was given."""
    activated = tmp_path / "given.sock"
    with (
        Manager(tmp_path / "notify") as manager,
        prepared(tmp_path) as rig,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(activated))
        listener.listen()
        rig.environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
        rig.prefix = giving_control(listener)
        rig.start(pass_fds=(listener.fileno(),))
        assert manager.next("READY=1")[1] == "STATUS=0 of 0 vGPUs active on 1 GPUs"
        assert not rig.socket.exists()
        with rig.client_at(activated) as client:
            assert client.version().socket == str(activated)
            client.create(name="a", type="V9_8")
        assert manager.next("STATUS=1") == ["STATUS=1 of 1 vGPUs active on 1 GPUs"]
        assert manager.next("WATCHDOG") == ["WATCHDOG=1"]
        assert rig.process is not None
        rig.process.send_signal(signal.SIGHUP)
        assert manager.next("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        manager.next("READY=1")
        assert rig.stop() == 0
        assert manager.next("STOPPING=1")[1] == "STATUS=draining"
        assert activated.exists()  # systemd's own
