"""The control socket: accepts, finds out who asks, reads requests, sends replies.

A thread for each connection, of which there is a limited number. A client may stall, flood or send
garbage: a request must be complete within `REQUEST_S`, a reply must be taken within `SEND_S`, more
than `PER_SECOND` requests are slowed down, and what is no request ends the connection.
"""

from __future__ import annotations

import logging
import os
import pwd
import select
import socket
import struct
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from errno import EADDRINUSE, EEXIST, ERANGE
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mmio_trap.vfio_user.peer import Peer, peer_of
from vgpu_ctl.api.messages import (
    API_VERSION,
    MAX_REQUEST,
    ApiError,
    ErrorCode,
    Reply,
    Request,
    encode_line,
)
from vgpu_ctl.api.methods import METHODS

if TYPE_CHECKING:
    from vgpu_ctl.api.service import Service

_LOG = logging.getLogger(__name__)

REQUEST_S = 10.0
"""From the first byte of a request to its last."""
SEND_S = 10.0
"""For a client to take a reply."""
PER_SECOND = 500.0
BURST = 200.0
IDLE_S = 5.0
"""Who has asked for nothing for so long makes room for a client that finds none."""
_PAUSE_S = 0.1
"""Without accepting after an accept has failed."""
_SO_PEERGROUPS = 59
"""Linux: supplementary groups of the peer (unix(7))."""
_GROUPS_BYTES = 1024
"""More Python does not ask for: 256 groups."""


class ControlServer:
    """Serves ``service`` on a socket. Life: ``listen`` or a socket given, ``start``, ``stop``."""

    def __init__(self, service: Service, *, connections: int) -> None:
        self._service = service
        self._limit = connections
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._group: int | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._open: dict[_Conversation, threading.Thread] = {}
        self.turned_away = 0
        """Connections closed at once because there were too many."""

    def listen(self, path: Path, mode: int, group: int | None) -> None:
        """Create the socket, which ``group`` (a number) may use if ``mode`` lets it.

        A socket without a listener is replaced. Raises OSError, EADDRINUSE among them.
        """
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        bound = False
        try:
            os.fchmod(listener.fileno(), 0o600)  # until it is who it should be
            listener.bind(str(path))
            bound = True
            if group is not None:
                os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(mode)
            listener.listen(256)
        except OSError:
            listener.close()
            if bound:
                path.unlink(missing_ok=True)
            raise
        self._listener, self._path = listener, path
        self._group = group if mode & 0o060 else None

    def adopt(self, listener: socket.socket, group: int | None) -> None:
        """Serve on a socket that listens already: systemd's, which also removes it."""
        self._listener, self._group = listener, group

    def start(self) -> None:
        """Begin to accept."""
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End: no more requests, every connection closed, the socket gone. Again: nothing."""
        if self._stopped:
            return
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            threads = dict(self._open)
        for conversation in threads:
            conversation.end()
        for thread in threads.values():
            thread.join()
        if self._listener is not None:
            self._listener.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        os.close(self._wake)

    def _accept(self) -> None:
        listener = self._listener
        assert listener is not None, "listen or adopt first"
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while self._wake not in dict(poller.poll()):
            try:
                connection, _ = listener.accept()
            except OSError as error:
                _LOG.warning("control socket: accept: %s", error)
                select.select((self._wake,), (), (), _PAUSE_S)
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        try:
            peer = peer_of(connection)
            allowed = self._is_allowed(connection, peer)
        except OSError:
            connection.close()
            return
        conversation = _Conversation(connection, peer, self._service, allowed=allowed)
        with self._lock:
            idle = None if len(self._open) < self._limit else self._longest_idle()
            is_full = len(self._open) >= self._limit and idle is None
        if idle is not None:
            _LOG.info("control client, process %d, was idle and makes room", idle.peer.pid)
            idle.end()
        try:
            if is_full:
                raise RuntimeError(f"there are {self._limit} clients already")
            self._begin(conversation)
        except RuntimeError as error:  # also what `start` raises when there can be no more threads
            self._turn_away(conversation, str(error))

    def _begin(self, conversation: _Conversation) -> None:
        thread = threading.Thread(
            target=self._serve, args=(conversation,), name="control client", daemon=True
        )
        with self._lock:
            self._open[conversation] = thread
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._open[conversation]
            raise

    def _longest_idle(self) -> _Conversation | None:
        """The client that has asked for nothing for longest, if that is long; with the lock."""
        before = time.monotonic() - IDLE_S
        idle = [each for each in self._open if 0 < each.idle_since < before]
        return min(idle, key=lambda each: each.idle_since, default=None)

    def _turn_away(self, conversation: _Conversation, why: str) -> None:
        self.turned_away += 1
        if self.turned_away in (1, 10, 100) or self.turned_away % 1000 == 0:
            text = "control socket: %d clients turned away, the last because %s"
            _LOG.warning(text, self.turned_away, why)
        hint = "try again, or raise control.connections"
        conversation.refuse(ApiError(ErrorCode.BUSY, why, hint=hint))
        conversation.close()

    def _serve(self, conversation: _Conversation) -> None:
        try:
            conversation.run()
        except OSError as error:  # the client is gone, or does not take its replies
            _LOG.debug("control client: %s", error)
        except Exception:  # noqa: BLE001 - our bug; this client alone pays for it
            _LOG.exception("a control client is disconnected")
            conversation.refuse(ApiError(ErrorCode.FAILED, "vgpud failed at this: see its log"))
        finally:
            with self._lock:
                del self._open[conversation]
            conversation.close()

    def _is_allowed(self, connection: socket.socket, peer: Peer) -> bool:
        """The socket's mode has let it in; but modes can be changed by accident."""
        if peer.uid in (0, os.geteuid()):
            return True
        if self._group is None:
            return False
        return self._group == peer.gid or self._group in _groups(connection, peer)


