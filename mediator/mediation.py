"""One physical GPU shared by vGPUs that come and go: everything put together.

`Mediation` brings the GPU up, gives each vGPU its part of GGTT and DMA space, and makes it; each is
a `mmio_trap.device.PciDevice` for a server of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Literal, Self

from mediator.capacity import Allotment, Capacity
from mediator.dispatcher import WATCHDOG_NS, Dispatcher
from mediator.physical.gpu import DmaSpace, PhysicalGpu
from mediator.physical.host import HostGpu
from mediator.physical.memory import Slab
from mediator.physical.partition import (
    DMA_SIZE,
    MIB,
    PAGE,
    SLAB_GGTT,
    SLAB_SIZE,
    Window,
    slab_ggtt,
)
from mediator.translation.addressing import Addressing
from mediator.translation.direct import DirectAddressing
from mediator.translation.shadow import ShadowAddressing
from mediator.translation.shared_space import SharedSpace
from mediator.vgpu.observer import VgpuObserver
from mediator.vgpu.vgpu import Vgpu, VgpuPlan
from mediator.vgpu.vgpu_type import TYPES, VgpuType
from mmio_trap.guest_memory import GuestMemory
from scheduler.cap import checked_cap
from scheduler.policy import Policy, checked_weight

AddressSpace = Literal["shadow", "direct"]
GgttMode = Literal["ballooned", "private"]

_HOST_SLAB_ROOM = MIB
"""The GPU's own slab is smaller than this."""
_SECRET_UNIT = 2 * MIB


