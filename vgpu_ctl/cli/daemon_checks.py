"""Is vgpud there, and well?"""

from __future__ import annotations

import http.client
import os
import stat
from urllib.parse import urlsplit

from vgpu_ctl.api.objects import DaemonInfo
from vgpu_ctl.cli.finding import Outcome, fail, ok, skip, warn
from vgpu_ctl.cli.subject import Subject
from vgpu_ctl.client import ApiError, DaemonUnreachable

_HTTP_TIMEOUT_S = 3.0
_START = "start it: `vgpud run`, or `systemctl start vgpud`"
_LOOK = "its log says why: `journalctl -u vgpud`"
_NO_DAEMON = "no vgpud to ask"


def control_socket_is_safe(subject: Subject) -> Outcome:
    """Who may write to the socket owns all vGPUs."""
    path = subject.socket
    try:
        status = path.stat()
    except FileNotFoundError:
        return fail(f"there is no {path}", _START)
    except OSError as error:
        return fail(f"{path}: {error.strerror}", "join the group that owns its directory")
    if not stat.S_ISSOCK(status.st_mode):
        return fail(f"{path} is no socket", "remove it and start vgpud again")
    mode = stat.filemode(status.st_mode)
    if status.st_mode & stat.S_IWOTH:
        return fail(f"{path}: {mode}: everybody may steer vGPUs", f"chmod o-w {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        return fail(f"{path}: {mode}: not for this user", "join the group that owns it")
    return ok(f"{path}: {mode}")


def daemon_answers(subject: Subject) -> Outcome:
    """On its control socket."""
    daemon = subject.daemon
    if isinstance(daemon, DaemonInfo):
        return ok(f"vgpud {daemon.version}, process {daemon.pid}")
    return fail(str(daemon), daemon.hint or _START)


def routines_are_native(subject: Subject) -> Outcome:
    """The C routines are optional, and much faster than their Python twins."""
    daemon = subject.daemon
    if not isinstance(daemon, DaemonInfo):
        return skip(_NO_DAEMON)
    if not daemon.native_hotpath:
        return warn(
            "the C routines are not built, or of other sources: their Python twins are slow",
            "install a C compiler and Python's headers, and install vgpud again",
        )
    return ok("the C routines are built")


def kernels_are_compiled(subject: Subject) -> Outcome:
    """Compute kernels of guests run by the interpreter too, and far slower."""
    daemon = subject.daemon
    if not isinstance(daemon, DaemonInfo):
        return skip(_NO_DAEMON)
    if daemon.kernels_interpreted:
        return warn(
            f"compute kernels are interpreted, which is slow: {daemon.kernels_interpreted}",
            "on x86-64, with a C compiler and Python's headers: `pip install '.[eu]'` in vgpud's "
            "checkout, and start it again",
        )
    return ok("compute kernels are compiled")


def gpus_are_ready(subject: Subject) -> Outcome:
    """At least one."""
    try:
        gpus = subject.gpus()
    except DaemonUnreachable:
        return skip(_NO_DAEMON)
    except ApiError as error:
        return fail(error.message, error.hint or _LOOK)
    ready = [f"{gpu.name}{' (simulated)' * gpu.simulated}" for gpu in gpus if gpu.state == "ready"]
    others = [
        f"{gpu.name} {gpu.state}{': ' * bool(gpu.detail)}{gpu.detail}"
        for gpu in gpus
        if gpu.state not in ("ready", "unsupported")
    ]
    if not ready:
        return fail("; ".join(others) or "there is none", f"configure one, or {_LOOK}")
    if others:
        return warn("; ".join([*ready, *others]), _LOOK)
    return ok(", ".join(ready))


def metrics_answer(subject: Subject) -> Outcome:
    """Prometheus asks there."""
    daemon = subject.daemon
    if not isinstance(daemon, DaemonInfo):
        return skip(_NO_DAEMON)
    if not daemon.metrics:
        return warn(
            "metrics are not served", "set `listen` under [metrics] in the configuration of vgpud"
        )
    url = urlsplit(daemon.metrics)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request("GET", url.path or "/metrics")
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return fail(f"{daemon.metrics}: {error}", "look for a firewall or a proxy in between")
    finally:
        connection.close()
    if answer.status != http.client.OK or b"vgpud_" not in text:
        return fail(f"{daemon.metrics}: status {answer.status}, not vgpud's metrics", _LOOK)
    return ok(daemon.metrics)
