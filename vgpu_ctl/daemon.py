"""vgpud as a service: the host, its control socket, its metrics, hot-plug, signals. Start at `run`.

The composition root of `vgpud run`. SIGTERM and SIGINT let requests come to their end and stop; a
second one does not wait. SIGHUP reads the configuration again.
"""

from __future__ import annotations

import errno
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediator import hotpath
from mediator.physical.partition import MAX_VGPUS
from mediator.softgpu.eu.translator import service as translator
from vgpu_ctl import logs, systemd
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import DaemonInfo, GpuInfo, Stats, TypeInfo, VgpuInfo
from vgpu_ctl.api.server import ControlServer
from vgpu_ctl.api.service import Service, daemon_info
from vgpu_ctl.config import Config, gid_of, load
from vgpu_ctl.config_file import ConfigError
from vgpu_ctl.directories import prepare
from vgpu_ctl.ending import has_ended, must_end
from vgpu_ctl.exporter.exposition import Exposition
from vgpu_ctl.exporter.http import MetricsServer, open_listener
from vgpu_ctl.host.event_bus import EventBus
from vgpu_ctl.host.host import Host
from vgpu_ctl.host.slice_events import SliceEvents
from vgpu_ctl.host.stats import host_stats
from vgpu_ctl.interpreter import prepare_interpreter
from vgpu_ctl.process_limits import prepare_limits
from vgpu_ctl.signals import Signals
from vgpu_ctl.uevents import HotplugWatcher, Uevent, pci_addresses, scan

if TYPE_CHECKING:
    import socket

    from vgpu_ctl.paths import Paths

_LOG = logging.getLogger(__name__)

_TICK_S = 1.0
_DRAIN_POLL_S = 0.02
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STOP = (signal.SIGTERM, signal.SIGINT)


class StartError(Exception):
    """vgpud cannot start; the text says why and what to do."""


@dataclass
class _Source:
    """What the exporter reads."""

    host: Host
    build: Callable[[], DaemonInfo]

    def stats(self) -> Stats:
        return host_stats(self.host)

    def vgpus(self) -> list[VgpuInfo]:
        return self.host.infos()

    def gpus(self) -> list[GpuInfo]:
        return self.host.gpu_infos()

    def types(self) -> list[TypeInfo]:
        return self.host.type_infos()


def run(paths: Paths, *, verbose: bool, ready: Callable[[DaemonInfo], None]) -> None:
    """Serve until a signal; ``ready`` is called once everything listens.

    Raises ConfigError, DirectoryError, StartError, ApiError; nothing runs then.
    """
    config = load(paths.config)
    _configure_logs(config, verbose=verbose)
    signals = Signals(_SIGNALS)  # before any thread
    prepare_interpreter()
    _prepare_limits(MAX_VGPUS * len(config.gpus))
    gc.freeze()  # modules stay: a guest shall not wait while the collector looks at them
    with ExitStack() as stack:
        stack.callback(has_ended)
        prepare(paths, stack)
        daemon = _Daemon(paths, config, signals, verbose=verbose)
        daemon.start(stack)
        ready(daemon.info)
        systemd.ready(daemon.status())
        daemon.wait()
        systemd.stopping("draining")
        must_end()


