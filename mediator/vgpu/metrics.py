"""Counters of one vGPU, beside which nothing else counts; plain data, bounded, serialisable."""

from __future__ import annotations

from dataclasses import dataclass, field

_UNIT_BITS = 8
"""Times below 256 ns are one: a finer clock does not see them."""
_FINE_BITS = 4
"""16 buckets for each power of two: half a bucket is 3 % of its value."""
_LONGEST_BITS = 40
"""Everything from 18 minutes on is in the last bucket."""
_FINE = 1 << _FINE_BITS
BUCKETS = (_LONGEST_BITS - _UNIT_BITS - _FINE_BITS + 1) << _FINE_BITS


def bucket_of(value_ns: int) -> int:
    """The bucket, in [0, BUCKETS), of a time in ns; negative ones count as 0."""
    units = max(0, value_ns) >> _UNIT_BITS
    octave = max(0, units.bit_length() - 1 - _FINE_BITS)
    return min((octave << _FINE_BITS) + (units >> octave), BUCKETS - 1)


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
        value = max(0, value_ns)
        self.counts[bucket_of(value)] += 1
        self.total_ns += value
        self.longest_ns = max(self.longest_ns, value)

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


@dataclass
class VgpuCounters:
    """What one vGPU did and what was done to it since its client came."""

    requests: int = 0
    """Contexts submitted: audited, shadowed and queued."""
    submissions: int = 0
    """Execution lists that the guest wrote."""
    gpu_ns: int = 0
    """Time for which it had the GPU, as charged by the policy's rules."""
    waits: WaitHistogram = field(default_factory=WaitHistogram)
    """From the submission of a context to its being given to the hardware."""
    notifications: int = 0
    """Messages of the guest through its PVINFO page."""
    traps_read: int = 0
    traps_write: int = 0
    rejections: dict[str, int] = field(default_factory=dict)
    """What was refused, by `mediator.errors.Reason`."""
    engine_resets: int = 0
    """Engine resets that the guest asked for."""
    full_resets: int = 0
    """Resets of all engines, and of the function, that the guest asked for."""
    hangs: int = 0
    """Engines found hung by the watchdog or by an error of the guest."""
    world_switches: int = 0
    """How often it was given the GPU after another vGPU had it."""

    def reject(self, reason: str) -> None:
        """Count a refusal."""
        self.rejections[reason] = self.rejections.get(reason, 0) + 1

    def to_summary(self) -> Summary:
        """The numbers that a person or a program may read."""
        return {
            "requests": self.requests,
            "submissions": self.submissions,
            "gpu_seconds": round(self.gpu_ns / 1e9, 6),
            "wait_p50_ms": round(self.waits.quantile(0.5) / 1e6, 3),
            "wait_p99_ms": round(self.waits.quantile(0.99) / 1e6, 3),
            "wait_max_ms": round(self.waits.longest_ns / 1e6, 3),
            "reads": self.traps_read,
            "writes": self.traps_write,
            "rejections": dict(sorted(self.rejections.items())),
            "engine_resets": self.engine_resets,
            "full_resets": self.full_resets,
            "hangs": self.hangs,
            "notifications": self.notifications,
            "world_switches": self.world_switches,
        }
