"""Registers that the hardware has in the values of the vGPU whose world it is in.

Most vGPUs agree on most of them (caching tables, chicken bits), so only differences are written.
The policy and the order of the registers stand in `register_policy.py`.
"""

from __future__ import annotations

from collections.abc import Collection, MutableSequence, Sequence
from operator import itemgetter

from mediator.gen9.engines import ENGINES
from mediator.physical.gpu import PhysicalGpu
from mediator.vgpu.register_policy import SWITCHED, VOLATILE, hardware_value, virtual_value

_ENGINE_PAGE = 0xFFFF_F000
_PLACE = {offset: place for place, offset in enumerate(SWITCHED)}
_values = itemgetter(*(offset >> 2 for offset in SWITCHED))
_PAGES = {facts.mmio_base & _ENGINE_PAGE: facts.name for facts in ENGINES}


def _engine(offset: int) -> str:
    """The engine whose commands change a register: its own page, all else is the render engine."""
    return _PAGES.get(offset & _ENGINE_PAGE, ENGINES[0].name)


_OF_ENGINE = {
    facts.name: tuple(offset for offset in SWITCHED if _engine(offset) == facts.name)
    for facts in ENGINES
}
_VOLATILE = {
    facts.name: tuple(offset for offset in VOLATILE if _engine(offset) == facts.name)
    for facts in ENGINES
}


class SwitchedRegisters:
    """The switched registers of ``gpu``. ``values``: a vGPU's registers, dwords by offset >> 2."""

    def __init__(self, gpu: PhysicalGpu) -> None:
        self._gpu = gpu
        self._world: list[int | None] = [None] * len(SWITCHED)
        """Virtual values of which the hardware has its form; None: not known."""

    def enter(self, values: Sequence[int]) -> None:
        """Give the hardware the values of a vGPU."""
        wanted = list(_values(values))
        if wanted != self._world:
            for offset, there, value in zip(SWITCHED, self._world, wanted, strict=True):
                if there != value:
                    self._gpu.write32(offset, hardware_value(offset, value))
            self._world = list(wanted)

    def leave(self, values: MutableSequence[int], engines: Collection[str]) -> None:
        """Keep what commands on ``engines`` may have changed."""
        for name in engines:
            for offset in _VOLATILE[name]:
                value = virtual_value(offset, self._gpu.read32(offset))
                values[offset >> 2] = self._world[_PLACE[offset]] = value

    def forget(self) -> None:
        """The hardware was reset: nothing is known of it."""
        self._world = [None] * len(SWITCHED)

    def put(self, offset: int, value: int) -> None:
        """One register has a new virtual value."""
        self._world[_PLACE[offset]] = value
        self._gpu.write32(offset, hardware_value(offset, value))

    def restore(self, engine: str, values: Sequence[int]) -> None:
        """The hardware's ``engine`` was reset: its own registers are cold."""
        for offset in _OF_ENGINE[engine]:
            self.put(offset, values[offset >> 2])
