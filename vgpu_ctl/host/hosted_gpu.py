"""One GPU of this host: who is on it, what is left of it, whether it is there at all.

It is brought up for its first vGPU and stays up, so that vGPUs come and go quickly. Either vGPUs
share it by a `Mediation`, or one client owns it (passthrough). Called with the host's lock held.
"""

from __future__ import annotations

import gc
import logging
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediator.capacity import Capacity, ResourceError
from mediator.gen9.identity import IDENTITIES, Identity
from mediator.mediation import Mediation
from mediator.physical.host import HardwareError
from mediator.physical.soft import SoftPhysicalGpu
from mediator.softgpu.function import SoftGpuFunction
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import Kind, VgpuType
from scheduler.policies.fifo import Fifo
from scheduler.policies.timeslice import Timeslice
from vgpu_ctl.api.messages import ApiError, ErrorCode

if TYPE_CHECKING:
    from mediator.vgpu.observer import VgpuObserver
    from scheduler.policy import Policy
    from vgpu_ctl.config import GpuConfig

_LOG = logging.getLogger(__name__)

Device = Vgpu | SoftGpuFunction
"""What serves a client."""


def make_policy(config: GpuConfig) -> Policy:
    """The scheduling policy that is configured."""
    return Fifo() if config.policy == "fifo" else Timeslice(round(config.slice_ms * 1e6))


@dataclass
class HostedGpu:
    """A GPU as it is configured."""

    config: GpuConfig
    present: bool = True
    """It is there: always, unless it is bound to a PCI device."""
    failure: str = ""
    """Why it could not be brought up."""
    mediation: Mediation | None = None
    owner: str = ""
    """Name of the vGPU that has all of it."""
    holders: dict[str, Device] = field(default_factory=dict)
    """The active vGPUs by name."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.config.name

    @property
    def identity(self) -> Identity:
        """Which Gen9 part it is."""
        return IDENTITIES[self.config.device_number]

    @property
    def state(self) -> str:
        """As `GpuInfo.state`."""
        if not self.present:
            return "absent"
        return "failed" if self.failure else "ready"

    @property
    def capacity(self) -> Capacity:
        """What of it is given to whom, if it is shared."""
        if self.mediation is not None:
            return self.mediation.capacity
        return Capacity(
            windows=self.config.address_space == "shadow", private=self.config.ggtt == "private"
        )

    def room(self, kind: VgpuType) -> int:
        """How many more vGPUs of ``kind`` could be started now."""
        if not self.present or not self.allows(kind) or self.owner:
            return 0
        if kind.kind is Kind.PASSTHROUGH:
            return 0 if self.holders else 1
        return self.capacity.room(kind)

    def allows(self, kind: VgpuType) -> bool:
        """Whether the configuration lets vGPUs of ``kind`` be on it."""
        return not self.config.types or kind.name in self.config.types

    def refusal(self, kind: VgpuType) -> str:
        """Why no vGPU of ``kind`` can be started now; empty when one can."""
        try:
            self._check(kind)
            if kind.kind is not Kind.PASSTHROUGH:
                deepcopy(self.capacity).take("\0", kind)
        except ApiError as error:
            return error.message
        except ResourceError as error:
            return f"{self.name}: {error}"
        return ""

    def open(
        self, name: str, kind: VgpuType, weight: int, cap: float, observer: VgpuObserver
    ) -> Device:
        """Give a vGPU its part. Raises ApiError; nothing is given then."""
        self._check(kind)
        if kind.kind is Kind.PASSTHROUGH:
            self._release()
            device: Device = SoftGpuFunction(self.identity)
            self.owner = name
        else:
            device = self._share(name, kind, weight, cap, observer)
        self.holders[name] = device
        return device

    def close(self, name: str) -> None:
        """Take it back; its client has left."""
        device = self.holders.pop(name)
        if self.owner == name:
            self.owner = ""
        elif isinstance(device, Vgpu) and self.mediation is not None:
            self.mediation.remove(device)

    def shut_down(self) -> None:
        """Let go of the GPU; nobody is on it."""
        self._release()

    def _share(
        self, name: str, kind: VgpuType, weight: int, cap: float, observer: VgpuObserver
    ) -> Vgpu:
        mediation = self._bring_up()
        try:
            return mediation.add(name, kind, weight=weight, cap=cap, observer=observer)
        except ResourceError as error:
            raise ApiError(
                ErrorCode.NO_CAPACITY,
                f"{self.name}: {error}",
                field="type",
                hint="stop one of them, or take a smaller type: see `vgpuctl types`",
            ) from error
        except OSError as error:
            raise ApiError(
                ErrorCode.FAILED, f"{self.name}: a vGPU cannot be made: {error.strerror}"
            ) from error

    def _bring_up(self) -> Mediation:
        if self.mediation is None:
            physical = SoftPhysicalGpu(self.identity)
            try:
                self.mediation = Mediation(
                    physical,
                    make_policy(self.config),
                    self.config.address_space,
                    self.config.ggtt,
                    self.config.watchdog_ms * 1_000_000,
                )
            except (HardwareError, OSError) as error:
                physical.close()
                self.failure = str(error)
                text = f"{self.name} does not come up: {error}"
                raise ApiError(ErrorCode.FAILED, text) from error
            self.failure = ""
            self.mediation.start()
            _LOG.info("%s is up", self.name, extra={"gpu": self.name})
        return self.mediation

    def _release(self) -> None:
        if self.mediation is not None:
            self.mediation.stop()
            self.mediation = None
            gc.collect()  # its parts know each other, and have tens of megabytes

    def _check(self, kind: VgpuType) -> None:
        if not self.present:
            raise ApiError(
                ErrorCode.BUSY,
                f"{self.name} is absent: there is no PCI device {self.config.pci}",
                field="gpu",
            )
        if not self.allows(kind):
            raise ApiError(
                ErrorCode.UNSUPPORTED,
                f"{self.name} takes no vGPU of type {kind.name}: allowed are "
                f"{', '.join(self.config.types)}",
                field="type",
            )
        text = ""
        if self.owner:
            text = f"{self.owner} has all of {self.name} (passthrough)"
        elif self.holders and kind.kind is Kind.PASSTHROUGH:
            text = f"{kind.name} needs all of {self.name}, which {', '.join(self.holders)} share"
        if text:
            hint = "stop them, or take another GPU"
            raise ApiError(ErrorCode.NO_CAPACITY, text, field="type", hint=hint)
