"""Which libvirt domain a vGPU is for: claimed before its QEMU starts, free when that has gone.

A claim ends by `release`, with the QEMU that used it, with the vGPU, with vgpud (no QEMU outlives
that with a GPU), or when no QEMU has come for it within `LAPSE_S`: it holds nothing from then on.
After `ABANDON_S` whoever claimed it has died, and `end_abandoned` clears what the claim left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import EventKind, VgpuInfo
from vgpu_ctl.host.claim import Claim
from vgpu_ctl.host.definition import is_uuid
from vgpu_ctl.printable import escaped

if TYPE_CHECKING:
    from vgpu_ctl.host.host import Host
    from vgpu_ctl.host.hosted_vgpu import Active, HostedVgpu

_LOG = logging.getLogger(__name__)

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
        domain = escaped(domain)  # as `domain_of` says that of a client
        with self._lock:
            hosted = self._host.find(key)
            if hosted.active is not None:
                self._check_free(hosted, hosted.active, domain, domain_uuid)
                started = hosted.active.claim is not None and hosted.active.claim.started
            else:
                self._host.start(hosted.uuid)
                started = True
            assert hosted.active is not None, "it was, or has been started"
            hosted.active.claim = Claim(
                domain, domain_uuid.lower(), self._clock(), self._clock, started
            )
        self._tell(EventKind.CLAIMED, hosted, domain)
        return hosted.info()

    def release(self, key: str, domain_uuid: str) -> VgpuInfo:
        """Give a vGPU back, and stop it if its claim had started it. Without a claim: nothing.

        An empty ``domain_uuid`` is anybody's. Raises ApiError BUSY for the claim of another domain.
        """
        hosted = self._host.find(key)
        with self._lock:
            self._claim_of(hosted, domain_uuid)
        self._let_client_leave(hosted)
        with self._lock:
            claim = self._claim_of(hosted, domain_uuid)
            if claim is not None:
                self._end(hosted)
        if claim is not None:
            self._tell(EventKind.RELEASED, hosted, claim.domain)
        return hosted.info()

    def end_abandoned(self) -> None:
        """Give back what nobody has come for, as `release` does; to be called now and then."""
        for hosted in self._host.vgpus:
            if _is_abandoned(hosted):
                self._end_abandoned(hosted)

    def _end_abandoned(self, hosted: HostedVgpu) -> None:
        with self._lock:
            claim = hosted.active.claim if hosted.active is not None else None
            if claim is None or not _is_abandoned(hosted):  # its QEMU has just come
                return
            try:
                self._end(hosted)
            except ApiError as error:
                _LOG.error("%s stays active: %s", hosted.name, error.message)
        _LOG.warning("no QEMU of domain %s has come for %s", claim.domain, hosted.name)
        self._tell(EventKind.RELEASED, hosted, claim.domain)

    def _end(self, hosted: HostedVgpu) -> None:
        """End its claim, and stop it if the claim had started it. Raises ApiError."""
        active = hosted.active
        assert active is not None, "it has a claim"
        claim, active.claim = active.claim, None
        if claim is not None and claim.started and active.client is None:
            self._host.stop(hosted.uuid, force=False)

    def _claim_of(self, hosted: HostedVgpu, domain_uuid: str) -> Claim | None:
        """The claim that is to be released. Raises ApiError BUSY when it is another domain's."""
        claim = None if hosted.active is None else hosted.active.claim
        if claim is not None and domain_uuid and claim.uuid != domain_uuid.lower():
            raise _taken(hosted, f"domain {claim.domain!r} has claimed it")
        return claim

    def _check_free(
        self, hosted: HostedVgpu, active: Active, domain: str, domain_uuid: str
    ) -> None:
        claim = active.standing_claim
        if claim is not None:
            if claim.uuid == domain_uuid.lower():
                return
            raise _taken(hosted, f"domain {claim.domain!r} has claimed it")
        if active.client is not None and active.domain != domain:
            who = f"domain {active.domain!r}" if active.domain else "a program"
            text = f"{who} uses it: {active.client.command or 'process'} {active.client.pid}"
            raise _taken(hosted, text)

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


def _is_abandoned(hosted: HostedVgpu) -> bool:
    active = hosted.active
    if active is None or active.claim is None:
        return False
    return active.claim_has_lapsed and active.claim.abandoned


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
