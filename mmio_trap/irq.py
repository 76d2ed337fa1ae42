"""Interrupts of a PCI function, as a vfio-user client sets them up with SET_IRQS.

The device has one interrupt line (:meth:`Interrupts.set_level`). With MSI enabled a rising line
writes the MSI eventfd once. Without, the line drives INTx as VFIO defines it (linux/vfio.h,
VFIO_IRQ_INFO_AUTOMASKED): asserted once, then masked until the client unmasks it by message or by
eventfd, and asserted again then if the line is still up.

Whatever a client passes as an eventfd, and does to it later, no thread waits for it but the one
that watches its unmask eventfd: see :mod:`mmio_trap.event_signal` and
:mod:`mmio_trap.signal_pace`.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from errno import EAGAIN

from mmio_trap.event_signal import EventSignal
from mmio_trap.signal_pace import SignalPace

INTX = 0
MSI = 1
_UNMASK_PAUSE_S = 500e-6
"""Seconds from one unmask by eventfd to the next: a client that writes it for ever gets no more of
the interpreter than this leaves it."""


@dataclass(slots=True)
class _Vector:
    """One interrupt vector: its eventfd, and what waits behind a mask."""

    trigger: EventSignal | None = None
    masked: bool = False
    pending: bool = False


class _Unmasker:
    """The thread that waits for INTx's unmask eventfd (KVM's resample eventfd)."""

    def __init__(self, fd: int, unmask: Callable[[], None]) -> None:
        self._unmask = unmask
        self._eventfd = EventSignal(fd)
        try:
            self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        except OSError:
            self._eventfd.close()
            raise
        self._thread = threading.Thread(target=self._watch, name="intx-unmask", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            os.close(self._stop)
            self._eventfd.close()
            raise OSError(EAGAIN, "no thread for the unmask eventfd") from error

    def close(self) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self._eventfd.close()

    def _watch(self) -> None:
        """Edges, and no read: the client may read its eventfd first, and ours would block."""
        with select.epoll() as poller:
            poller.register(self._eventfd.fd, select.EPOLLIN | select.EPOLLET)
            poller.register(self._stop, select.EPOLLIN)
            while self._stop not in dict(poller.poll()):
                self._unmask()
                time.sleep(_UNMASK_PAUSE_S)


class Interrupts:
    """The vectors of every IRQ index, and the device's line. All methods may race.

    ``counts`` are the vectors per IRQ index (:class:`mmio_trap.device.IrqIndex`); ``pace`` signals
    them.
    """

    def __init__(self, counts: Sequence[int], pace: SignalPace | None = None) -> None:
        self._vectors = [[_Vector() for _ in range(count)] for count in counts]
        self._lock = threading.Lock()
        self._level = False
        self._unmasker: _Unmasker | None = None
        self.delivered = 0
        """Eventfd writes so far."""
        self._pace = pace or SignalPace()

    # The device's side

    def set_level(self, asserted: bool) -> None:
        """Drive the device's interrupt line; returns at once."""
        if asserted == self._level:
            return
        with self._lock:
            rising = asserted and not self._level
            self._level = asserted
            if rising:
                self._line_up()

    def trigger(self, index: int, vector: int) -> None:
        """Fire one vector, whatever the line says: nothing happens when it has no eventfd."""
        with self._lock:
            self._fire(index, self._vectors[index][vector])

    @property
    def msi_enabled(self) -> bool:
        """Whether the client has given the first MSI vector an eventfd."""
        vectors = self._vectors[MSI] if len(self._vectors) > MSI else []
        return bool(vectors) and vectors[0].trigger is not None

    def _line_up(self) -> None:
        if self.msi_enabled:
            self._fire(MSI, self._vectors[MSI][0])
        elif self._vectors and self._vectors[INTX]:
            self._fire(INTX, self._vectors[INTX][0])

    def _fire(self, index: int, vector: _Vector) -> None:
        if vector.trigger is None:
            return
        if vector.masked:
            vector.pending = index != INTX  # INTx is a level: the line itself is what is pending
            return
        self._pace.signal(vector.trigger)
        self.delivered += 1
        if index == INTX:
            vector.masked = True

    # The client's side (SET_IRQS); the caller has checked index, start and count

    def set_triggers(self, index: int, start: int, fds: Sequence[int | None]) -> None:
        """Give vectors ``start``... their eventfds, None = none; the fds stay the caller's.

        Raises OSError EINVAL for what is no eventfd, with nothing changed.
        """
        owned: list[EventSignal | None] = []
        try:
            for fd in fds:
                own = None if fd is None else EventSignal(fd)
                owned.append(own)
        except OSError:
            self._close_all(owned)
            raise
        with self._lock:
            vectors = self._vectors[index][start : start + len(owned)]
            replaced = [vector.trigger for vector in vectors]
            for vector, trigger in zip(vectors, owned, strict=True):
                vector.trigger = trigger
                vector.pending = False
                vector.masked = vector.masked and trigger is not None and index != INTX
            armed = start == 0 and bool(owned) and owned[0] is not None
            if self._level and armed and index == self._line_index():
                self._line_up()
        self._close_all(replaced)

    def disable(self, index: int) -> None:
        """Take every vector of ``index`` its eventfds, mask and pending state."""
        unmasker = None
        with self._lock:
            replaced = [vector.trigger for vector in self._vectors[index]]
            self._vectors[index] = [_Vector() for _ in replaced]
            if index == INTX:
                unmasker, self._unmasker = self._unmasker, None
            if index == MSI and self._level and replaced:
                self._line_up()  # the line is still up and INTx carries it now
        self._close_all(replaced)
        if unmasker is not None:
            unmasker.close()

    def mask(self, index: int, vector: int) -> None:
        """Hold the vector back."""
        with self._lock:
            self._vectors[index][vector].masked = True

    def unmask(self, index: int, vector: int) -> None:
        """Let the vector through; what was held back fires now."""
        with self._lock:
            chosen = self._vectors[index][vector]
            held = chosen.masked and (
                chosen.pending or (self._level and vector == 0 and index == self._line_index())
            )
            chosen.masked = False
            chosen.pending = False
            if held:
                self._fire(index, chosen)

    def set_unmask_eventfd(self, fd: int | None) -> None:
        """Unmask INTx whenever ``fd`` is written; None stops that. The fd stays the caller's.

        Raises OSError: EINVAL for what is no eventfd, EAGAIN when there is no thread to watch it.
        """
        fresh = None if fd is None else _Unmasker(fd, lambda: self.unmask(INTX, 0))
        with self._lock:
            old, self._unmasker = self._unmasker, fresh
        if old is not None:
            old.close()

    def close(self) -> None:
        """Disable every index and close every file descriptor."""
        for index in range(len(self._vectors)):
            self.disable(index)
        self._level = False

    def _line_index(self) -> int:
        return MSI if self.msi_enabled else INTX

    def _close_all(self, owned: Iterable[EventSignal | None]) -> None:
        for each in owned:
            if each is not None:
                self._pace.close(each)
