"""Slice statistics as events: each second, what each vGPU had of its GPU, if anybody listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vgpu_ctl.api.objects import EventKind

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu
    from vgpu_ctl.host.event_bus import EventBus
    from vgpu_ctl.host.host import Host


class SliceEvents:
    """Remembers what the counters were; `tick` publishes what was added."""

    def __init__(
        self, host: Host, bus: EventBus, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._bus = bus
        self._clock = clock
        self._before: dict[Vgpu, tuple[int, int, int, int]] = {}
        """GPU time in ns, requests, world switches, preemptions."""
        self._at = 0.0

    def tick(self) -> None:
        """A second has passed."""
        if not self._bus.wanted(EventKind.SLICES):
            self._before.clear()
            return
        now = self._clock()
        seconds, self._at = now - self._at, now
        current = {}
        for hosted in self._host.vgpus:
            vgpu = hosted.active.vgpu if hosted.active is not None else None
            if vgpu is None or hosted.active is None:
                continue
            counters = vgpu.counters
            figures = (
                vgpu.dispatcher.gpu_ns(vgpu),
                counters.requests,
                counters.world_switches,
                counters.preemptions,
            )
            current[vgpu] = figures
            before = self._before.get(vgpu)
            if before is None or figures[0] == before[0]:
                continue
            used, requests, switches, preemptions = (
                new - old for new, old in zip(figures, before, strict=True)
            )
            self._bus.publish(
                EventKind.SLICES,
                vgpu=hosted.name,
                uuid=hosted.uuid,
                gpu=hosted.active.gpu.name,
                seconds=round(seconds, 3),
                gpu_seconds=round(used / 1e9, 6),
                share=round(used / 1e9 / seconds, 4),
                weight=hosted.weight,
                requests=requests,
                slices=switches,
                preemptions=preemptions,
            )
        self._before = current