class Mediation:
    """vGPUs on ``gpu``, which is brought up; see `add` and `remove`.

    ``ggtt``: `private` makes every vGPU's GGTT private, whatever its type says. Raises
    HardwareError when the GPU does not come up; it stays the caller's then.
    """

    def __init__(
        self,
        gpu: PhysicalGpu,
        policy: Policy,
        address_space: AddressSpace,
        ggtt: GgttMode = "ballooned",
        watchdog_ns: int = WATCHDOG_NS,
    ) -> None:
        self.gpu = gpu
        self.direct = address_space == "direct"
        self.capacity = Capacity(windows=not self.direct, private=ggtt == "private")
        self._space = gpu.create_space()
        """The one of all vGPUs in shadow mode; in direct mode nobody's but the mediator's."""
        self._spaces: dict[Vgpu, DmaSpace] = {}
        """In direct mode: of each vGPU."""
        self._attached = self._space
        self._shared = SharedSpace(self._space)
        # In direct mode guests share the addresses with the mediator's slabs: nobody can guess.
        host_iova = _secret(set()) if self.direct else _HOST_SLAB_ROOM
        self.host = HostGpu(gpu, host_iova)
        self.host.initialise(self._space)
        self.dispatcher = Dispatcher(
            self.host, policy, watchdog_ns=watchdog_ns, on_restart=self._reinstall
        )
        self._changing = threading.Lock()
        self.vgpus: list[Vgpu] = []

    @classmethod
    def evenly(
        cls,
        gpu: PhysicalGpu,
        count: int,
        type_name: str,
        policy: Policy,
        address_space: AddressSpace,
        ggtt: GgttMode,
        observer: VgpuObserver | None = None,
        watchdog_ns: int = WATCHDOG_NS,
        weights: Sequence[int] | None = None,
    ) -> Self:
        """``count`` vGPUs of one type, `vgpu0` and so on, each with its weight or its type's.

        Raises ValueError for a type that does not exist or does not fit so often, OSError when
        memory is short.
        """
        if type_name not in TYPES:
            raise ValueError(f"vGPU type {type_name!r}: there are {', '.join(TYPES)}")
        if count < 1:
            raise ValueError(f"{count} vGPUs: 1 is the least")
        made = cls(gpu, policy, address_space, ggtt, watchdog_ns)
        try:
            for index in range(count):
                weight = None if weights is None else weights[index]
                made.add(f"vgpu{index}", TYPES[type_name], weight=weight, observer=observer)
        except (ValueError, OSError):
            made.release()
            raise
        return made

    def add(
        self,
        name: str,
        kind: VgpuType,
        *,
        weight: int | None = None,
        cap: float = 1.0,
        observer: VgpuObserver | None = None,
    ) -> Vgpu:
        """Make a vGPU of a mediated type; its type's weight, unless told otherwise.

        Raises ResourceError when something is short, OSError when memory is, ValueError for a name
        that is taken, a weight below 1 or a cap not in (0, 1]; nothing is kept then.
        """
        weight = checked_weight(kind.weight if weight is None else weight)
        checked_cap(cap)
        with self._changing:
            allotment = self.capacity.take(name, kind)
            try:
                vgpu = self._make(name, kind, allotment, weight, observer)
            except OSError:
                self.capacity.release(name)
                raise
            vgpu.cap = cap
            entries = vgpu.slab.entries()
            with self.dispatcher.lock:  # a restart of the GPU must not come in between
                self.host.write_ggtt(vgpu.slab.ggtt // PAGE, entries)
                self.host.flush_ggtt()
                self.vgpus = [*self.vgpus, vgpu]
        return vgpu

    def remove(self, vgpu: Vgpu) -> None:
        """Take back all that a vGPU has; its client has left and no other will come."""
        assert not vgpu.attached, "its client has left"
        with self._changing:
            with self.dispatcher.lock:  # a restart of the GPU goes by this list
                self.vgpus = [other for other in self.vgpus if other is not vgpu]
            vgpu.close()
            slab, space = vgpu.slab, self._spaces.pop(vgpu, None)
            with self.dispatcher.lock:
                self.host.write_ggtt(slab.ggtt // PAGE, bytes(8 * (slab.ggtt_size // PAGE)))
                self.host.flush_ggtt()
                if self._attached is space:
                    self._attach(self._space)
            if space is None:
                self._unmap(slab)
            else:
                space.close()
            slab.close()
            self.capacity.release(vgpu.name)

    def start(self) -> None:
        """Begin to dispatch."""
        self.dispatcher.start()

    def stop(self) -> None:
        """End. Every client has left; the GPU is closed with it."""
        self.dispatcher.stop()
        self.gpu.close()
        self.release()

    def release(self) -> None:
        """Give back everything but the GPU, which does not run any more or stays the caller's."""
        for vgpu in self.vgpus:
            vgpu.close()
            vgpu.slab.close()
        for space in (self._space, *self._spaces.values()):
            space.close()
        self.host.close()
        self.dispatcher.close()

    def _make(
        self,
        name: str,
        kind: VgpuType,
        allotment: Allotment,
        weight: int,
        observer: VgpuObserver | None,
    ) -> Vgpu:
        plan = VgpuPlan(
            index=allotment.slot,
            type=kind,
            identity=self.gpu.identity,
            part=allotment.part,
            private_ggtt=not self.capacity.is_ballooned(kind),
            weight=weight,
            name=name,
        )
        host_iova = self.host.slab.iova
        iova = _secret({host_iova}) if self.direct else SLAB_SIZE * (plan.index + 1)
        with ExitStack() as undo:
            slab = Slab(SLAB_SIZE, iova, slab_ggtt(plan.index + 1), SLAB_GGTT)
            undo.callback(slab.close)
            if allotment.window is None:
                space = self.gpu.create_space()
                undo.callback(space.close)
                self.host.map_slab(space)
                make = self._direct(slab, space)
            else:
                space = self._space
                undo.callback(self._unmap, slab)
                make = self._shadow(slab, allotment.window)
            space.map(slab.iova, slab.size, slab.fd, 0, readable=True, writable=True)
            vgpu = Vgpu(plan, self.dispatcher, slab, make, observer)
            undo.pop_all()
        if space is not self._space:
            self._spaces[vgpu] = space
        return vgpu

    def _reinstall(self) -> None:
        """The GPU was brought up from cold: its GGTT is empty but for its own slab."""
        for vgpu in self.vgpus:
            self.host.write_ggtt(vgpu.slab.ggtt // PAGE, vgpu.slab.entries())
            vgpu.reinstall()

    def _unmap(self, slab: Slab) -> None:
        """Take a slab out of the shared space."""
        self._space.unmap(slab.iova, slab.size)
        self._space.trim()

    def _attach(self, space: DmaSpace) -> None:
        self.gpu.attach_space(space)
        self._attached = space

    def _direct(self, slab: Slab, space: DmaSpace) -> Callable[[GuestMemory], Addressing]:
        """The way into DMA space of a vGPU that has a space of its own."""

        def attach() -> None:
            self._attach(space)

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