class _Conversation:
    """One client's requests."""

    def __init__(
        self, connection: socket.socket, peer: Peer, service: Service, *, allowed: bool
    ) -> None:
        self.peer = peer
        self.idle_since = 0.0
        """Monotonic; 0 while it asks for something."""
        self._socket = connection
        self._service = service
        self._allowed = allowed
        self._identity = 0
        """Of the request that is being answered."""
        self._received = bytearray()
        self._tokens = BURST
        self._refilled_at = time.monotonic()

    def run(self) -> None:
        """Until the client leaves or is not worth listening to. Raises OSError."""
        while (line := self._line()) is not None:
            self._slow_down()
            if not self._answer(line):
                return

    def refuse(self, error: ApiError) -> None:
        """Say why it ends, if the client listens."""
        with suppress(OSError):
            self._send(Reply(id=self._identity, error=error.reply()))

    def end(self) -> None:
        """Have `run` come to its end. Any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _answer(self, line: bytes) -> bool:
        """Whether the conversation goes on."""
        self._identity = 0
        try:
            request = _parsed(line)
            self._identity = request.id
            self._check(request)
            result = self._service.call(request.method, request.params, self.peer)
        except ApiError as error:
            self._send(Reply(id=self._identity, error=error.reply()))
            return error.code is not ErrorCode.PROTOCOL
        if METHODS[request.method].streams:
            return self._stream(result)
        self._send(Reply(id=self._identity, result=msgspec.Raw(msgspec.json.encode(result))))
        return True

    def _check(self, request: Request) -> None:
        if request.api != API_VERSION:
            raise ApiError(
                ErrorCode.UNSUPPORTED,
                f"api: version {request.api} is asked for, this vgpud speaks {API_VERSION}",
                field="api",
            )
        if not self._allowed:
            text = "user %d, process %d, may not use this vgpud: %s is refused"
            _LOG.warning(text, self.peer.uid, self.peer.pid, f"{request.method:.40}")
            raise ApiError(
                ErrorCode.PERMISSION,
                f"user {self.peer.uid} may not use this vgpud",
                hint="become root, or join the group of the control socket",
            )

    def _stream(self, results: Generator[Any, None, None]) -> bool:
        """Send results as they come; False when the client has left."""
        with closing(results):
            self._send(Reply(id=self._identity, more=True))
            for result in results:
                if result is not None:
                    raw = msgspec.Raw(msgspec.json.encode(result))
                    self._send(Reply(id=self._identity, result=raw, more=True))
                if self._has_left():
                    return False
        self._send(Reply(id=self._identity))
        return True

    def _has_left(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLRDHUP)
        return bool(poller.poll(0))

    def _line(self) -> bytes | None:
        """The next request; None when the client has left. Raises OSError, TimeoutError."""
        deadline = time.monotonic() + REQUEST_S if self._received else None
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if len(line) >= MAX_REQUEST:
                self._break_off(f"a request has more than {MAX_REQUEST} bytes")
                return None
            if newline:
                self._received = rest
                return bytes(line)
            self.idle_since = 0.0 if self._received else time.monotonic()
            self._socket.settimeout(None)
            if deadline is not None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(MAX_REQUEST)
            except TimeoutError:
                self._break_off(f"a request was not complete within {REQUEST_S:.0f} s")
                return None
            finally:
                self.idle_since = 0.0
            if not data:
                return None
            self._received += data
            deadline = deadline or time.monotonic() + REQUEST_S

    def _break_off(self, text: str) -> None:
        _LOG.info("control client, process %d: %s", self.peer.pid, text)
        self._identity = 0
        self.refuse(ApiError(ErrorCode.PROTOCOL, text))

    def _send(self, reply: Reply) -> None:
        self._socket.settimeout(SEND_S)
        self._socket.sendall(encode_line(reply))

    def _slow_down(self) -> None:
        """A flood costs its sender time, not the guests."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled_at) * PER_SECOND)
        self._refilled_at = now
        if self._tokens < 1:
            time.sleep((1 - self._tokens) / PER_SECOND)
        self._tokens -= 1


def _parsed(line: bytes) -> Request:
    """The request in a line. Raises ApiError PROTOCOL."""
    try:
        return msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(ErrorCode.PROTOCOL, f"not a request: {error}") from error


def _groups(connection: socket.socket, peer: Peer) -> set[int]:
    """Supplementary groups of the peer, as they were when it connected.

    Who is in more of them than can be asked for has those of the user database.
    """
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno != ERANGE:
            return set()
        try:
            return set(os.getgrouplist(pwd.getpwuid(peer.uid).pw_name, peer.gid))
        except (KeyError, OSError):
            return set()
    return set(struct.unpack(f"{len(raw) // 4}I", raw))


def _remove_stale(path: Path) -> None:
    """Remove a socket without a listener. Raises OSError EADDRINUSE when there is one, or EEXIST.

    A listener that does not accept any more is one, too.
    """
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise OSError(EEXIST, "something that is no socket is there", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(BlockingIOError):
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(EADDRINUSE, "another vgpud listens there", str(path))
