"""`vgpud serve --vgpus N` as a program: its sockets, what it says, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.gpu_driver import MI_BATCH_BUFFER_START_PPGTT, MI_NOOP
from tests.integration.vgpu_rig import PATIENCE_S, Guest, connect

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
BATCH = 0x10_0000
"""PPGTT address of a batch."""
VGPUD = Path(sys.executable).with_name("vgpud")


def command(directory: Path, count: int, *options: str) -> list[str]:
    """The command line that shares a GPU among ``count``."""
    return [str(VGPUD), "serve", "--vgpus", str(count), "--socket-dir", str(directory), *options]


def ended(directory: Path, count: int) -> subprocess.CompletedProcess[str]:
    """A `vgpud serve` that is expected to end by itself."""
    return subprocess.run(
        command(directory, count), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@contextmanager
def shared_vgpud(
    directory: Path, count: int, *options: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A `vgpud serve --vgpus` that is ready, and its sockets; killed if it still runs."""
    process = subprocess.Popen(
        command(directory, count, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        paths = [str(directory / f"vgpu{index}") for index in range(count)]
        assert [process.stdout.readline() for _ in paths] == [f"ready {path}\n" for path in paths]
        yield process, paths
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()


def spin(guest: Guest) -> None:
    """Start a batch that jumps to itself for ever."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    batch = driver.ram.allocate()
    driver.ram.write_u32(batch, MI_BATCH_BUFFER_START_PPGTT, BATCH, 0)
    context.tables.map(BATCH, batch)
    driver.run(context, [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, MI_NOOP])


def summaries(output: str) -> list[dict[str, Any]]:
    """The lines "served"."""
    return [json.loads(line.removeprefix("served ")) for line in output.splitlines()]


@pytest.mark.parametrize("address_space", ["shadow", "direct"])
@pytest.mark.parametrize("ggtt", ["ballooned", "private"])
def test_two_guests_work_and_are_accounted_for(
    tmp_path: Path, address_space: str, ggtt: str
) -> None:
    options = ["--address-space", address_space, "--ggtt", ggtt, "--weight", "3", "--weight", "1"]
    with shared_vgpud(tmp_path, 2, *options) as (process, paths):
        guests = [connect(path) for path in paths]
        contexts = [guest.driver.create_context("rcs0") for guest in guests]
        for _ in range(10):
            work = [
                guest.driver.run(context) for guest, context in zip(guests, contexts, strict=True)
            ]
            for guest, request in zip(guests, work, strict=True):
                guest.driver.wait(request)
        for guest in guests:
            guest.close()
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    told = {summary["name"]: summary for summary in summaries(out)}
    assert told.keys() == {"vgpu0", "vgpu1"}
    assert [told[name]["weight"] for name in sorted(told)] == [3, 1]
    for summary in told.values():
        assert summary["requests"] >= 10
        assert summary["gpu_seconds"] > 0
        assert 0 < summary["share"] < 1
        assert summary["reads"] + summary["writes"] > 0
        assert summary["rejections"] == {}
        assert summary["hangs"] == 0
    assert not any(Path(path).exists() for path in paths)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_clients_attached(tmp_path: Path, number: signal.Signals) -> None:
    with shared_vgpud(tmp_path, 3) as (process, paths):
        guests = [connect(path) for path in paths[:2]]
        spin(guests[0])
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
        for guest in guests:
            guest.close()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert {summary["name"] for summary in summaries(out)} == {"vgpu0", "vgpu1"}
    assert list(tmp_path.iterdir()) == []


def test_the_next_client_is_served_beside_a_busy_one(tmp_path: Path) -> None:
    with shared_vgpud(tmp_path, 2) as (process, paths):
        busy = connect(paths[0])
        spin(busy)
        for _ in range(2):
            guest = connect(paths[1])
            guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
            guest.close()
        busy.close()
        process.terminate()
        out, _ = process.communicate(timeout=PATIENCE_S)
    names = [summary["name"] for summary in summaries(out)]
    assert sorted(names) == ["vgpu0", "vgpu1", "vgpu1"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("absent", "create it first"),
        ("file", "a part of its directory is a file"),
        ("x" * 120, "107 are allowed"),
    ],
)
def test_a_directory_it_cannot_use(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "file").touch()
    told = ended(tmp_path / name, 2)
    assert told.returncode == 1
    assert told.stderr.startswith(f"Error: cannot listen on {tmp_path / name}/vgpu0: ")
    assert advice in told.stderr
    assert "Traceback" not in told.stderr


def test_a_socket_in_use_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    with shared_vgpud(tmp_path, 1):
        told = ended(tmp_path, 2)
        assert told.returncode == 1
        assert "vgpu0: another server listens there" in told.stderr
        (tmp_path / "third").mkdir()
        (tmp_path / "third" / "vgpu1").touch()
        told = ended(tmp_path / "third", 2)
        assert told.returncode == 1
        assert "vgpu1: something that is no socket is there" in told.stderr
        assert not (tmp_path / "third" / "vgpu0").exists()
        connect(str(tmp_path / "vgpu0")).close()


def test_too_few_descriptors_to_begin_end_it_with_what_to_do(tmp_path: Path) -> None:
    script = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))"
    script += "; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *command(tmp_path, 8)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "30 file descriptors are allowed, 8 vGPUs may need 256" in done.stderr
    assert "file descriptors are short: raise `ulimit -Hn`, or serve fewer vGPUs" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
