"""What counts as a failure of a trial. Pure: from a record to sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fuzz.hostile_guest.process_figures import ProcessFigures
from tests.fuzz.hostile_guest.record import Record

_RESIDENT_KIB = 128 << 10
"""What an allocator may keep for later: it comes to some 70 MiB in a minute, and no further."""
_COMPILERS = 2
"""The daemon's, for kernels that compile at once and for those that take long: each is a child with
a thread and two pipes, begins with the first kernel that is for it, and stays."""
_IDLE_CPU_S = 0.1
_LIVENESS_S = 10.0
"""Without `Bounds` a round of the neighbour must end within this, the machine's part set aside."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is promised beside any attack, on a machine that does nothing else."""

    worst_round_s: float = 0.25
    share: float = 0.9
    """Of the entitlement, over any two seconds."""


def timing(record: Record, bounds: Bounds | None) -> Iterator[str]:
    """What the neighbour felt that it should not have."""
    rates = record.rates
    if bounds is None:
        if record.worst_own_s > _LIVENESS_S:
            yield f"a round of the neighbour took {record.worst_own_s:.1f} s of the daemon's time"
        return
    if record.worst_round_s > bounds.worst_round_s:
        yield f"the worst round took {record.worst_round_s:.3f} s, {bounds.worst_round_s} allowed"
    if rates.lowest_share < bounds.share:
        yield f"the lowest share over 2 s is {rates.lowest_share:.2f}, {bounds.share} promised"


def leftovers(when: str, before: ProcessFigures, after: ProcessFigures) -> Iterator[str]:
    """What the daemon still has that it had not before."""
    begun = max(0, _COMPILERS - before.children) if after.children else 0
    allowances = {"threads": begun, "descriptors": 2 * begun, "resident_kib": _RESIDENT_KIB}
    for name, allowance in allowances.items():
        had, has = getattr(before, name), getattr(after, name)
        if has > had + allowance:
            yield f"{when} the daemon has {has} {name}, {had} before ({allowance} more allowed)"
    if after.children > _COMPILERS:
        yield f"{when} the daemon has {after.children} children, {_COMPILERS} allowed"


def idleness(record: Record) -> Iterator[str]:
    """Processor time when nobody is there."""
    if record.holdings.idle_cpu_s > _IDLE_CPU_S:
        yield f"without clients the daemon took {record.holdings.idle_cpu_s:.2f} s of 2 s"


def summaries(served: list[dict[str, Any]], honest: set[str]) -> Iterator[str]:
    """Lines ``served`` that cannot be, or that blame an honest guest."""
    for line in served:
        name = line.get("name", "?")
        numbers: Mapping[str, float] = {
            key: value for key, value in line.items() if isinstance(value, (int, float))
        }
        if any(value < 0 for value in numbers.values()) or not 0 <= line.get("share", -1) <= 1:
            yield f"a summary of {name} makes no sense: {line}"
        if name in honest and (line["rejections"] or line["hangs"] or line["engine_resets"]):
            yield f"{name} was honest and is blamed: {line}"
