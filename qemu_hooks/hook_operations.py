"""What the hook does for a domain with a vGPU: claims, releases, refuses. Talks to vgpud alone.

Whether a domain may start is decided at `prepare`, and at `start` once more; the rest reports.
"""

from __future__ import annotations

import sys
import syslog
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_reading import (
    VfioDevice,
    device_of,
    named_vgpus,
    other_devices,
    vfio_devices,
)
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable, ErrorCode

if TYPE_CHECKING:
    from vgpu_ctl.api.objects import VgpuInfo

_IDENT = "vgpu-libvirt-hook"
_START_S = 20.0
"""For vgpud to start a vGPU; libvirt waits as long."""
_ANSWER_S = 5.0


class Refusal(Exception):
    """The domain cannot do that; the text is for whoever asked libvirt."""


class Domain(NamedTuple):
    """What of a domain's XML the hook needs."""

    name: str
    uuid: str
    named: list[DomainVgpu]
    """vGPUs that the metadata names."""
    devices: list[VfioDevice]
    """Of these vGPUs, or made by hand for a vGPU, or for something else."""


Operation = Callable[[Domain], None]


def carry_out(name: str, operation: str, xml: bytes) -> int:
    """The status for libvirt."""
    act = _OPERATIONS.get(operation)
    if act is None:
        return 0
    if operation == "reconnect":
        _never_fail(act, name, xml)
        return 0
    try:
        act(read_domain(name, xml))
    except (Refusal, ApiError, DaemonUnreachable) as error:
        text = f"vgpud: domain {name}: {error}"
        hint = getattr(error, "hint", "")
        _log(syslog.LOG_ERR, text)
        sys.stderr.write(f"{text}{f' ({hint})' if hint else ''}\n")
        return 1
    return 0


def read_domain(name: str, xml: bytes) -> Domain:
    """A domain; one without vGPUs where the XML is none, which is for libvirt to complain of."""
    try:
        root: Any = ElementTree.fromstring(xml)  # noqa: S314 - libvirt's, and expat bounds entities
    except (ElementTree.ParseError, ValueError, LookupError):  # the latter two: its encoding
        _log(syslog.LOG_WARNING, f"domain {name}: no XML on standard input")
        return Domain(name, "", [], [])
    uuid = (root.findtext("uuid") or "").strip()
    return Domain((root.findtext("name") or name), uuid, named_vgpus(root), vfio_devices(root))


def _prepare(domain: Domain) -> None:
    """Claim all vGPUs or none. Raises Refusal, ApiError, DaemonUnreachable."""
    wanted = _wanted(domain)
    if not wanted:
        return
    claimed: list[str] = []
    with Client.connect(timeout=_START_S) as vgpud:
        try:
            for vgpu in wanted:
                given = _claim(vgpud, domain, vgpu)
                claimed.append(given.uuid)
                _check_socket(domain, given)
        except (Refusal, ApiError, DaemonUnreachable):
            _release_all(vgpud, domain, claimed)
            raise
    _log(syslog.LOG_INFO, f"domain {domain.name}: claimed {len(claimed)} vGPUs")


def _claim(vgpud: Client, domain: Domain, vgpu: DomainVgpu) -> VgpuInfo:
    try:
        return vgpud.claim(_key(vgpu), domain.name, domain.uuid)
    except ApiError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        raise Refusal(
            f"its vGPU {vgpu.name} ({vgpu.uuid}) is no more: `vgpuctl attach {domain.name} "
            f"{vgpu.name}` takes a new one of that name, `vgpuctl detach` goes without"
        ) from error


def _check_socket(domain: Domain, vgpu: VgpuInfo) -> None:
    """Raises Refusal unless a device of the domain is going to connect to the vGPU."""
    if vgpu.socket in [device.socket for device in domain.devices]:
        return
    device = device_of(domain.devices, vgpu.name)
    there = "no device for it" if device is None else device.socket or "a device without one"
    raise Refusal(
        f"{vgpu.name} is served at {vgpu.socket}, and the domain has {there}: run `vgpuctl attach "
        f"{domain.name} {vgpu.name}`"
    )


