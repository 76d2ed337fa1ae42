"""What a service says to systemd and gets from it; does nothing where there is no systemd.

Follows sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), without its library.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

_LOG = logging.getLogger(__name__)

FIRST_FD = 3
"""SD_LISTEN_FDS_START: passed file descriptors are from here on."""
MOST_FDS = 1024
"""How many are believed."""
SEND_TIMEOUT_S = 1.0
"""What one notification may take while the manager's queue is full."""
_NOTIFY_SOCKET = "NOTIFY_SOCKET"
_LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def notify(*assignments: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager ``VARIABLE=VALUE``, several at once. Never raises.

    Returns whether it was sent: False without a manager, or when it does not listen.
    """
    address = environment.get(_NOTIFY_SOCKET, "")
    if address[:1] not in ("/", "@"):
        return False
    abstract = address.startswith("@")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_TIMEOUT_S)
            sender.connect(f"\0{address[1:]}" if abstract else address)
            sender.send("\n".join(map(_one_line, assignments)).encode(errors="replace"))
    except (OSError, ValueError) as error:  # ValueError: a path that no socket can have
        _LOG.debug("the service manager cannot be notified: %s", error)
        return False
    return True


def ready(status: str = "", *, environment: Mapping[str, str] = os.environ) -> bool:
    """Started up, or done with reloading."""
    return notify("READY=1", f"STATUS={status}", environment=environment)


def status(text: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """What `systemctl status` shows."""
    return notify(f"STATUS={text}", environment=environment)


def reloading(text: str = "", *, environment: Mapping[str, str] = os.environ) -> bool:
    """Begins to read its configuration again; `ready` ends it."""
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    return notify(
        "RELOADING=1", f"MONOTONIC_USEC={now_us}", f"STATUS={text}", environment=environment
    )


def stopping(text: str = "", *, environment: Mapping[str, str] = os.environ) -> bool:
    """Begins to shut down."""
    return notify("STOPPING=1", f"STATUS={text}", environment=environment)


def alive(*, environment: Mapping[str, str] = os.environ) -> bool:
    """Feeds the watchdog; see `watchdog_interval`."""
    return notify("WATCHDOG=1", environment=environment)


def main_pid(pid: int, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Names the service's main process, when it is not the one that was started."""
    return notify(f"MAINPID={pid}", environment=environment)


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds after which `alive` should be called again: half of what kills the service.

    None where nobody waits for it.
    """
    timeout_us = _number(environment.get("WATCHDOG_USEC"))
    pid = environment.get("WATCHDOG_PID")
    if not timeout_us or (pid is not None and _number(pid) != os.getpid()):
        return None
    return timeout_us / 2e6


def listen_fds(
    environment: MutableMapping[str, str] = os.environ,
) -> dict[str, list[socket.socket]]:
    """The listening sockets that systemd made for this process, by FileDescriptorName.

    A socket unit with several addresses gives several sockets of one name. They block, are closed
    in child processes, and belong to the caller. The variables are removed: a second call, or a
    child, gets nothing. A file descriptor that is no listening socket is logged and left alone.
    """
    pid, count, names = (environment.get(name) for name in _LISTEN_VARIABLES[:3])
    for variable in _LISTEN_VARIABLES:
        environment.pop(variable, None)
    if _number(pid) != os.getpid():
        return {}
    number = min(_number(count) or 0, MOST_FDS)
    given = names.split(":") if names else []
    found: dict[str, list[socket.socket]] = {}
    for index in range(number):
        name = given[index] if index < len(given) and given[index] else "unknown"
        passed = _listening_socket(FIRST_FD + index)
        if passed is not None:
            found.setdefault(name, []).append(passed)
    return found


def _listening_socket(fd: int) -> socket.socket | None:
    try:
        os.set_inheritable(fd, False)
        passed = socket.socket(fileno=fd)
    except OSError as error:
        _LOG.warning("file descriptor %d of systemd is no socket: %s", fd, error)
        return None
    if not _is_listening(passed):
        _LOG.warning("file descriptor %d of systemd does not listen", fd)
        passed.detach()
        return None
    passed.setblocking(True)
    return passed


def _is_listening(passed: socket.socket) -> bool:
    return bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _one_line(assignment: str) -> str:
    """A newline would begin another assignment."""
    return " ".join(assignment.splitlines())


def _number(text: str | None) -> int | None:
    """A number of at most 18 digits; None for anything else."""
    if not text or not text.isascii() or not text.isdecimal() or len(text) > 18:
        return None
    return int(text)
