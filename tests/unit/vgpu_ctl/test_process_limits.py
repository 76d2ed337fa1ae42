"""What vgpud takes of the system before it serves."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
from vgpu_ctl.process_limits import prepare_limits
prepare_limits(int(sys.argv[1]))
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("vgpus", "enough"), [(5, True), (6, False)])
def test_descriptors_up_to_the_hard_limit(vgpus: int, enough: bool) -> None:
    command = [sys.executable, "-c", SCRIPT, str(vgpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "(200, 200)\n"
    told = "200 file descriptors are allowed, 6 vGPUs may need 208" in done.stderr
    assert told is not enough
