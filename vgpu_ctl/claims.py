"""Which libvirt domain a vGPU is for: claimed before its QEMU starts, free when that has gone.

A claim ends by `release`, with the QEMU that used it, with the vGPU, with vgpud (no QEMU outlives
that with a GPU), or when no QEMU has come for it within `LAPSE_S`: whoever claimed it has died.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import EventKind, VgpuInfo
from vgpu_ctl.definition import is_uuid
from vgpu_ctl.hosted_vgpu import Claim

if TYPE_CHECKING:
    from vgpu_ctl.host import Host
    from vgpu_ctl.hosted_vgpu import Active, HostedVgpu

_LOG = logging.getLogger(__name__)

LAPSE_S = 120.0
"""From the claim to the connection of its QEMU: what a busy host may take to start one."""
_LEAVE_S = 1.0
_TURN_S = 0.01
_LONGEST_NAME = 1024


class Claims:
    """The claims on the vGPUs of one host. Any thread may call."""

    def __init__(
        self, host: Host, lock: threading.RLock, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``lock`` is the host's, held by changes."""
        self._host = host
        self._lock = lock
        self._clock = clock

    def claim(self, key: str, domain: str, domain_uuid: str) -> VgpuInfo:
        """Keep a vGPU for a domain, started if it is not active. Again is no error.

        Raises ApiError BUSY when another domain or program has it, and what `Host.start` raises.
        """
        _check(domain, domain_uuid)
        with self._lock:
            hosted = self._host.find(key)
            if hosted.active is not None:
                self._check_free(hosted, hosted.active, domain, domain_uuid)
                started = hosted.active.claim is not None and hosted.active.claim.started
            else:
                self._host.start(hosted.uuid)
                started = True
            assert hosted.active is not None, "it was, or has been started"
            hosted.active.claim = Claim(domain, domain_uuid.lower(), self._clock(), started)
        self._tell(EventKind.CLAIMED, hosted, domain)
        return hosted.info()

    def release(self, key: str, domain_uuid: str) -> VgpuInfo:
        """Give a vGPU back, and stop it if its claim had started it. Without a claim: nothing.

        An empty ``domain_uuid`` is anybody's. Raises ApiError BUSY for the claim of another domain.
        """
        hosted = self._host.find(key)
        self._let_client_leave(hosted)
        with self._lock:
            active = hosted.active
            claim = None if active is None else active.claim
            if active is None or claim is None:
                return hosted.info()
            if domain_uuid and claim.uuid != domain_uuid.lower():
                raise _taken(hosted, f"domain {claim.domain!r} has claimed it")
            active.claim = None
            if claim.started and active.client is None:
                self._host.stop(hosted.uuid, force=False)
        self._tell(EventKind.RELEASED, hosted, claim.domain)
        return hosted.info()

    def _check_free(
        self, hosted: HostedVgpu, active: Active, domain: str, domain_uuid: str
    ) -> None:
        claim = active.claim
        mine = claim is not None and claim.uuid == domain_uuid.lower()
        if claim is not None and not claim.used and mine:
            return
        if claim is not None and not mine and not self._lapsed(active, claim):
            raise _taken(hosted, f"domain {claim.domain!r} has claimed it")
        if active.client is not None and active.domain != domain:
            who = f"domain {active.domain!r}" if active.domain else "a program"
            text = f"{who} uses it: {active.client.command or 'process'} {active.client.pid}"
            raise _taken(hosted, text)

    def _lapsed(self, active: Active, claim: Claim) -> bool:
        return active.client is None and (claim.used or self._clock() - claim.since > LAPSE_S)

    def _let_client_leave(self, hosted: HostedVgpu) -> None:
        """A QEMU that has just ended may still seem to be there."""
        ends = self._clock() + _LEAVE_S
        while self._clock() < ends:
            active = hosted.active
            if active is None or active.claim is None or active.client is None:
                return
            time.sleep(_TURN_S)

    def _tell(self, kind: EventKind, hosted: HostedVgpu, domain: str) -> None:
        _LOG.info("%s %s by domain %s", hosted.name, kind.value, domain)
        gpu = "" if hosted.active is None else hosted.active.gpu.name
        self._host.bus.publish(kind, vgpu=hosted.name, uuid=hosted.uuid, gpu=gpu, domain=domain)


def _check(domain: str, domain_uuid: str) -> None:
    if not 0 < len(domain) <= _LONGEST_NAME:
        text = f"domain: {domain!r:.40} is not allowed: 1 to {_LONGEST_NAME} characters"
        raise ApiError(ErrorCode.INVALID, text, field="domain")
    if not is_uuid(domain_uuid):
        text = f"domain_uuid: {domain_uuid!r:.60} is not allowed: a UUID of 36 characters"
        raise ApiError(ErrorCode.INVALID, text, field="domain_uuid")


def _taken(hosted: HostedVgpu, why: str) -> ApiError:
    return ApiError(
        ErrorCode.BUSY,
        f"{hosted.name} is taken: {why}",
        field="vgpu",
        hint="shut that one down, or give this domain another vGPU",
    )
