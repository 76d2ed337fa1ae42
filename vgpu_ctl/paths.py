"""Where things are: root has /etc, /run and /var/lib, everybody else the XDG directories.

systemd's own variables come first (systemd.exec(5): RUNTIME_DIRECTORY, STATE_DIRECTORY,
CONFIGURATION_DIRECTORY), so that a unit decides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "vgpud"
SOCKET = "control.sock"
SOCKET_VARIABLE = "VGPUD_SOCKET"
"""Names the control socket for `vgpuctl` and the client library."""


class Paths(NamedTuple):
    """The directories of one vgpud, and its configuration file. No dataclass, as `Method`."""

    config: Path
    """vgpud.toml; it need not exist."""
    runtime: Path
    """Sockets, and what is active: gone after a reboot."""
    state: Path
    """Definitions: they stay."""

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.runtime / SOCKET

    @property
    def definitions(self) -> Path:
        """One JSON file a defined vGPU."""
        return self.state / "vgpus"

    @property
    def active(self) -> Path:
        """One JSON file a vGPU that is active."""
        return self.runtime / "active"


def usual_paths(environment: Mapping[str, str] = os.environ, uid: int | None = None) -> Paths:
    """The paths of the user ``uid`` (this process's, without) in ``environment``."""
    user = os.geteuid() if uid is None else uid
    home = Path(environment.get("HOME") or "/")
    if user == 0:
        config, runtime, state = Path("/etc"), Path("/run"), Path("/var/lib")
    else:
        config = _xdg(environment, "XDG_CONFIG_HOME", home / ".config")
        runtime = _xdg(environment, "XDG_RUNTIME_DIR", Path(f"/tmp/{NAME}-{user}"))  # noqa: S108 - owners are checked, its own and the one above
        state = _xdg(environment, "XDG_STATE_HOME", home / ".local" / "state")
    return Paths(
        _systemd(environment, "CONFIGURATION_DIRECTORY", config / NAME) / "vgpud.toml",
        _systemd(environment, "RUNTIME_DIRECTORY", runtime / NAME),
        _systemd(environment, "STATE_DIRECTORY", state / NAME),
    )


def named_socket(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The control socket that VGPUD_SOCKET names; None: it names none."""
    named = environment.get(SOCKET_VARIABLE)
    return Path(named) if named else None


def found_socket(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a client looks for vgpud by itself: this user's own, or the system's.

    A user without a vgpud of its own means that of the machine. What is there need not be a
    friend's: `/tmp` is everybody's.
    """
    own = usual_paths(environment).control
    machine = Path("/run") / NAME / SOCKET
    return machine if not _is_seen(own) and _is_seen(machine) else own


def _is_seen(path: Path) -> bool:
    """Who may not look into its directory cannot say that it is there."""
    try:
        return path.exists()
    except OSError:
        return False


def _xdg(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    """A base directory; the specification has relative ones ignored."""
    value = environment.get(variable, "")
    return Path(value) if value.startswith("/") else default


def _systemd(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    """What systemd says; of several directories, separated by colons, the first."""
    value = environment.get(variable, "").split(":")[0]
    return Path(value) if value.startswith("/") else default