def _wanted(domain: Domain) -> list[DomainVgpu]:
    """The vGPUs to claim: those of the metadata, and those whose socket a device by hand has.

    Where the metadata names none, a vgpud that does not answer is of no interest: the devices are
    another server's, as far as anybody knows. Raises ApiError, DaemonUnreachable.
    """
    others = other_devices(domain.devices, domain.named)
    sockets = {device.socket for device in others if device.socket}  # what is no path is no vGPU's
    if not sockets:
        return domain.named
    try:
        with Client.connect(timeout=_ANSWER_S) as vgpud:
            known = vgpud.vgpus()
    except (ApiError, DaemonUnreachable):
        if domain.named:
            raise
        return []
    keys = [_key(vgpu) for vgpu in domain.named]
    return domain.named + [
        DomainVgpu(vgpu.name, vgpu.uuid, vgpu.place)
        for vgpu in known
        if vgpu.place in sockets and not {vgpu.uuid, vgpu.name}.intersection(keys)
    ]


def _key(vgpu: DomainVgpu) -> str:
    """What vgpud knows it by."""
    return vgpu.uuid or vgpu.name


def _release(domain: Domain) -> None:
    """Give all back. A vgpud that is not there has none of them any more."""
    try:
        wanted = _wanted(domain)
        if wanted:
            with Client.connect(timeout=_ANSWER_S) as vgpud:
                _release_all(vgpud, domain, map(_key, wanted))
    except (ApiError, DaemonUnreachable) as error:
        _log(syslog.LOG_WARNING, f"domain {domain.name}: not released: {error}")


def _release_all(vgpud: Client, domain: Domain, keys: Iterable[str]) -> None:
    for key in keys:
        with suppress(ApiError):  # undefined meanwhile, or another's
            vgpud.release(key, domain.uuid)


def _reconnect(domain: Domain) -> None:
    """Claim again what a domain that runs has, each for itself; nothing is given back.

    A vGPU that was plugged in is in the metadata alone. One that nobody uses is left alone: QEMU
    does not come back to it. Raises ApiError, DaemonUnreachable.
    """
    wanted = _wanted(domain)
    if not wanted:
        return
    with Client.connect(timeout=_ANSWER_S) as vgpud:
        for vgpu in wanted:
            try:
                if vgpud.show(_key(vgpu)).client is not None:
                    vgpud.claim(_key(vgpu), domain.name, domain.uuid)
                else:
                    _log(syslog.LOG_WARNING, f"domain {domain.name}: does not use {vgpu.name}")
            except ApiError as error:
                _log(syslog.LOG_WARNING, f"domain {domain.name}: {vgpu.name}: {error}")


def _refuse_state(domain: Domain) -> None:
    """A state that was saved or is sent here has no state of a GPU in it."""
    if domain.named or _wanted(domain):
        raise Refusal(
            "a domain with a vGPU cannot be restored or migrated: the state of its GPU was not "
            "saved, and its driver would wait for ever. Remove a saved state with `virsh "
            "managedsave-remove`, and start the domain afresh"
        )


def _never_fail(act: Operation, name: str, xml: bytes) -> None:
    """Whatever happens: a failure would have libvirt kill the domain."""
    try:
        act(read_domain(name, xml))
    except (Refusal, ApiError, DaemonUnreachable) as error:
        _log(syslog.LOG_WARNING, f"domain {name}: found running: {error}")
    except Exception:  # noqa: BLE001 - a domain that runs shall go on
        _log(syslog.LOG_ERR, f"domain {name}: {traceback.format_exc()}")


def _log(priority: int, text: str) -> None:
    syslog.openlog(_IDENT, syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(priority, text.replace("\0", " "))


_OPERATIONS: Mapping[str, Operation] = {
    "prepare": _prepare,
    "start": _prepare,
    "reconnect": _reconnect,
    "release": _release,
    "migrate": _refuse_state,
    "restore": _refuse_state,
}
"""`started` and `stopped` need nothing: QEMU's connection to vgpud says both. So does `attach`."""
