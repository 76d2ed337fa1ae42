"""What the hook does for a domain with a vGPU: claims, releases, refuses. Talks to vgpud alone.

Whether a domain may start is decided at `prepare`, and at `start` once more; the rest reports.
"""

from __future__ import annotations

import sys
import syslog
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from xml.etree import ElementTree

from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_reading import named_vgpus, other_sockets
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable, ErrorCode

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
    others: list[str]
    """Sockets of devices made by hand, maybe vGPUs."""


Operation = Callable[[Domain], None]


def carry_out(name: str, operation: str, xml: bytes) -> int:
    """The status for libvirt."""
    act = _OPERATIONS.get(operation)
    if act is None:
        return 0
    if operation == "reconnect":
        _reconnect(act, name, xml)
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
    except ElementTree.ParseError:
        _log(syslog.LOG_WARNING, f"domain {name}: no XML on standard input")
        return Domain(name, "", [], [])
    uuid = (root.findtext("uuid") or "").strip()
    return Domain((root.findtext("name") or name), uuid, named_vgpus(root), other_sockets(root))


def _prepare(domain: Domain) -> None:
    """Claim all vGPUs or none. Raises Refusal, ApiError, DaemonUnreachable."""
    if not domain.named and not domain.others:
        return
    try:
        vgpud = Client.connect(timeout=_START_S)
    except DaemonUnreachable:
        if domain.named:
            raise
        return  # devices of another server, as far as anybody knows
    claimed: list[str] = []
    with vgpud:
        try:
            for vgpu in _wanted(vgpud, domain):
                _claim(vgpud, domain, vgpu)
                claimed.append(vgpu.uuid)
        except (Refusal, ApiError, DaemonUnreachable):
            _release_all(vgpud, domain, claimed)
            raise
    _log(syslog.LOG_INFO, f"domain {domain.name}: claimed {len(claimed)} vGPUs")


def _claim(vgpud: Client, domain: Domain, vgpu: DomainVgpu) -> None:
    try:
        given = vgpud.claim(vgpu.uuid or vgpu.name, domain.name, domain.uuid)
    except ApiError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        raise Refusal(
            f"its vGPU {vgpu.name} ({vgpu.uuid}) is no more: `vgpuctl attach {domain.name} "
            f"{vgpu.name}` takes a new one of that name, `vgpuctl detach` goes without"
        ) from error
    if given.socket != vgpu.socket:
        _release_all(vgpud, domain, [given.uuid])
        raise Refusal(
            f"{given.name} is served at {given.socket}, and the domain has "
            f"{vgpu.socket or 'no device for it'}: run `vgpuctl attach {domain.name} {given.name}`"
        )


def _wanted(vgpud: Client, domain: Domain) -> list[DomainVgpu]:
    """The vGPUs to claim: those of the metadata, and those whose socket a device by hand has."""
    by_socket = {vgpu.socket: vgpu for vgpu in vgpud.vgpus() if vgpu.socket}
    found = [by_socket[socket] for socket in domain.others if socket in by_socket]
    return domain.named + [DomainVgpu(vgpu.name, vgpu.uuid, vgpu.socket) for vgpu in found]


def _release(domain: Domain) -> None:
    """Give all back. A vgpud that is not there has none of them any more."""
    if not domain.named and not domain.others:
        return
    try:
        with Client.connect(timeout=_ANSWER_S) as vgpud:
            wanted = _wanted(vgpud, domain)
            _release_all(vgpud, domain, [vgpu.uuid or vgpu.name for vgpu in wanted])
    except (ApiError, DaemonUnreachable) as error:
        _log(syslog.LOG_WARNING, f"domain {domain.name}: not released: {error}")


def _release_all(vgpud: Client, domain: Domain, keys: list[str]) -> None:
    for key in keys:
        with suppress(ApiError):  # undefined meanwhile, or another's
            vgpud.release(key, domain.uuid)


def _refuse_state(domain: Domain) -> None:
    """A state that was saved or is sent here has no state of a GPU in it."""
    if domain.named or domain.others:
        raise Refusal(
            "a domain with a vGPU cannot be restored or migrated: the state of its GPU was not "
            "saved, and its driver would wait for ever. Remove a saved state with `virsh "
            "managedsave-remove`, and start the domain afresh"
        )


def _reconnect(act: Operation, name: str, xml: bytes) -> None:
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
    "reconnect": _prepare,
    "release": _release,
    "migrate": _refuse_state,
    "restore": _refuse_state,
}
"""`started` and `stopped` need nothing: QEMU's connection to vgpud says both. So does `attach`."""
