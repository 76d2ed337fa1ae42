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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from mmio_trap.device import PciDevice
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.vfio_user.peer import Peer
from mmio_trap.vfio_user.protocol import PeerError
from mmio_trap.vfio_user.session import Session
from mmio_trap.vfio_user.transport import Connection

_LOG = logging.getLogger(__name__)
_DETACH_TIMEOUT = 10.0
"""Seconds a new client waits at most for the device to let go of one that has left."""
_ACCEPT_PAUSE = 0.1
"""Seconds without accepting after an accept has failed."""


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
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``owner``: user and group of the socket, -1 for one that stays this process's.

        ``on_change`` is called by the client's thread when `peer` is another: after the device has
        been attached, and after it was detached.
        """
        self.path = path
        self._device = device
        self._mode = mode
        self._owner = owner
        self._require_seal = require_seal
        self._on_change = on_change
        self.peer: Peer | None = None
        """Who is being served."""
        self._listener: socket.socket | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._active: tuple[Connection, threading.Thread] | None = None
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
        try:
            while True:
                ready = dict(poller.poll())
                if self._wake in ready:
                    return
                try:
                    client, _ = listener.accept()
                except OSError as error:  # the client is gone again, or descriptors are short
                    _LOG.warning("%s: accept: %s", self.path, error)
                    select.select((self._wake,), (), (), _ACCEPT_PAUSE)
                    continue
                self._welcome(client)
        finally:
            self._end()

    def stop(self) -> None:
        """Make :meth:`serve_forever` end its client's connection and return."""
        os.eventfd_write(self._wake, 1)

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the present client, if any, is gone for good; False when it stays longer."""
        active = self._active
        if active is None:
            return True
        active[1].join(timeout)
        return not active[1].is_alive()

    def close(self) -> None:
        """Release what a server holds that is not serving; ``stop`` it first, and not after."""
        self._end()
        os.close(self._wake)
        self._wake = -1

    def _end(self) -> None:
        if self._active is not None:
            connection, thread = self._active
            connection.shut_down()
            thread.join()
            self._active = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            Path(self.path).unlink(missing_ok=True)

    def _welcome(self, client: socket.socket) -> None:
        connection = Connection(client)
        if self._active is not None:
            present, thread = self._active
            if present.peer_has_left():
                thread.join(_DETACH_TIMEOUT)
            if thread.is_alive():
                self.turned_away += 1
                _LOG.warning("%s: a second client was turned away", self.path)
                connection.close()
                return
        self.clients += 1
        thread = threading.Thread(
            target=self._serve, args=(connection,), name=f"vfio-user {self.path}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            _LOG.error("%s: a client cannot be served: %s", self.path, error)
            connection.close()
            return
        self._active = (connection, thread)

    def _serve(self, connection: Connection) -> None:
        """One client from its first byte to its last."""
        try:
            with ExitStack() as stack:
                stack.callback(connection.close)
                memory = GuestMemory(require_seal=self._require_seal)
                stack.callback(memory.close)
                interrupts = Interrupts(self._device.irq_counts)
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

    def _note_peer(self, peer: Peer | None) -> None:
        self.peer = peer
        self._on_change()

    def _converse(self, connection: Connection, session: Session) -> None:
        while (request := connection.receive()) is not None:
            try:
                reply = session.answer(request)
            finally:
                if request.fds:
                    request.close()
            if reply is not None:
                connection.send(reply.data, reply.fds)


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
