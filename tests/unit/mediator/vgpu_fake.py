"""A vGPU reduced to what register handlers use, with engines that note what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mediator.errors import Reason
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.gen9.identity import KABY_LAKE_GT2, Identity
from mediator.vgpu.fences import Fence
from mediator.vgpu.metrics import VgpuCounters
from mediator.vgpu.mmio_table import REGISTER_MAP
from mediator.vgpu.vgpu_type import TYPES
from mmio_trap.register_map import Register, RegisterFile

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu

MIB = 1 << 20


@dataclass
class Line:
    """An interrupt line; ``edges`` counts how often it rose."""

    level: bool = False
    edges: int = 0

    @property
    def delivered(self) -> int:
        return self.edges

    def set_level(self, asserted: bool) -> None:
        self.edges += asserted and not self.level
        self.level = asserted


@dataclass
class Plan:
    """Two slices of a ballooned GGTT."""

    part: tuple[range, ...] = (range(64 * MIB, 128 * MIB), range(512 * MIB, 1024 * MIB))


@dataclass
class FakeEngine:
    """What a virtual engine says and was told."""

    vgpu: Any
    facts: EngineFacts
    told: list[Any] = field(default_factory=list)
    idle: bool = True
    ready: bool = True
    pointer: int = 0x505

    def write_elsp(self, value: int) -> None:
        self.told.append(value)

    def stop(self) -> None:
        self.told.append("stop")

    def resume(self) -> None:
        self.told.append("resume")

    def stands(self) -> bool:
        return self.idle

    def request_reset(self) -> bool:
        self.told.append("request")
        return self.ready

    def withdraw_reset(self) -> None:
        self.told.append("withdraw")

    def reset(self) -> None:
        self.told.append("reset")

    def ring_head(self) -> int:
        return 0x40

    def ring_tail(self) -> int:
        return 0x80

    def ring_start(self) -> int:
        return 0x40_0000

    def ring_control(self) -> int:
        return 0x3001

    def active_head(self) -> int:
        return 0x1234_8765_4320

    def batch_address(self, *, second: bool) -> int:
        return 0x2_0000_1000 if second else 0x1_0000_2001

    def batch_state(self) -> int:
        return 0x20

    def error_register(self, offset: int) -> int:
        value: int = self.vgpu.registers.values[(self.facts.mmio_base + offset) >> 2]
        return value

    def status(self) -> tuple[int, int]:
        return 0x11, 0x22

    def status_entry(self, dword: int) -> int:
        return 0x100 + dword

    def status_pointer(self) -> int:
        return self.pointer

    def write_status_pointer(self, value: int) -> None:
        self.pointer = value

    def timestamp(self) -> int:
        return 0xA_1234_5678

    def context_timestamp(self) -> int:
        return 0x77


class FakeVgpu:
    """Stands in for Vgpu. ``hardware`` is what passthrough reads find."""

    def __init__(self, identity: Identity = KABY_LAKE_GT2, *, private_ggtt: bool = False) -> None:
        self.index = 2
        self.identity = identity
        self.private_ggtt = private_ggtt
        self.plan = Plan()
        self.counters = VgpuCounters()
        self.interrupts = Line()
        self.fences: dict[int, Fence] = {}
        self.second_events: dict[int, int] = {}
        self.line_held = False
        self.trace = None
        self.type = TYPES["V9_4"]
        self.flushes = 0
        self.hardware: dict[int, int] = {}
        self.switched: list[tuple[int, int]] = []
        self.masks: list[tuple[str, int]] = []
        self.rejected: list[Reason] = []
        self.dispatcher = self
        self.engines = {facts.name: FakeEngine(self, facts) for facts in ENGINES}
        self.registers: RegisterFile[Any] = RegisterFile(REGISTER_MAP, self)

    @property
    def real(self) -> Vgpu:
        """What functions take that are given a vGPU."""
        return cast("Vgpu", self)

    def read_hardware(self, offset: int) -> int:
        return self.hardware[offset]

    def note_switched(self, offset: int, value: int) -> None:
        self.switched.append((offset, value))

    def note_mask(self, _vgpu: FakeVgpu, name: str, mask: int) -> None:
        self.masks.append((name, mask))

    def flush_ggtt(self) -> None:
        self.flushes += 1

    def read_fault(self, offset: int) -> int:
        return self.registers.values[offset >> 2]

    def reject(self, reason: Reason, _text: str, times: int = 1) -> None:
        self.rejected.extend([reason] * times)

    def row(self, name: str) -> Register[Any]:
        """The row called ``name``."""
        return next(row for row in REGISTER_MAP.by_offset.values() if row.name == name)

    def read(self, offset: int) -> int:
        return self.registers.read32(offset)

    def write(self, offset: int, value: int) -> None:
        self.registers.write32(offset, value)
