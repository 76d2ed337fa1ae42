"""The vfio-user server: one socket, one device, one client at a time.

One blocking thread serves the client (faster than an event loop, and a slow client delays only
itself); the thread in :meth:`Server.serve_forever` accepts, and turns further clients away at
once: QEMU holds its global lock while it waits for an answer.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mmio_trap.closers import Closers
from mmio_trap.device import PciDevice
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.memory_budget import UNLIMITED, MemoryBudget
from mmio_trap.signal_pace import SignalPace
from mmio_trap.vfio_user.peer import Peer
from mmio_trap.vfio_user.protocol import MAX_MSG_FDS, Message, PeerError
from mmio_trap.vfio_user.session import Session
from mmio_trap.vfio_user.transport import PATIENCE_S, Connection

_LOG = logging.getLogger(__name__)
_DETACH_TIMEOUT = 10.0
"""Seconds a new client waits at most for the device to let go of one that has left."""
_CLOSE_TIMEOUT = 1.0
"""Seconds it waits for files that this one has passed to be closed."""
_ACCEPT_PAUSE_MS = 100
"""Without accepting after an accept has failed."""


@dataclass(frozen=True, slots=True)
class _Present:
    """The client that is being served."""

    connection: Connection
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when nothing of it is left."""


class Server:
    """Serves ``device`` on the UNIX socket ``path`` (permissions ``mode``).

    Life: ``listen``, ``serve_forever`` in any thread, ``stop`` from any other or from a signal
    handler. ``serve_forever`` listens by itself when nobody has.
    """

    def __init__(
        self,
        device: PciDevice,
        path: str,
        *,
        mode: int = 0o600,
        owner: tuple[int, int] | None = None,
        require_seal: bool = False,
        budget: MemoryBudget = UNLIMITED,
        on_change: Callable[[], None] = lambda: None,
        patience: float = PATIENCE_S,
    ) -> None:
        """``owner``: user and group of the socket, -1 for one that stays this process's.

        ``budget``: what a client's memory may take of what all clients of the process share.
        ``on_change`` is called by the client's thread when `peer` is another: after the device has
        been attached, and after it was detached.

        ``patience``: seconds that a client has for its VERSION, and then for each message from its
        first byte to its last and for the reading of each reply. Between messages it has all the
        time in the world.
        """
        self.path = path
        self._device = device
        self._mode = mode
        self._owner = owner
        self._require_seal = require_seal
        self._budget = budget
        self._on_change = on_change
        self._patience = patience
        self.peer: Peer | None = None
        """Who is being served."""
        self._listener: socket.socket | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._present: _Present | None = None
        self._closers = Closers()
        self._pace = SignalPace()
        self.clients = 0
        """Clients served so far, the present one included."""
        self.turned_away = 0
        """Clients closed at once because another was being served."""

    def listen(self) -> None:
        """Create the socket; clients may connect from now on.

        A socket file that nobody listens on any more is replaced. Raises OSError: EADDRINUSE when
        somebody listens there, EEXIST when the path is no socket.
        """
        _remove_stale(self.path)
        listener, bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), False
        try:
            os.fchmod(listener.fileno(), self._mode)  # bind gives the file this, less the umask
            listener.bind(self.path)
            bound = True
            if self._owner is not None:
                os.chown(self.path, *self._owner, follow_symlinks=False)
            Path(self.path).chmod(self._mode)
            listener.listen(8)
        except OSError:
            listener.close()
            if bound:
                Path(self.path).unlink(missing_ok=True)
            raise
        self._listener = listener

    def serve_forever(self) -> None:
        """Accept clients until :meth:`stop`; the socket file is gone on return."""
        if self._listener is None:
            self.listen()
        listener = self._listener
        assert listener is not None
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        stopping = select.poll()
        stopping.register(self._wake, select.POLLIN)
        complaint = ""
        try:
            while True:
                ready = dict(poller.poll())
                if self._wake in ready:
                    return
                try:
                    client, _ = listener.accept()
                except OSError as error:  # the client is gone again, or descriptors are short
                    if complaint != (complaint := _accept_complaint(error)):
                        _LOG.warning("%s: a client waits: %s", self.path, complaint)
                    stopping.poll(_ACCEPT_PAUSE_MS)
                    continue
                complaint = ""
                self._welcome(client)
        finally:
            self._end()

    def stop(self) -> None:
        """Make :meth:`serve_forever` end its client's connection and return."""
        os.eventfd_write(self._wake, 1)

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the present client, if any, is gone for good; False when it stays longer."""
        present = self._present
        return present is None or present.gone.wait(timeout)

    def close(self) -> None:
        """Release what a server holds that is not serving; ``stop`` it first, and not after."""
        self._end()
        os.close(self._wake)
        self._wake = -1

    def _end(self) -> None:
        if self._present is not None:
            self._present.connection.shut_down()
            self._present.gone.wait()
            self._present = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            Path(self.path).unlink(missing_ok=True)

    def _welcome(self, client: socket.socket) -> None:
        connection = Connection(client, self._patience, self._closers.let_go)
        reason = self._objection()
        if reason:
            self.turned_away += 1
            _LOG.warning("%s: a client was turned away: %s", self.path, reason)
            connection.close()
            return
        self.clients += 1
        # Known before its thread runs: whoever sees it served finds it here.
        present = self._present = _Present(connection)
        thread = threading.Thread(
            target=self._serve, args=(present,), name=f"vfio-user {self.path}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            _LOG.error("%s: a client cannot be served: %s", self.path, error)
            connection.close()
            present.gone.set()

    def _objection(self) -> str:
        """Why no client can be served now; empty when one can."""
        present = self._present
        if present is not None:
            if present.connection.peer_has_left():
                present.gone.wait(_DETACH_TIMEOUT)
            if not present.gone.is_set():
                return "another is being served"
        if not self._closers.done(_CLOSE_TIMEOUT):
            return "files that an earlier one has passed cannot be closed, and still hang"
        return ""

    def _serve(self, present: _Present) -> None:
        """One client from its first byte to its last."""
        connection = present.connection
        try:
            with ExitStack() as stack:
                stack.callback(connection.close)
                memory = GuestMemory(require_seal=self._require_seal, budget=self._budget)
                stack.callback(memory.close)
                interrupts = Interrupts(self._device.irq_counts, self._pace)
                stack.callback(interrupts.close)
                self._device.attach(memory, interrupts)
                stack.callback(self._note_peer, None)
                stack.callback(self._device.detach)
                self._note_peer(connection.peer())
                _LOG.info("%s: client connected", self.path)
                self._converse(connection, Session(self._device, memory, interrupts))
            _LOG.info("%s: client left", self.path)
        except PeerError as error:
            _LOG.warning("%s: client disconnected: %s", self.path, error)
        except ConnectionError as error:
            _LOG.info("%s: client left: %s", self.path, error)
        except Exception:  # noqa: BLE001 - the one place: our bug, this client alone pays for it
            _LOG.exception("%s: client disconnected", self.path)
        finally:
            present.gone.set()

    def _note_peer(self, peer: Peer | None) -> None:
        self.peer = peer
        self._on_change()

    def _converse(self, connection: Connection, session: Session) -> None:
        deadline: float | None = time.monotonic() + self._patience  # it holds the only place
        while (request := connection.receive(deadline)) is not None:
            try:
                reply = session.answer(request)
            finally:
                if request.fds:
                    self._let_go(request)
            if reply is not None:
                connection.send(reply.data, reply.fds)
            if deadline is not None and session.version is not None:
                deadline = None

    def _let_go(self, request: Message) -> None:
        """Close the descriptors nobody took. Raises PeerError when too many are of hung files."""
        request.close(self._closers.let_go)
        if self._closers.busy > MAX_MSG_FDS:
            raise PeerError("files that it has passed cannot be closed")


def _accept_complaint(error: OSError) -> str:
    """Why a client could not be accepted, for people."""
    shortage = {
        errno.EMFILE: "vgpud has no file descriptor left: raise its `ulimit -n` (LimitNOFILE)",
        errno.ENFILE: "the machine has no file descriptor left: raise the sysctl fs.file-max",
    }
    return shortage.get(error.errno or 0, f"accept: {error.strerror}")


def _remove_stale(path: str) -> None:
    """Remove a socket file without a listener. Raises OSError EADDRINUSE or EEXIST."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "exists and is not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, "another server listens here", path)
