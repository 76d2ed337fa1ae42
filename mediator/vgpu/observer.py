"""Who hears of what happens to a vGPU: the daemon's control plane, or a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu


class VgpuObserver(Protocol):
    """Told by the thread to which it happens, with the vGPU's lock held: must not wait."""

    def attached(self, vgpu: Vgpu) -> None:
        """A client has come."""

    def detached(self, vgpu: Vgpu) -> None:
        """The client has gone; the counters still have what it did."""

    def hung(self, vgpu: Vgpu, engine: str, reason: str) -> None:
        """An engine stands until the guest resets it."""

    def was_reset(self, vgpu: Vgpu, what: str) -> None:
        """The guest or an operator has reset ``what``: an engine's name, or `function`."""

    def refused(self, vgpu: Vgpu, reason: str, text: str) -> None:
        """The mediator has refused something; as often as the guest likes."""


class Unobserved:
    """Nobody listens. A base for those who care for some of it."""

    def attached(self, vgpu: Vgpu) -> None:
        """See `VgpuObserver`."""

    def detached(self, vgpu: Vgpu) -> None:
        """See `VgpuObserver`."""

    def hung(self, vgpu: Vgpu, engine: str, reason: str) -> None:
        """See `VgpuObserver`."""

    def was_reset(self, vgpu: Vgpu, what: str) -> None:
        """See `VgpuObserver`."""

    def refused(self, vgpu: Vgpu, reason: str, text: str) -> None:
        """See `VgpuObserver`."""
