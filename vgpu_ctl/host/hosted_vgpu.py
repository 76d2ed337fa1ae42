"""One vGPU of this host: its definition, and while it is active its device and its socket."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mediator.vgpu.vgpu import Vgpu
from vgpu_ctl.api.objects import ClientInfo, VgpuInfo, VgpuState
from vgpu_ctl.host.definition import Definition
from vgpu_ctl.host.migration_guard import guard_path
from vgpu_ctl.printable import escaped

if TYPE_CHECKING:
    from mediator.vgpu.vgpu_type import VgpuType
    from mmio_trap.vfio_user.peer import Peer
    from mmio_trap.vfio_user.server import Server
    from vgpu_ctl.host.claim import Claim
    from vgpu_ctl.host.hosted_gpu import Device, HostedGpu

_LONGEST_COMMAND_LINE = 1 << 20


@dataclass
class Active:
    """What an active vGPU has."""

    gpu: HostedGpu
    kind: VgpuType
    device: Device
    server: Server
    socket: Path
    thread: threading.Thread
    client: ClientInfo | None = None
    domain: str = ""
    """Of the client, as its QEMU says."""
    claim: Claim | None = None
    """The last one; whether it holds, `standing_claim` says."""

    @property
    def standing_claim(self) -> Claim | None:
        """The claim whose QEMU is there, or may still come."""
        claim = self.claim
        return None if claim is None or claim.used or self.claim_has_lapsed else claim

    @property
    def claim_has_lapsed(self) -> bool:
        """It was made, and nobody has come for it in time."""
        claim = self.claim
        return claim is not None and not claim.used and self.client is None and claim.overdue

    @property
    def holder(self) -> str:
        """The domain that has it, or is going to."""
        claim = self.standing_claim
        return self.domain if self.domain or claim is None else claim.domain

    @property
    def vgpu(self) -> Vgpu | None:
        """The control block; None where there is no mediation."""
        return self.device if isinstance(self.device, Vgpu) else None


@dataclass
class HostedVgpu:
    """A vGPU that is defined, active, or both."""

    definition: Definition
    persistent: bool
    default_weight: int = 1
    """Of its type."""
    place: Path = Path()
    """Where its socket is going to be, as far as the configuration says now."""
    active: Active | None = None
    error: str = ""
    """Why it is not active although it should be."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    @property
    def uuid(self) -> str:
        """Its UUID."""
        return self.definition.uuid

    @property
    def weight(self) -> int:
        """Its own weight, or that of its type."""
        own = self.definition.weight
        return self.default_weight if own is None else own

    @property
    def state(self) -> VgpuState:
        """Where it is in its life."""
        if self.active is not None:
            return VgpuState.ACTIVE
        return VgpuState.ERROR if self.error else VgpuState.DEFINED

    def info(self) -> VgpuInfo:
        """As the API shows it."""
        definition, active = self.definition, self.active
        place = self.place if active is None else active.socket
        return VgpuInfo(
            uuid=definition.uuid,
            name=definition.name,
            type=definition.type,
            state=self.state,
            persistent=self.persistent,
            autostart=definition.autostart,
            weight=self.weight,
            own_weight=definition.weight,
            cap=definition.cap,
            gpu=definition.gpu if active is None else active.gpu.name,
            wanted_gpu=definition.gpu,
            socket="" if active is None else str(place),
            place=str(place),
            client=None if active is None else active.client,
            domain="" if active is None else active.holder,
            guard=str(guard_path(place)),
            error=self.error,
        )


def client_of(peer: Peer) -> ClientInfo:
    """What can be found out about the peer of a socket."""
    try:
        command = Path(f"/proc/{peer.pid}/comm").read_text(errors="replace").strip()
    except OSError:
        command = ""
    return ClientInfo(pid=peer.pid, uid=peer.uid, command=escaped(command), since=time.time())


def domain_of(pid: int) -> str:
    """The name that a QEMU of process ``pid`` has from libvirt; empty when there is none.

    libvirt passes ``-name guest=NAME,debug-threads=on``; a comma in NAME is doubled.
    """
    try:
        with Path(f"/proc/{pid}/cmdline").open("rb") as file:
            words = file.read(_LONGEST_COMMAND_LINE).split(b"\0")
    except OSError:
        return ""
    for option, value in pairwise(words):
        if option == b"-name" and value.startswith(b"guest="):
            name = value.removeprefix(b"guest=").replace(b",,", b"\0").split(b",")[0]
            return escaped(name.replace(b"\0", b",").decode(errors="replace"))
    return ""
