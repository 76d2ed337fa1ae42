"""What a GPU's execution units have done: numbers that only grow. Plain data."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class ComputeWork:
    """Sums since some moment; the difference of two is what came between."""

    kernels: int = 0
    """Kernel jobs (walkers) that ended."""
    threads: int = 0
    """Threads that began."""
    groups: int = 0
    """Thread groups that ended."""
    interpreted_groups: int = 0
    """Of those, groups that no compiled code ran."""
    busy_ns: int = 0
    """Time during which threads ran."""
    programs: int = 0
    """Programs that had not been seen before, or not for long."""
    program_hits: int = 0
    """Kernel jobs whose program was known."""
    compiled: int = 0
    """Programs that came into use in compiled form."""
    from_disk: int = 0
    """Of those, programs whose code an earlier process had compiled and kept."""
    uncompiled: int = 0
    """Programs that the compiler gave up, and that stay interpreted."""
    suspended: int = 0
    """Contexts that were switched out in the middle of a thread group."""
    lost: int = 0
    """Of those, contexts whose thread groups were gone when they came back."""
    faults: int = 0
    """Kernel jobs that ended in a page fault."""
    refused: int = 0
    """Kernel jobs that made no sense, or whose program did what no program may."""

    def __str__(self) -> str:
        """For people who look at a trace; empty if nothing ran."""
        if not self.kernels and not self.threads:
            return ""
        return (
            f"{self.kernels} kernels, {self.threads} threads, {self.busy_ns / 1e6:.3g} ms of EUs; "
            f"groups: {self.groups - self.interpreted_groups} compiled, "
            f"{self.interpreted_groups} interpreted; "
            f"programs: {self.programs} new, {self.program_hits} known, {self.compiled} compiled, "
            f"{self.from_disk} of them earlier, {self.uncompiled} given up"
        )

    def __add__(self, other: ComputeWork) -> ComputeWork:
        return ComputeWork(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: ComputeWork) -> ComputeWork:
        return ComputeWork(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))
