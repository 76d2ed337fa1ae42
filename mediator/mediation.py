"""One physical GPU shared by a fixed number of vGPUs: everything put together.

`Mediation` brings the GPU up, divides GGTT and DMA space, and makes the vGPUs; each is a
`mmio_trap.device.PciDevice` for a server of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Literal

from mediator.dispatcher import WATCHDOG_NS, Dispatcher
from mediator.physical.gpu import DmaSpace, PhysicalGpu
from mediator.physical.host import HostGpu
from mediator.physical.memory import Slab
from mediator.physical.partition import (
    DMA_SIZE,
    GUEST_GGTT_SIZE,
    MIB,
    PAGE,
    SLAB_GGTT,
    SLAB_SIZE,
    Window,
    guest_window,
    slab_ggtt,
)
from mediator.translation.addressing import Addressing
from mediator.translation.direct import DirectAddressing
from mediator.translation.shadow import ShadowAddressing
from mediator.translation.shared_space import SharedSpace
from mediator.vgpu.vgpu import Vgpu, VgpuPlan
from mediator.vgpu.vgpu_type import TYPES, check_count, slices
from mmio_trap.guest_memory import GuestMemory
from scheduler.policy import Policy

AddressSpace = Literal["shadow", "direct"]
GgttMode = Literal["ballooned", "private"]

_HOST_SLAB_ROOM = MIB
"""The GPU's own slab is smaller than this."""
_SECRET_UNIT = 2 * MIB


class Mediation:
    """``count`` vGPUs of one type on ``gpu``.

    ``weights``: one for each vGPU, their type's without. ``on_detach`` hears of each client that
    has left. Raises ValueError for a type that does not exist or does not fit so often,
    HardwareError when the GPU does not come up.
    """

    def __init__(
        self,
        gpu: PhysicalGpu,
        count: int,
        type_name: str,
        policy: Policy,
        address_space: AddressSpace,
        ggtt: GgttMode,
        on_detach: Callable[[Vgpu], None] | None = None,
        watchdog_ns: int = WATCHDOG_NS,
        weights: Sequence[int] | None = None,
    ) -> None:
        if type_name not in TYPES:
            raise ValueError(f"vGPU type {type_name!r}: there are {', '.join(TYPES)}")
        if count < 1:
            raise ValueError(f"{count} vGPUs: 1 is the least")
        kind, private = TYPES[type_name], ggtt == "private"
        check_count(kind, count, private=private)
        direct = address_space == "direct"
        self._spaces = [gpu.create_space() for _ in range(count if direct else 1)]
        self._shared = SharedSpace(self._spaces[0])
        # In direct mode guests share the addresses with the mediator's slabs: nobody can guess.
        host_iova = _secret(set()) if direct else _HOST_SLAB_ROOM
        self.gpu = gpu
        self.host = HostGpu(gpu, host_iova)
        self.host.initialise(self._spaces[0])
        for space in self._spaces[1:]:
            self.host.map_slab(space)
        self.dispatcher = Dispatcher(
            self.host, policy, watchdog_ns=watchdog_ns, on_restart=self._reinstall
        )
        self._slabs: list[Slab] = []
        self.vgpus: list[Vgpu] = []
        for index in range(count):
            space = self._spaces[index if direct else 0]
            iova = _secret({host_iova}) if direct else SLAB_SIZE * (index + 1)
            slab = Slab(SLAB_SIZE, iova, slab_ggtt(index + 1), SLAB_GGTT)
            space.map(slab.iova, slab.size, slab.fd, 0, readable=True, writable=True)
            self.host.write_ggtt(slab.ggtt // PAGE, slab.entries())
            self._slabs.append(slab)
            plan = VgpuPlan(
                index=index,
                type=kind,
                identity=gpu.identity,
                part=(range(GUEST_GGTT_SIZE),) if private else slices(kind, index),
                private_ggtt=private,
                weight=kind.weight if weights is None else weights[index],
            )
            if direct:
                make = self._direct(slab, space)
            else:
                make = self._shadow(slab, guest_window(index, count))
            self.vgpus.append(Vgpu(plan, self.dispatcher, slab, make, on_detach))

    def start(self) -> None:
        """Begin to dispatch."""
        self.dispatcher.start()

    def stop(self) -> None:
        """End. Every client has left; the GPU is closed with it."""
        self.dispatcher.stop()
        self.gpu.close()
        for space in self._spaces:
            space.close()
        for slab in self._slabs:
            slab.close()
        self.host.close()

    def _reinstall(self) -> None:
        """The GPU was brought up from cold: its GGTT is empty but for its own slab."""
        for slab in self._slabs:
            self.host.write_ggtt(slab.ggtt // PAGE, slab.entries())
        for vgpu in self.vgpus:
            vgpu.reinstall()

    def _direct(self, slab: Slab, space: DmaSpace) -> Callable[[GuestMemory], Addressing]:
        """The way into DMA space of a vGPU that has a space of its own."""

        def attach() -> None:
            self.gpu.attach_space(space)

        return lambda memory: DirectAddressing(space, slab, memory, attach)

    def _shadow(self, slab: Slab, window: Window) -> Callable[[GuestMemory], Addressing]:
        """The way into DMA space of a vGPU that has a window of the one space."""
        view = self._shared.view(window)
        return lambda memory: ShadowAddressing(view, window, slab, memory, _nothing)


def _nothing() -> None:
    """All vGPUs are in the space in which the GPU is."""


def _secret(taken: set[int]) -> int:
    """A place for a slab in the upper half of DMA space that a guest cannot guess.

    A slab keeps clear of those at ``taken``.
    """
    half, units = DMA_SIZE // 2, (DMA_SIZE // 2 - SLAB_SIZE) // _SECRET_UNIT
    while True:
        # Not aligned to more than a page: a guest's large pages do not name it either.
        place = half + secrets.randbelow(units) * _SECRET_UNIT + secrets.randbelow(512) * PAGE
        if all(abs(place - other) > 2 * SLAB_SIZE for other in taken):
            return place
