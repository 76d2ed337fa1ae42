"""A GPU reduced to what register handlers use: registers, clock, interrupt line and counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.gen9.identity import KABY_LAKE_GT2, Identity
from mediator.softgpu.answers import Answers
from mediator.softgpu.engine_registers import engine_rows
from mediator.softgpu.fences import Fence
from mediator.softgpu.mmio_table import build_map
from mediator.softgpu.power import PowerState
from mmio_trap.register_map import Register, RegisterFile

_MAP = build_map([row for facts in ENGINES for row in engine_rows(facts)])


@dataclass
class _Totals:
    busy_ns: int = 0


@dataclass
class _Engine:
    facts: EngineFacts
    totals: _Totals = field(default_factory=_Totals)
    resets: int = 0

    def reset(self) -> None:
        self.resets += 1


@dataclass
class _Line:
    level: bool = False

    def set_level(self, asserted: bool) -> None:
        self.level = asserted


@dataclass
class _Counters:
    interrupts: int = 0


class RegisterGpu:
    """Stands in for SoftGpu in register tests; ``now`` is its clock in nanoseconds."""

    def __init__(self, identity: Identity = KABY_LAKE_GT2) -> None:
        self.identity = identity
        self.now = 1_000_000_000
        self.idle = True
        self.flushes = 0
        self.fences: dict[int, Fence] = {}
        self.queued_events: dict[int, int] = {}
        self.answers = Answers(None)
        self.power = PowerState()
        self.counters = _Counters()
        self.interrupts = _Line()
        self.engines = {facts.name: _Engine(facts) for facts in ENGINES}
        self.registers: RegisterFile[Any] = RegisterFile(_MAP, self)

    def clock(self) -> int:
        return self.now

    def flush_translations(self) -> None:
        self.flushes += 1

    publish_entries = flush_translations

    def row(self, name: str) -> Register[Any]:
        """The row called ``name``."""
        return next(row for row in self.registers.map.by_offset.values() if row.name == name)

    def read(self, offset: int) -> int:
        return self.registers.read32(offset)

    def write(self, offset: int, value: int) -> None:
        self.registers.write32(offset, value)
