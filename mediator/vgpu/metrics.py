"""Counters of one vGPU, beside which nothing else counts; plain data, bounded, serialisable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mediator.gen9.engines import ENGINES
from mediator.physical.compute_work import ComputeWork

_UNIT_BITS = 8
"""Times below 256 ns are one: a finer clock does not see them."""
_FINE_BITS = 4
"""16 buckets for each power of two: half a bucket is 3 % of its value."""
_LONGEST_BITS = 40
"""Everything from 18 minutes on is in the last bucket."""
BUCKETS = (_LONGEST_BITS - _UNIT_BITS - _FINE_BITS + 1) << _FINE_BITS


def bucket_of(value_ns: int) -> int:
    """The bucket, in [0, BUCKETS), of a time in ns; negative ones count as 0."""
    units = value_ns >> _UNIT_BITS
    octave = units.bit_length() - 1 - _FINE_BITS
    if octave <= 0:
        return units if units > 0 else 0
    bucket = (octave << _FINE_BITS) + (units >> octave)
    return bucket if bucket < BUCKETS else BUCKETS - 1


def bucket_range(bucket: int) -> range:
    """The times in ns that share a bucket; the last one has no end, and what is given is short."""
    octave = max(0, (bucket >> _FINE_BITS) - 1)
    first = bucket - (octave << _FINE_BITS)
    shift = octave + _UNIT_BITS
    return range(first << shift, (first + 1) << shift)


@dataclass
class WaitHistogram:
    """How long requests waited: buckets that grow with the value, each within 3 % of its middle."""

    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    total_ns: int = 0
    longest_ns: int = 0

    @property
    def count(self) -> int:
        """Values recorded."""
        return sum(self.counts)

    def record(self, value_ns: int) -> None:
        """Count a time in ns."""
        self.counts[bucket_of(value_ns)] += 1
        if value_ns > 0:
            self.total_ns += value_ns
            if value_ns > self.longest_ns:
                self.longest_ns = value_ns

    def quantile(self, part: float) -> int:
        """The ns that ``part`` (0 to 1) of the values do not exceed; 0 without values.

        The middle of a bucket, so within 3 % or 128 ns, and never more than the longest. Raises
        ValueError for a part outside 0 to 1.
        """
        if not 0 <= part <= 1:
            raise ValueError(f"quantile {part}: 0 to 1 are allowed")
        due = part * self.count
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= due:
                if bucket == BUCKETS - 1:
                    break
                times = bucket_range(bucket)
                return min((times.start + times.stop) // 2, self.longest_ns)
        return self.longest_ns

    def merge(self, other: WaitHistogram) -> None:
        """Add what ``other`` recorded."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total_ns += other.total_ns
        self.longest_ns = max(self.longest_ns, other.longest_ns)


Summary = dict[str, int | float | dict[str, int]]


class Failure(StrEnum):
    """Why a request did not come to its end."""

    REFUSED = "refused"
    """By the audit: it never ran."""
    HANG = "hang"
    """It stood, and its guest reset the engine."""
    RESET = "reset"
    """It ran or waited when its engine, or the whole vGPU, was reset."""
    CLIENT_GONE = "client-gone"


@dataclass
class EngineCounters:
    """What one virtual engine did. A request is one submission of one context.

    Every request ends in one way: submitted = completed + preempted + failed + those still there.
    """

    submitted: int = 0
    completed: int = 0
    preempted: int = 0
    """Taken back by the guest's driver, or ended by a wait for a semaphore: it submits them again.
    """
    failed: dict[str, int] = field(default_factory=dict)
    """By `Failure`."""
    busy_ns: int = 0
    """Time for which the hardware's engine had a context of this vGPU."""
    waits: WaitHistogram = field(default_factory=WaitHistogram)
    """From the submission of a context to its being given to the hardware."""
    latency: WaitHistogram = field(default_factory=WaitHistogram)
    """From the submission of a context to its end."""

    def fail(self, why: Failure, count: int = 1) -> None:
        """``count`` requests have failed."""
        if count:
            self.failed[why] = self.failed.get(why, 0) + count


TRAP_CLASSES = ("register", "gtt", "aperture", "config")
"""What an access can reach; ``register`` is all that is none of the others."""


@dataclass
class TrapCounters:
    """Accesses of one class that reached the daemon."""

    reads: int = 0
    writes: int = 0


