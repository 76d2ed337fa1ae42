"""What a trial has measured. Plain data, written to disk while the trial goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.hostile_guest.process_figures import ProcessFigures
from tests.fuzz.hostile_guest.timeline import Span


@dataclass
class SlowRound:
    """A round of the neighbour that took long, and what the attacker did meanwhile."""

    span: Span
    steps: list[str]
    machine_s: float = 0.0
    """How much of it the machine took from every process."""


@dataclass
class Rates:
    """The neighbour's verified rounds in a second."""

    alone: float = 0.0
    entitled: float = 0.0
    """Beside another honest guest that wants all it can get, on the attacker's vGPU."""
    attacked: float = 0.0
    lowest: float = 0.0
    """Over two seconds, while attacked."""
    afterwards: float = 0.0
    """Alone again."""
    machine_entitled: float = 0.0
    """Seconds of each second that the machine took while the entitlement was measured,"""
    machine_attacked: float = 0.0
    """and while it was attacked."""

    @property
    def share(self) -> float:
        return self.attacked / self.entitled if self.entitled else 0.0

    @property
    def lowest_share(self) -> float:
        return self.lowest / self.entitled if self.entitled else 0.0


@dataclass
class Holdings:
    """What the daemon held."""

    empty: ProcessFigures | None = None
    """With no client, before any came."""
    before: ProcessFigures | None = None
    """With the neighbour, before the attack."""
    most: ProcessFigures | None = None
    """The greatest of each figure during the attack."""
    after: ProcessFigures | None = None
    """With the neighbour, when the attacker had left."""
    left: ProcessFigures | None = None
    """When all had left."""
    idle_cpu_s: float = 0.0
    """Processor time in two seconds, when all had left."""

    def take_most(self, now: ProcessFigures) -> None:
        old = self.most or now
        pairs = zip(asdict(old).values(), asdict(now).values(), strict=True)
        self.most = ProcessFigures(*(max(pair) for pair in pairs))


@dataclass
class Record:
    """One trial."""

    address_space: str
    ggtt: str
    seed: int
    seconds: float
    strict: bool = False
    kernels: bool = False
    attacked_s: float = 0.0
    rates: Rates = field(default_factory=Rates)
    holdings: Holdings = field(default_factory=Holdings)
    worst_round_s: float = 0.0
    worst_own_s: float = 0.0
    """The same without what the machine took."""
    slow_rounds: list[SlowRound] = field(default_factory=list)
    rounds: int = 0
    """Verified while attacked."""
    newcomers: int = 0
    """Guests that came meanwhile to a third vGPU, worked, and left."""
    episodes: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)
    """How long the attacker was at each action in all, its own waiting for answers included."""
    refused: int = 0
    killed: int = 0
    last_episode: int = 0
    last_step: int = 0
    log_kinds: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def mode(self) -> str:
        return f"{self.address_space}/{self.ggtt}"

    def write(self, path: Path) -> None:
        """As JSON; what was there before stays until the new one is whole."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        fresh.replace(path)

    def to_dict(self) -> dict[str, object]:
        shares = {"share": self.rates.share, "lowest_share": self.rates.lowest_share}
        return {"mode": self.mode, **asdict(self), **shares}
