"""The way to vgpud that the command line names."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from vgpu_ctl.client import TIMEOUT_S, Client


def socket_path(context: click.Context | None = None) -> Path | None:
    """The control socket of the global option `--socket`, or of VGPUD_SOCKET; None: the usual."""
    root = (context or click.get_current_context()).find_root()
    return cast("Path | None", root.params.get("socket"))


def connect(timeout: float = TIMEOUT_S) -> Client:
    """A connection to it, inside a verb. Raises DaemonUnreachable."""
    return Client.connect(socket_path(), timeout)
