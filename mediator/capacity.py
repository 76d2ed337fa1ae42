"""What of one GPU is given to whom: slots, GGTT, DMA windows. Pure accounting.

Every vGPU takes a slot, ballooned ones take two slices of the GGTT, and in shadow mode each takes a
window of DMA space. Who asks for more than is left is told what is short and who has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mediator.physical.partition import (
    APERTURE_SIZE,
    DMA_SIZE,
    GIB,
    GUEST_GGTT_SIZE,
    MAX_VGPUS,
    MIB,
    Window,
)
from mediator.vgpu.vgpu_type import LEAST_WINDOW, Kind, VgpuType

_MEDIATORS_DMA = 16 * GIB
"""The beginning of the DMA space is the mediator's own: all slabs, 192 MiB each."""


_UNITS = {1: "", MIB: " MiB", GIB: " GiB"}


class ResourceError(ValueError):
    """A GPU does not have what was asked for; the text names the resource and its holders."""


@dataclass
class Pool:
    """A resource of ``size`` units from ``start`` on, of which holders have a range each."""

    name: str
    start: int
    size: int
    unit: int = 1
    """What is counted together in texts: MiB, GiB, or single ones."""
    granularity: int = 1
    """Ranges start at a multiple of this from ``start`` on, or at one of their own size."""
    held: dict[str, range] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Units that nobody has, in one piece or not."""
        return self.size - sum(len(taken) for taken in tuple(self.held.values()))

    def find(self, size: int) -> range | None:
        """The first free range of ``size``, aligned to its size where the pool divides by it."""
        for gap in self._gaps():
            first = self._first(gap, self._step(size))
            if first + size <= gap.stop:
                return range(first, first + size)
        return None

    def take(self, holder: str, size: int, what: str) -> range:
        """Give ``holder`` a range of ``size``. Raises ResourceError; ``what`` asks for it."""
        found = self.find(size)
        if found is None:
            raise ResourceError(self._shortage(size, what))
        self.held[holder] = found
        return found

    def room(self, size: int) -> int:
        """How many more ranges of ``size`` could be taken now."""
        step = self._step(size)
        stride = -(-size // step) * step
        firsts = ((self._first(gap, step), gap.stop) for gap in self._gaps())
        return sum(
            1 + (stop - first - size) // stride for first, stop in firsts if first + size <= stop
        )

    def _step(self, size: int) -> int:
        """Ranges of ``size`` start at multiples of this."""
        return size if self.size % size == 0 else self.granularity

    def _first(self, gap: range, step: int) -> int:
        """Where a range could start in ``gap``, or beyond it."""
        return self.start + -(-(gap.start - self.start) // step) * step

    def _gaps(self) -> Iterator[range]:
        at = self.start
        for taken in sorted(self.held.values(), key=lambda taken: taken.start):
            yield range(at, taken.start)
            at = taken.stop
        yield range(at, self.start + self.size)

    def _shortage(self, size: int, what: str) -> str:
        unit = _UNITS[self.unit]

        def amount(value: int) -> str:
            return f"{value // self.unit}{unit}"

        holders = ", ".join(f"{name} has {amount(len(taken))}" for name, taken in self.held.items())
        pieces = ", not in one piece" if size <= self.left else ""
        return (
            f"{what} needs {amount(size)} of {self.name}, {amount(self.left)} of "
            f"{amount(self.size)} are left{pieces}: {holders or 'nobody has any'}"
        )


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one vGPU has of its GPU."""

    slot: int
    """0 to 30: its slab, and its number for the policy."""
    part: tuple[range, ...]
    """GGTT addresses that are its own; the low slice comes first."""
    window: Window | None
    """Its window of DMA space; None in direct mode, where it has a space."""


class Capacity:
    """The resources of one GPU under mediation."""

    def __init__(self, *, windows: bool, private: bool = False) -> None:
        """``windows``: vGPUs share one DMA space. ``private``: no vGPU has a slice of the GGTT."""
        self._windows = windows
        self._private = private
        self.slots = Pool("vGPU slots", 0, MAX_VGPUS)
        self.low = Pool("mappable GGTT (aperture)", 0, APERTURE_SIZE, MIB, MIB)
        high = GUEST_GGTT_SIZE - APERTURE_SIZE
        self.high = Pool("high GGTT", APERTURE_SIZE, high, MIB, MIB)
        self.dma = Pool("DMA space", 0, DMA_SIZE, GIB, GIB, {})
        if windows:
            self.dma.held["the mediator"] = range(_MEDIATORS_DMA)

    @property
    def pools(self) -> list[Pool]:
        """Everything that can be short here."""
        ggtt = [] if self._private else [self.low, self.high]
        return [self.slots, *ggtt, *([self.dma] if self._windows else [])]

    def take(self, holder: str, kind: VgpuType) -> Allotment:
        """Give ``holder`` what a vGPU of ``kind`` needs, or nothing.

        Raises ResourceError, and ValueError for a holder that has something already.
        """
        if any(holder in pool.held for pool in (self.slots, self.low, self.high, self.dma)):
            raise ValueError(f"{holder!r} has a part of this GPU already")
        try:
            taken = {
                pool.name: pool.take(holder, size, f"a vGPU of type {kind.name}")
                for pool, size in self._needs(kind)
            }
        except ResourceError:
            self.release(holder)
            raise
        slices = tuple(taken[pool.name] for pool in (self.low, self.high) if pool.name in taken)
        window = taken.get(self.dma.name)
        return Allotment(
            taken[self.slots.name].start,
            slices or (range(GUEST_GGTT_SIZE),),
            None if window is None else Window(window.start, len(window)),
        )

    def release(self, holder: str) -> None:
        """Take back all that ``holder`` has."""
        for pool in (self.slots, self.low, self.high, self.dma):
            pool.held.pop(holder, None)

    def room(self, kind: VgpuType) -> int:
        """How many more vGPUs of ``kind`` would fit now."""
        return min(pool.room(size) for pool, size in self._needs(kind))

    def check(self, kind: VgpuType, count: int) -> None:
        """Raises ResourceError unless ``count`` more vGPUs of ``kind`` would fit."""
        fit = self.room(kind)
        if fit >= count:
            return
        short, size = min(self._needs(kind), key=lambda need: need[0].room(need[1]))
        unit = _UNITS[short.unit]
        raise ResourceError(
            f"{count} vGPUs of type {kind.name} need {count * size // short.unit}{unit} of "
            f"{short.name}, the GPU has {short.left // short.unit}{unit}: {fit} fit"
        )

    def is_ballooned(self, kind: VgpuType) -> bool:
        """Whether a vGPU of ``kind`` has slices of the GGTT here."""
        return kind.kind is Kind.BALLOONED and not self._private

    def _needs(self, kind: VgpuType) -> list[tuple[Pool, int]]:
        needs, window = [(self.slots, 1)], kind.window
        if self.is_ballooned(kind):
            needs += [(self.low, kind.low * MIB), (self.high, kind.high * MIB)]
        elif kind.kind is Kind.BALLOONED:  # as many of them as there are slots
            window = LEAST_WINDOW
        if self._windows:
            needs.append((self.dma, window))
        return needs
