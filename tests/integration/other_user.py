"""vgpud as other users of the machine see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")


def passable(directory: Path) -> Path:
    """``directory``, below which everybody may pass now."""
    for above in (directory, *directory.parents[:3]):
        above.chmod(above.stat().st_mode | 0o011)
    return directory


def as_user(*options: str, socket_path: Path) -> str:
    """What vgpud answers another user, or why not even that."""
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from vgpu_ctl.client import Client, ApiError, DaemonUnreachable\n"
        "try:\n    print(Client.connect(Path(sys.argv[1])).vgpus())\n"
        "except (ApiError, DaemonUnreachable) as error:\n    print(error)\n"
    )
    command = ["setpriv", *options, sys.executable, "-c", script, str(socket_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
