"""A vgpud whose standard output nobody can read."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.integration.control_rig import PATIENCE_S, prepared, wait_until
from vgpu_ctl.client import Client, DaemonUnreachable


def test_a_full_standard_output_keeps_nothing_down(tmp_path: Path) -> None:
    with prepared(tmp_path) as rig, Path("/dev/full").open("w") as full, rig.log.open("w") as log:
        with subprocess.Popen(
            rig.command(), stdout=full, stderr=log, env={**os.environ, **rig.environment}
        ) as process:
            try:
                wait_until(lambda: answers(rig.socket), "an answer")
                rig.wait_said("standard output: No space left on device: nobody reads")
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0, rig.said()
        assert "Traceback" not in rig.said()
        assert "Exception" not in rig.said()


def answers(path: Path) -> bool:
    """Whether a vgpud does."""
    try:
        with Client.connect(path) as client:
            return bool(client.version().version)
    except DaemonUnreachable:
        return False
