"""What a command streamer asks of the engine that it belongs to: an interface, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mediator.softgpu.address_space import AddressSpace, Ggtt, PageFault
    from mediator.softgpu.counters import CommandCounters
    from mediator.softgpu.eu.dispatch.units import ExecutionUnits
    from mediator.softgpu.pipeline_state import PipelineState


class PrivilegeCheck(Protocol):
    """What a user batch may do."""

    @property
    def checked(self) -> bool:
        """User batches are held back at all."""

    def may_write(self, offset: int) -> bool:
        """Whether a user batch may write the register at BAR0 ``offset``."""


class CommandHost(Protocol):
    """What the streamer asks of its engine."""

    @property
    def name(self) -> str:
        """Engine name, such as rcs0."""

    @property
    def engine_class(self) -> str:
        """RCS, BCS, VCS or VECS."""

    @property
    def mmio_base(self) -> int:
        """BAR0 offset of the engine's registers."""

    @property
    def attention(self) -> bool:
        """Return at the next arbitration point."""

    @property
    def abandon(self) -> bool:
        """Return as soon as a command is complete, wherever that is."""

    @property
    def reads_on(self) -> bool:
        """A command of the ring is fetched whole: past the tail, and straight on past the end."""

    @property
    def pause(self) -> bool:
        """Let go of the guest memory soon; the next run goes on from there."""

    @property
    def preemption_level(self) -> int:
        """Where threads may be interrupted (`gen9/eu/walker.py`): 0 anywhere."""

    @property
    def pipeline(self) -> PipelineState:
        """State commands that the context keeps."""

    @property
    def units(self) -> ExecutionUnits:
        """What runs the programs of GPGPU and media commands."""

    @property
    def privilege(self) -> PrivilegeCheck:
        """What user batches may do."""

    @property
    def ggtt(self) -> Ggtt:
        """The global address space."""

    @property
    def ppgtt(self) -> AddressSpace:
        """The running context's address space."""

    @property
    def status_page(self) -> int:
        """GGTT address of the engine's hardware status page."""

    @property
    def context_page(self) -> int:
        """GGTT address of the running context's per-process status page."""

    @property
    def counters(self) -> CommandCounters:
        """Where commands are counted."""

    def read_register(self, offset: int) -> int:
        """Dword at BAR0 ``offset``."""

    def write_register(self, offset: int, value: int) -> None:
        """Write a dword at BAR0 ``offset``."""

    def notify(self, bit: int) -> None:
        """Raise interrupt ``bit`` of the engine."""

    def timestamp(self) -> int:
        """The 36-bit timestamp."""

    def flush_tlb(self) -> None:
        """Drop cached translations."""

    def aside(self) -> AbstractContextManager[None]:
        """Inside, other engines may run Python: for long work in C."""

    def hang(
        self, reason: str, *, address: int, command: int | None, fault: PageFault | None
    ) -> None:
        """Nothing runs until reset. ``address`` is that of the command."""
