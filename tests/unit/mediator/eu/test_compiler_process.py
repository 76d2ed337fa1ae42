"""The compiler process: whatever becomes of it, its owner gets an answer or a reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mediator.softgpu.eu.translator.process import (
    CompilerProcess,
    ProcessDied,
    ProcessLimits,
)
from mediator.softgpu.eu.translator.wire import Status

READY = "import os,sys,signal,struct;os.write(1,struct.pack('<IdI',1,0,0));os.read(0,16);"
OBJECT = "os.write(1,struct.pack('<IdI',2,0.5,3)+b'abc')"


def started(script: str, patience: float = 60.0) -> CompilerProcess:
    limits = ProcessLimits(patience=patience)
    return CompilerProcess(limits, [sys.executable, "-S", "-c", script])


def test_an_answer() -> None:
    process = started(READY + OBJECT + ";os.read(0,99);os.read(0,99)")
    reply = process.compile(b"", 0, 8)
    assert (reply.status, reply.seconds, reply.content) == (Status.OBJECT, 0.5, b"abc")
    process.stop()
    assert process.pid is None


@pytest.mark.parametrize(
    "script",
    [
        "pass",
        "import os;os.write(1,b'nonsense that is long enough')",
        READY + "sys.exit(3)",
        READY + "os.kill(os.getpid(), signal.SIGKILL)",
        READY + "os.abort()",
        READY + "os.write(1,struct.pack('<IdI',2,0,1<<31))",
        READY + "os.write(1,struct.pack('<IdI',99,0,0))",
        READY + "os.write(1,struct.pack('<IdI',1,0,0))",
        READY + "os.write(1,struct.pack('<IdI',2,0,100)+b'short')",
    ],
)
def test_a_death_or_nonsense_is_said_and_another_is_started(script: str) -> None:
    process = started(script)
    for number in (1, 2):
        with pytest.raises(ProcessDied) as death:
            process.compile(b"code", 0, 8)
        assert not death.value.late
        assert process.pid is None
        assert process.starts == number


def test_one_that_does_not_answer_is_killed() -> None:
    process = started(READY + "signal.pause()", patience=0.3)
    with pytest.raises(ProcessDied) as death:
        process.compile(b"code", 0, 8)
    assert death.value.late
    assert process.pid is None


def test_a_command_that_is_not_there() -> None:
    process = CompilerProcess(start=["/nowhere/python"])
    with pytest.raises(ProcessDied, match="does not start"):
        process.compile(b"", 0, 8)


def test_one_killed_between_two_requests_is_replaced() -> None:
    script = READY + OBJECT + ";signal.pause()"
    process = started(script)
    assert process.compile(b"", 0, 8).content == b"abc"
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessDied):
        process.compile(b"", 0, 8)
    assert process.compile(b"", 0, 8).content == b"abc"
    process.stop()


def test_after_so_many_requests_another_is_started() -> None:
    script = READY + OBJECT + ";signal.pause()"
    process = CompilerProcess(ProcessLimits(requests=1), [sys.executable, "-S", "-c", script])
    for _ in range(2):
        process.compile(b"", 0, 8)
    assert process.starts == 2


def test_what_nobody_foresaw_costs_one_kernel() -> None:
    """The process goes on with the kernels of others."""
    script = """
from mediator.softgpu.eu.translator import worker
from mediator.softgpu.eu.translator.wire import Reply, Status

def translate(code, entry, simd, **_):
    if code == b"bad":
        raise KeyError("unforeseen")
    return Reply(Status.OBJECT, 0.0, code)

worker.translate = translate
worker.main([str(1 << 31), "20"])
"""
    process = CompilerProcess(start=[sys.executable, "-c", script])
    for _ in range(2):
        refused = process.compile(b"bad", 0, 8)
        assert (refused.status, b"unforeseen" in refused.content) == (Status.REFUSED, True)
        assert process.compile(b"good", 0, 8).content == b"good"
    assert process.starts == 1
    process.stop()


def test_one_without_memory_ends() -> None:
    """Whoever's programs have taken it: the kernel is not refused for that, a new process tries."""
    script = """
from mediator.softgpu.eu.translator import worker
from mediator.softgpu.eu.translator.wire import Reply, Status

def translate(code, entry, simd, **_):
    if code == b"bad":
        raise MemoryError
    return Reply(Status.OBJECT, 0.0, code)

worker.translate = translate
worker.main([str(1 << 31), "20"])
"""
    process = CompilerProcess(start=[sys.executable, "-c", script])
    with pytest.raises(ProcessDied):
        process.compile(b"bad", 0, 8)
    assert process.compile(b"good", 0, 8).content == b"good"
    assert process.starts == 2
    process.stop()


def test_the_sandbox_is_limited_and_refuses_files_sockets_and_programs() -> None:
    script = """
import os, socket, sys
from mediator.softgpu.eu.translator import sandbox
import ctypes, platform, resource
status = os.open("/proc/self/status", os.O_RDONLY)
sandbox.limit(1 << 31, 60)
PR_GET_PDEATHSIG, PR_GET_DUMPABLE = 2, 3
prctl, signal = ctypes.CDLL(None).prctl, ctypes.c_int()
prctl(PR_GET_PDEATHSIG, ctypes.byref(signal))
limits = [resource.getrlimit(each) for each in (
    resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)]
if (prctl(PR_GET_DUMPABLE), signal.value, limits) != (0, 9, [(1 << 31,) * 2, (0, 0), (0, 0)]):
    sys.exit(3)
if not 60 <= resource.getrlimit(resource.RLIMIT_CPU)[0] <= 70:
    sys.exit(4)
closed = sandbox.close_doors()
os.lseek(status, 0, os.SEEK_SET)
said = os.read(status, 1 << 16).split(b"\\n")
if closed != (b"Seccomp:\\t2" in said):
    sys.exit(5)
if not closed:
    sys.exit(platform.machine() == "x86_64" and b"Seccomp:\\t0" in said)
if b"NoNewPrivs:\\t1" not in said:
    sys.exit(6)
for action in (
    lambda: open("/etc/passwd"),
    lambda: socket.socket(),
    lambda: os.fork(),
    lambda: os.kill(os.getppid(), 0),
    lambda: os.unlink("/nothing"),
):
    try:
        action()
    except PermissionError:
        continue
    sys.exit(1)
try:
    bytearray(4 << 30)
except MemoryError:
    sys.exit(0)
sys.exit(2)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
