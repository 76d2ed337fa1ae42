"""Signals come to the main thread's wait, whichever thread the kernel has given them to."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, signal, threading, time
from vgpu_ctl.signals import Signals

parked = threading.Event()
threading.Thread(target=parked.wait, daemon=True).start()  # as a library's: nothing is blocked
time.sleep(0.01)
signals = Signals((signal.SIGTERM, signal.SIGHUP))
{before}
print(*[each and each.name for each in [{waits}]])
"""
_KILL = "os.kill(os.getpid(), signal.{})"


@pytest.mark.parametrize(
    ("before", "waits", "says"),
    [
        (["SIGTERM"], "signals.wait(3600)", "SIGTERM"),
        (["SIGHUP"], "signals.wait(3600)", "SIGHUP"),
        (["SIGHUP"], "signals.wait(0.01, signal.SIGTERM), signals.wait(3600)", "None SIGHUP"),
        (
            ["SIGHUP", "SIGTERM"],
            "signals.wait(3600, signal.SIGTERM), signals.wait(3600)",
            "SIGTERM SIGHUP",
        ),
        ([], "signals.wait(0.01)", "None"),
    ],
)
def test_a_signal_that_another_thread_was_given(before: list[str], waits: str, says: str) -> None:
    """The main thread does not wait when it comes, so it goes to the one that blocks nothing; that
    may be after the wait has begun."""
    program = _PROGRAM.format(before="\n".join(map(_KILL.format, before)), waits=waits)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, says), done.stderr


def test_a_signal_while_it_waits() -> None:
    kill = _KILL.format("SIGHUP")
    program = _PROGRAM.format(
        before=f"threading.Timer(0.05, lambda: {kill}).start()", waits="signals.wait(3600)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "SIGHUP"), done.stderr