@dataclass
class VgpuCounters:
    """What one vGPU did and what was done to it."""

    submissions: int = 0
    """Execution lists that the guest wrote."""
    gpu_ns: int = 0
    """Time for which it had the GPU, as charged by the policy's rules."""
    engines: dict[str, EngineCounters] = field(
        default_factory=lambda: {facts.name: EngineCounters() for facts in ENGINES}
    )
    notifications: int = 0
    """Messages of the guest through its PVINFO page."""
    traps: dict[str, TrapCounters] = field(
        default_factory=lambda: {name: TrapCounters() for name in TRAP_CLASSES}
    )
    trap_times: WaitHistogram = field(default_factory=WaitHistogram)
    """From the arrival of a trap at the vGPU to its answer."""
    gtt_updates: int = 0
    """Entries of the global GTT that the guest wrote, by traps or by commands."""
    interrupts: int = 0
    """Times that the function's interrupt line rose."""
    rejections: dict[str, int] = field(default_factory=dict)
    """What was refused, by `mediator.errors.Reason`."""
    engine_resets: int = 0
    """Engines that the guest reset, one by one: its driver found them hung."""
    full_resets: int = 0
    """Resets of all engines at once, and of the function: also each load of a driver has some."""
    hangs: int = 0
    """Engines that came to stand: by the watchdog, an error of the guest, or the operator."""
    faults: int = 0
    """Page faults among the hangs."""
    world_switches: int = 0
    """How often it was given the GPU after another vGPU had it."""
    preemptions: int = 0
    """How often its slice ended while it had more to do."""
    attaches: int = 0
    """Clients that came."""
    compute: ComputeWork = field(default_factory=ComputeWork)
    """What execution units did for it until it left the hardware last."""

    def reject(self, reason: str, times: int = 1) -> None:
        """Count a refusal, or some of one kind."""
        self.rejections[reason] = self.rejections.get(reason, 0) + times

    @property
    def requests(self) -> int:
        """Contexts submitted, on all engines."""
        return sum(engine.submitted for engine in self.engines.values())

    @property
    def traps_read(self) -> int:
        """Reads that reached the daemon."""
        return sum(traps.reads for traps in self.traps.values())

    @property
    def traps_write(self) -> int:
        """Writes that reached the daemon."""
        return sum(traps.writes for traps in self.traps.values())

    def check(self) -> None:
        """Raises ValueError unless it has all parts: it may come from elsewhere."""
        histograms = [self.trap_times]
        for engine in self.engines.values():
            histograms += [engine.waits, engine.latency]
        if set(self.engines) != {facts.name for facts in ENGINES}:
            raise ValueError(f"counters of the engines {sorted(self.engines)}")
        if set(self.traps) != set(TRAP_CLASSES):
            raise ValueError(f"counters of the trap classes {sorted(self.traps)}")
        if any(len(histogram.counts) != BUCKETS for histogram in histograms):
            raise ValueError(f"a histogram has not {BUCKETS} buckets")

    def waits(self) -> WaitHistogram:
        """How long requests waited, on all engines."""
        merged = WaitHistogram()
        for engine in self.engines.values():
            merged.merge(engine.waits)
        return merged

    def to_summary(self) -> Summary:
        """The numbers that a person or a program may read."""
        waits = self.waits()
        return {
            "requests": self.requests,
            "submissions": self.submissions,
            "gpu_seconds": round(self.gpu_ns / 1e9, 6),
            "wait_p50_ms": round(waits.quantile(0.5) / 1e6, 3),
            "wait_p99_ms": round(waits.quantile(0.99) / 1e6, 3),
            "wait_max_ms": round(waits.longest_ns / 1e6, 3),
            "reads": self.traps_read,
            "writes": self.traps_write,
            "rejections": dict(sorted(self.rejections.items())),
            "engine_resets": self.engine_resets,
            "full_resets": self.full_resets,
            "hangs": self.hangs,
            "notifications": self.notifications,
            "world_switches": self.world_switches,
            "kernels": self.compute.kernels,
        }


@dataclass
class GpuCounters:
    """What one physical GPU did since it was brought up, for all vGPUs that ever were on it."""

    since_ns: int
    """When that was."""
    busy_ns: int = 0
    """Time charged to vGPUs."""
    engine_ns: dict[str, int] = field(default_factory=lambda: {facts.name: 0 for facts in ENGINES})
    """By engine: time for which it had a guest's context."""
    world_switches: int = 0
    preemptions: int = 0
    """Slices that ended while their vGPU had more to do."""
    restarts: int = 0
    """Times that it had to be brought up from cold."""
