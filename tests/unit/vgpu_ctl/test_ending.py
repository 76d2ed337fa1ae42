"""A process that was told to end is gone, whatever it waits for."""

from __future__ import annotations

import subprocess
import sys

PATIENCE_S = 60.0
STUCK = """
import ctypes, os
from vgpu_ctl import ending
ending.ENDING_S = 0.2
ending.must_end()
{before}
fd = os.eventfd(0)
ctypes.PyDLL(None).eventfd_read(fd, ctypes.byref(ctypes.c_uint64()))  # with the interpreter's lock
"""


def _run(before: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STUCK.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_thread_that_waits_for_ever_does_not_keep_the_process() -> None:
    done = _run()
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>"' in done.stderr


def test_who_has_ended_is_left_alone() -> None:
    done = _run("ending.has_ended(); raise SystemExit(3)")
    assert (done.returncode, done.stderr) == (3, "")
