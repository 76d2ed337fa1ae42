"""vgpud as other users of the machine see it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")


@contextmanager
def passable() -> Iterator[Path]:
    """A directory of its own through which everybody may pass, removed at the end.

    Not below pytest's: each run of pytest takes those of all runs from others again.
    """
    with TemporaryDirectory(prefix="vgpud-others-") as made:
        directory = Path(made)
        directory.chmod(0o711)
        yield directory


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
