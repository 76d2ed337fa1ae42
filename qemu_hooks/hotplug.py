"""A vGPU plugged into a running domain, or out of it, through QEMU's monitor.

libvirt knows nothing of the device: no XML shows it but our metadata. What is done by half when
something fails is taken back.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import msgspec
from lxml import etree

from qemu_hooks import domain_checks
from qemu_hooks.domain_facts import (
    GUARD_NODE,
    OWN_NAMESPACE,
    OWN_PREFIX,
    VGPU_TAG,
    DomainVgpu,
    device_id,
    guard_argument,
)
from qemu_hooks.domain_problem import DomainProblem, DomainTimeout
from qemu_hooks.domain_reading import device_of, named_vgpus, vfio_devices
from qemu_hooks.domain_xml import parsed
from qemu_hooks.libvirt_connection import Connection
from qemu_hooks.live_places import Place, free_place
from qemu_hooks.monitor import DeviceEvents, Monitor, MonitorRefusal
from vgpu_ctl.cli.qemu_command import device_arguments
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable

TIMEOUT_S = 60.0
"""For the guest to let go of the device."""
_TICK_S = 0.2


def plug(
    connection: Connection, domain: Any, vgpud: Client, vgpu: DomainVgpu, guard: str
) -> list[str]:
    """Plug the vGPU in, started if it is not active; what was done, nothing if it was there.

    Raises DomainProblem, ApiError.
    """
    live = parsed(connection.live_xml(domain))
    domain_checks.refuse(live)
    problem = domain_checks.unshared(live)
    if problem:
        raise DomainProblem(
            f"domain {domain.name()!r} runs, and {problem}: that cannot change while it does",
            hint=domain_checks.HOW_TO_SHARE,
        )
    monitor = Monitor(connection, domain)
    if _identity(live, monitor, vgpu.name, vgpu.socket):
        return []
    place = free_place(live, monitor.port_is_free, monitor.buses())
    before = named_vgpus(live)
    with ExitStack() as undo:
        given = vgpud.claim(vgpu.uuid, domain.name(), domain.UUIDString())
        undo.callback(_quietly, vgpud.release, vgpu.uuid, domain.UUIDString())
        vgpu = vgpu._replace(socket=given.socket)
        _set_metadata(connection, domain, [*_without(before, vgpu.name), vgpu])
        undo.callback(_quietly, _set_metadata, connection, domain, before)
        _add_guard(monitor, guard, undo)
        monitor.execute("device_add", **_device(vgpu, place))
        undo.pop_all()
    return [f"device {device_id(vgpu.name)} in {place.bus}, slot {place.addr}"]


def unplug(
    connection: Connection,
    domain: Any,
    name: str,
    release: Callable[[], object],
    show: Callable[[float], None],
    timeout_s: float = TIMEOUT_S,
    *,
    socket: str = "",
) -> list[str]:
    """Plug the vGPU ``name`` out; what was done. ``show`` is told how long it takes.

    ``socket`` is where vgpud has it, if that is known: see `domain_xml.remove`.
    Raises DomainTimeout when the guest does not let go in time, DomainProblem.
    """
    live = parsed(connection.live_xml(domain))
    monitor = Monitor(connection, domain)
    identity = _identity(live, monitor, name, socket)
    done = []
    if identity:
        with monitor.device_events() as events:
            _delete(monitor, identity)
            _wait_until_gone(monitor, identity, events, show, timeout_s)
        done.append(f"device {identity} is gone")
        live = parsed(connection.live_xml(domain))  # others may have come meanwhile
    elif name not in [vgpu.name for vgpu in named_vgpus(live)]:
        raise DomainProblem(f"domain {domain.name()!r} runs without {name}")
    _set_metadata(connection, domain, _without(named_vgpus(live), name))
    if not monitor.vfio_user_devices() and monitor.has_guard():
        monitor.execute("blockdev-del", **{"node-name": GUARD_NODE})
        done.append("QEMU may save and move it")
    release()
    return done


def _identity(live: Any, monitor: Monitor, name: str, socket: str) -> str:
    """The id of its device in the machine; empty: it has none.

    The live XML has the devices that the machine was started with, also those that have gone.
    """
    known = device_of(vfio_devices(live), name, socket)
    there = monitor.vfio_user_devices()
    for identity in (device_id(name), "" if known is None else known.identity):
        if identity in there:
            return identity
    return ""


def _device(vgpu: DomainVgpu, place: Place) -> dict[str, Any]:
    _, text = device_arguments(
        vgpu.socket, identity=device_id(vgpu.name), bus=place.bus, addr=place.addr
    )
    properties: dict[str, Any] = msgspec.json.decode(text)
    return properties


def _add_guard(monitor: Monitor, path: str, undo: ExitStack) -> None:
    if not path or monitor.has_guard():
        return
    monitor.execute("blockdev-add", **guard_argument(path))
    undo.callback(_quietly, lambda: monitor.execute("blockdev-del", **{"node-name": GUARD_NODE}))


def _delete(monitor: Monitor, identity: str) -> None:
    """Ask the guest to let go. To ask again is no error: QEMU says so, and goes on waiting."""
    try:
        monitor.execute("device_del", id=identity)
    except MonitorRefusal as refusal:
        if "already in the process of unplug" not in refusal.message:
            raise


def _wait_until_gone(
    monitor: Monitor,
    identity: str,
    events: DeviceEvents,
    show: Callable[[float], None],
    timeout_s: float,
) -> None:
    """Until DEVICE_DELETED. The device is looked for as well: an event may be lost."""
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < timeout_s:
        show(elapsed)
        with suppress(queue.Empty):
            event, data = events.get(timeout=_TICK_S)
            if data.get("device") != identity:
                continue
            if event == "DEVICE_DELETED":
                return
            raise DomainProblem(
                "the guest refuses to let go of the GPU", hint="its kernel's log says why"
            )
        if identity not in monitor.devices():
            return
    raise DomainTimeout(
        f"the guest has not let go of the GPU within {timeout_s:g} s",
        hint="a guest that has not booted, or without <acpi/>, cannot; programs may still use the "
        "GPU. It goes when the guest lets go: then detach again",
    )


def _set_metadata(connection: Connection, domain: Any, vgpus: list[DomainVgpu]) -> None:
    """What hooks and other tools find in the live XML."""
    root = etree.Element("vgpus")  # libvirt puts it into the namespace, and no child of it
    for vgpu in vgpus:
        etree.SubElement(
            root, VGPU_TAG, name=vgpu.name, uuid=vgpu.uuid, nsmap={OWN_PREFIX: OWN_NAMESPACE}
        )
    text = etree.tostring(root, encoding="unicode") if vgpus else None
    binding = connection.binding
    with connection.errors():
        domain.setMetadata(
            binding.VIR_DOMAIN_METADATA_ELEMENT,
            text,
            OWN_PREFIX,
            OWN_NAMESPACE,
            binding.VIR_DOMAIN_AFFECT_LIVE,
        )


def _without(vgpus: list[DomainVgpu], name: str) -> list[DomainVgpu]:
    return [vgpu for vgpu in vgpus if vgpu.name != name]


def _quietly(step: Callable[..., object], *arguments: object) -> None:
    """Take back: what fails now is not what the user has to know of."""
    with suppress(DomainProblem, ApiError, DaemonUnreachable):
        step(*arguments)