class _Daemon:
    def __init__(self, paths: Paths, config: Config, signals: Signals, *, verbose: bool) -> None:
        self._paths = paths
        self._config = config
        self._signals = signals
        self._verbose = verbose
        self._bus = EventBus()
        self._host = Host(config, paths, self._bus)
        self._slices = SliceEvents(self._host, self._bus)
        self._reloading = threading.Lock()
        self.info: DaemonInfo

    def start(self, stack: ExitStack) -> None:
        """Bring everything up; ``stack`` takes it down again."""
        passed = systemd.listen_fds()
        listeners = self._metrics_listeners(passed.pop("metrics", []), stack)
        controls = passed.pop("control", [])
        self.info = self._describe(listeners, controls)
        control = self._control(controls[:1], stack)
        passed["control"] = controls[1:]
        for name, sockets in passed.items():
            if sockets:
                _LOG.warning("systemd passed a socket %r, which nobody needs", name)
            for each in sockets:
                each.close()
        self._watch_hotplug(stack)
        stack.callback(self._host.shut_down)
        self._host.restore()
        if listeners:
            exposition = Exposition(_Source(self._host, lambda: self.info))
            server = MetricsServer(exposition.text, listeners)
            server.start()
            stack.callback(server.stop)
        control.start()
        stack.callback(control.stop)

    def status(self) -> str:
        """One line for people."""
        active = sum(1 for each in self._host.vgpus if each.active is not None)
        return f"{active} of {len(self._host.vgpus)} vGPUs active on {len(self._host.gpus)} GPUs"

    def wait(self) -> None:
        """Until a signal to stop, and the end of what is queued."""
        watchdog = systemd.watchdog_interval()
        tick = _TICK_S if watchdog is None else min(_TICK_S, watchdog)
        told = self.status()
        while True:
            caught = self._signals.wait(tick)
            if caught in _STOP:
                self._drain()
                return
            if caught is not None:
                self._reload_by_signal()
            systemd.alive()
            self._slices.tick()
            self._host.claims.end_abandoned()
            if (status := self.status()) != told:
                told = status
                systemd.status(status)

    # -- parts ------------------------------------------------------------------------------------

    def _describe(
        self, listeners: list[socket.socket], controls: list[socket.socket]
    ) -> DaemonInfo:
        url = ""
        if listeners:
            host, port = listeners[0].getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        return daemon_info(
            version=version("vgpu-mediator"),
            socket=controls[0].getsockname() if controls else str(self._paths.control),
            metrics=url,
            config=self._config_path(),
            state_dir=str(self._paths.state),
            runtime_dir=str(self._paths.runtime),
            native_hotpath=hotpath.NATIVE,
            kernels_interpreted=translator.missing() or "",
        )

    def _config_path(self) -> str:
        return str(self._paths.config) if self._paths.config.exists() else ""

    def _metrics_listeners(
        self, passed: list[socket.socket], stack: ExitStack
    ) -> list[socket.socket]:
        listeners = []
        for listener in passed:
            stack.callback(listener.close)
            listeners.append(listener)
        for host, port in () if passed else self._config.metrics.addresses:
            try:
                listener = open_listener(host, port)
            except OSError as error:
                raise StartError(
                    f"metrics.listen: {error.strerror or error}: choose another address in "
                    f"{self._paths.config}, or [] for none"
                ) from error
            stack.callback(listener.close)
            listeners.append(listener)
        return listeners

    def _control(self, passed: list[socket.socket], stack: ExitStack) -> ControlServer:
        service = Service(self._host, self._bus, lambda: self.info, self.reload)
        settings = self._config.control
        control = ControlServer(service, connections=settings.connections)
        stack.callback(control.stop)  # when something fails before it is started
        group = gid_of(settings.group) if settings.group else None
        if passed:
            control.adopt(passed[0], _group_of(passed[0]) if group is None else group)
            return control
        path = self._paths.control
        try:
            control.listen(path, settings.mode_bits, group)
        except OSError as error:
            hint = {
                errno.EADDRINUSE: "another vgpud listens there: stop it",
                errno.EEXIST: "remove it",
                errno.EPERM: "only a member of the group, or root, can give it the socket",
                0: "choose a shorter --runtime-dir",  # "AF_UNIX path too long" has no number
            }.get(error.errno or 0, "choose another --runtime-dir")
            reason = error.strerror or str(error)
            raise StartError(f"cannot listen on {path}: {reason}: {hint}") from error
        return control

    def _watch_hotplug(self, stack: ExitStack) -> None:
        watcher = HotplugWatcher(self._look_for_gpus, self._look_for_gpus)
        stack.callback(watcher.stop)
        watcher.start()
        self._look_for_gpus()

    def _look_for_gpus(self, event: Uevent | None = None) -> None:
        """Have the host see what is on the PCI bus now. Any thread."""
        devices, gpus = pci_addresses(), scan()
        if event is not None and event.subsystem == "pci" and event.action == "remove":
            gone = event.pci_address  # told before it is gone from sysfs
            devices.discard(gone)
            gpus = [gpu for gpu in gpus if gpu.address != gone]
        self._host.see_pci_gpus(gpus, devices)

    def _drain(self) -> None:
        """Let requests that are queued or run come to their end, for as long as is allowed."""
        seconds = self._config.daemon.drain_seconds
        _LOG.info("stopping: up to %g s for requests that are queued", seconds)
        systemd.stopping("draining")
        ends = time.monotonic() + seconds
        while self._host.has_work and time.monotonic() < ends:
            if self._signals.wait(_DRAIN_POLL_S, *_STOP) is not None:
                _LOG.warning("stopping at once")
                return

    def _reload_by_signal(self) -> None:
        systemd.reloading()
        try:
            self.reload()
        except ApiError as error:
            _LOG.error("the configuration stays as it is: %s", error.message)
        systemd.ready(self.status())

    def reload(self) -> None:
        """Read the configuration again. Raises ApiError; the old one stays then."""
        with self._reloading:
            if self.info.config and not self._paths.config.exists():  # no reason to forget it all
                raise ApiError(ErrorCode.FAILED, f"{self._paths.config} is not there any more")
            try:
                config = load(self._paths.config)
            except ConfigError as error:
                raise ApiError(ErrorCode.INVALID, str(error)) from error
            _configure_logs(config, verbose=self._verbose)
            problems = self._host.reload(config)
            self._config = config
            self.info = msgspec.structs.replace(self.info, config=self._config_path())
            self._look_for_gpus()
        for problem in problems:
            _LOG.warning("configuration: %s", problem)
        _LOG.info("configuration read again")


def _prepare_limits(vgpus: int) -> None:
    try:
        prepare_limits(vgpus)
    except OSError as error:
        raise StartError(error.strerror or str(error)) from error


def _group_of(listener: socket.socket) -> int | None:
    """The group that systemd gave a socket to; None where it has no path."""
    path = listener.getsockname()
    try:
        return Path(path).stat().st_gid if isinstance(path, str) else None
    except OSError:
        return None


def _configure_logs(config: Config, *, verbose: bool) -> None:
    level = "debug" if verbose else config.daemon.log_level
    logs.configure(level, config.daemon.log_format, limit=not verbose)
