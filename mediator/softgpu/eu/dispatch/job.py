"""A kernel job: what one command asks the execution units to do, decoded. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mediator.softgpu.eu.bases import Bases as MessageBases

if TYPE_CHECKING:
    from mediator.gen9.eu.payload import Order
    from mediator.softgpu.eu.dispatch.media_state import Bases, Descriptor, FrontEnd
    from mediator.softgpu.eu.dispatch.pixels import Pixels

_ADDRESS_MASK = (1 << 48) - 1

GroupId = tuple[int, int, int]
"""x, y, z of a thread group."""


@dataclass(frozen=True)
class Grid:
    """Groups from ``start`` up to ``end``, which is not among them; x is fastest.

    A row begins anew at the start's x, a plane at its y.
    """

    start: GroupId
    end: GroupId

    @cached_property
    def count(self) -> int:
        """How many groups there are."""
        (x, y, z), (end_x, end_y, end_z) = self.start, self.end
        return max(0, end_x - x) * max(0, end_y - y) * max(0, end_z - z)

    @property
    def first(self) -> GroupId | None:
        """The first group; None if there is none."""
        return self.start if self.count else None

    def number(self, group: GroupId) -> int:
        """How many groups come before ``group``."""
        x, y, z = (at - start for start, at in zip(self.start, group, strict=True))
        width, height = self.end[0] - self.start[0], self.end[1] - self.start[1]
        return x + width * (y + height * z)

    def at(self, number: int) -> GroupId | None:
        """The group with so many before it; None behind the last."""
        if number >= self.count:
            return None
        rest, x = divmod(number, self.end[0] - self.start[0])
        z, y = divmod(rest, self.end[1] - self.start[1])
        return self.start[0] + x, self.start[1] + y, self.start[2] + z

    def inside(self, group: GroupId) -> GroupId | None:
        """``group`` if it belongs to the grid, else None."""
        inside = all(
            start <= at < end for start, at, end in zip(self.start, group, self.end, strict=True)
        )
        return group if inside else None

    def after(self, group: GroupId) -> GroupId | None:
        """The group behind ``group``; None behind the last."""
        x, y, z = group
        if x + 1 < self.end[0]:
            return x + 1, y, z
        if y + 1 < self.end[1]:
            return self.start[0], y + 1, z
        if z + 1 < self.end[2]:
            return self.start[0], self.start[1], z + 1
        return None


@dataclass(frozen=True)
class Shape:
    """How the threads of a group stand, x fastest, and which channels run.

    ``simd``: 8, 16 or 32. The last thread of each row has the channels of ``right`` alone, those of
    the last row, where there is more than one, those of ``bottom``.
    """

    simd: int
    width: int
    height: int
    depth: int
    right: int
    bottom: int

    @cached_property
    def threads(self) -> int:
        """Threads of a group."""
        return self.width * self.height * self.depth


@dataclass(frozen=True, slots=True)
class Constants:
    """What threads get behind r0. ``data``: the block that they share, then one for each thread.

    Lengths in GRFs. Data that is shorter than it says is followed by zeros.
    """

    data: bytes
    shared: int
    own: int
    order: Order


@dataclass(frozen=True, slots=True)
class KernelJob:
    """One GPGPU_WALKER, one MEDIA_OBJECT as a group of one thread, or one rectangle of pixels."""

    kernel: int
    """48-bit GPU address of the first instruction."""
    descriptor: Descriptor
    bases: Bases
    front_end: FrontEnd
    grid: Grid
    shape: Shape
    constants: Constants
    gpgpu: bool = True
    """Not the thread of a MEDIA_OBJECT."""
    pixels: Pixels | None = None
    """Of a draw: its groups are the threads of a pixel shader."""


def message_bases(job: KernelJob) -> MessageBases:
    """What the messages of the job's threads are relative to."""
    found, tables = job.bases, job.descriptor
    return MessageBases(
        surface=found.surface.address,
        dynamic=found.dynamic.address,
        general=found.general.address,
        general_size=found.general.size,
        bindless=found.bindless.address,
        bindless_size=found.bindless.size,
        instruction=found.instruction.address,
        binding_table=(found.surface.address + tables.binding_table) & _ADDRESS_MASK,
        sampler_table=(found.dynamic.address + tables.samplers) & _ADDRESS_MASK,
    )
