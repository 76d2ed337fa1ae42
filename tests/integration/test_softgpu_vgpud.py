"""`vgpud serve` as a program: signals, its socket, what it says when it cannot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmio_trap.vfio_user.client import Client
from mmio_trap.vfio_user.protocol import RequestError
from tests.gpu_driver import PAGE
from tests.integration.served_gpu import PATIENCE_S, connect, vgpud

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
VGPUD = Path(sys.executable).with_name("vgpud")
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def serve(path: str | Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A `vgpud serve` that is expected to end by itself."""
    command = [VGPUD, "serve", "--socket", path, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("busy", [False, True])
def test_signal_ends_it_with_a_client_attached(
    tmp_path: Path, number: signal.Signals, busy: bool
) -> None:
    """Soon: on a busy machine, one of several times."""
    assert any(_ends_soon(tmp_path / "gpu", number, busy=busy) for _ in range(5))


def _ends_soon(path: Path, number: signal.Signals, *, busy: bool) -> bool:
    with vgpud(path) as process:
        guest = connect(str(path))
        if busy:
            for engine in ("rcs0", "bcs0", "vcs0", "vecs0"):
                guest.load(engine)
        begin = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - begin
        assert process.returncode == 0
        assert not path.exists()
        assert out.startswith("served {")
        assert "Traceback" not in err
        guest.close()
    return took < 2


def test_two_processes_at_once(tmp_path: Path) -> None:
    with vgpud(tmp_path / "a"), vgpud(tmp_path / "b", "--device-id", "1912"):
        guests = [connect(str(tmp_path / name)) for name in "ab"]
        for value in range(1, 20):
            for guest in guests:
                guest.request("rcs0", value)
            for guest in guests:
                guest.wait_seqno("rcs0", value)
        ids = [guest.client.region_read(7, 2, 2).hex() for guest in guests]
        assert ids == ["1259", "1219"]
        for guest in guests:
            guest.close()


def test_a_path_in_use_is_refused_and_its_server_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with vgpud(path):
        second = serve(path)
        assert second.returncode == 1
        assert f"cannot listen on {path}: another server listens there" in second.stderr
        guest = connect(str(path))
        guest.request("rcs0", 1)
        guest.wait_seqno("rcs0", 1)
        guest.close()


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with vgpud(path):
        connect(str(path)).close()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("absent/gpu", "create it first"),
        ("file/gpu", "a part of its directory is a file"),
        ("file", "is no socket"),
        ("x" * 120, "107 are allowed"),
        ("x" * 300, "107 are allowed"),
    ],
)
def test_a_path_it_cannot_listen_on(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    ended = serve(path)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: cannot listen on {path}: ")
    assert advice in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "file").exists()


def test_a_directory_it_may_not_write_to() -> None:
    ended = serve("/proc/self/gpu" if os.geteuid() == 0 else "/gpu")
    assert ended.returncode == 1
    assert "cannot listen on /" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_device(tmp_path: Path) -> None:
    ended = serve(tmp_path / "gpu", "--device-id", "beef")
    assert ended.returncode == 2
    assert "'beef' is not one of '1912', '5912'" in ended.stderr


@pytest.mark.parametrize("full", [False, True])
def test_nobody_reads_its_output(tmp_path: Path, full: bool) -> None:
    path = tmp_path / "gpu"
    if full:
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    ended = subprocess.run(
        [VGPUD, "serve", "--socket", path],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 1
    reason = "No space left on device" if full else "Broken pipe"
    assert f"Error: standard output: {reason}: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not path.exists()


def test_the_reader_of_its_output_leaves_later(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with vgpud(path) as process:
        assert process.stdout is not None
        process.stdout.close()
        for _ in range(2):
            connect(str(path)).close()
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert "standard output" in process.stderr.read()
        process.stdout = None


def test_memory_that_its_owner_may_truncate(tmp_path: Path) -> None:
    """A page that is cut off kills who touches it: refused, unless the operator allows it."""
    path, fd = tmp_path / "gpu", os.memfd_create("unsealable")
    os.ftruncate(fd, PAGE)
    with vgpud(path) as process:
        with Client.connect(str(path)) as client:
            client.negotiate()
            with pytest.raises(RequestError):
                client.dma_map(0, PAGE, fd)
            client.device_info()
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE_S)
        assert "DMA_MAP 0x0+0x1000 is refused: the file cannot be sealed" in err
    with vgpud(path, "--allow-unsealed"), Client.connect(str(path)) as client:
        client.negotiate()
        client.dma_map(0, PAGE, fd)
    os.close(fd)


def test_sealed_memory_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with vgpud(path):
        guest = connect(str(path))
        with pytest.raises(PermissionError):
            os.ftruncate(guest.ram.fd, 0)
        guest.close()


def test_a_second_client_is_turned_away(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with vgpud(path):
        guest = connect(str(path))
        for engine in ("rcs0", "bcs0", "vcs0", "vecs0"):
            guest.load(engine)
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(PATIENCE_S)
            second.connect(str(path))
            assert second.recv(1) == b""
        guest.close()
        connect(str(path)).close()
