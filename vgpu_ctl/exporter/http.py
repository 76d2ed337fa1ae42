"""The HTTP server of the metrics: small, for clients that cannot be trusted.

One request for each connection (HTTP/1.0). One thread serves all clients in turns, for a part of
one processor and no more (`PacedLoop`), and another makes the text, for all who ask at the time
(`Answers`). Who asks for more waits; a client that neither asks nor reads holds nobody but itself,
for ten seconds at most. Nobody is asked who they are: listen where only those connect who may see
the metrics.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from vgpu_ctl.exporter import responses
from vgpu_ctl.exporter.exposition import CONTENT_TYPE
from vgpu_ctl.exporter.http_connection import HttpConnection
from vgpu_ctl.exporter.request_head import BadHead, parsed
from vgpu_ctl.exporter.responses import HEALTH, METRICS
from vgpu_ctl.pacing.answers import COST_RATIO, Answers
from vgpu_ctl.pacing.fair_queue import FairQueue
from vgpu_ctl.pacing.pace import Pace
from vgpu_ctl.pacing.paced_loop import PacedLoop
from vgpu_ctl.pacing.paced_workers import PacedWorkers
from vgpu_ctl.pacing.places import who_makes_room

_LOG = logging.getLogger(__name__)

_BACKLOG = 64
_ACCEPTED_AT_ONCE = 16
_PAUSE_S = 0.5
"""Without accepting after an accept has failed."""
_TICK_S = 0.1
"""How exactly the time for a request is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What clients may have."""

    share: float = 0.03
    """Of one processor: for accepting, reading, answering."""
    text_share: float = 0.05
    """The same for the text."""
    burst_s: float = 0.2
    """Of processor time at once, for each of the two."""
    kept_s: float = 0.5
    """How old a text may be."""
    cost_ratio: float = COST_RATIO
    """How old it may be, in processor times that it took to make: see `Answers`."""
    connections: int = 64
    """Of all listeners together; who comes on top is told to come back."""
    request_s: float = 10.0
    """From the acceptance of a connection to its end."""


LIMITS = Limits()


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens at an address: IPv4, IPv6 or a name; port 0 is any free one.

    Raises OSError as the system says it, with the address in its text.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from error


class MetricsServer:
    """Serves what ``text`` gives at `METRICS`, on listeners that it owns from now on.

    A context manager: started and stopped.
    """

    def __init__(
        self,
        text: Callable[[], bytes],
        listeners: Iterable[socket.socket],
        limits: Limits = LIMITS,
    ) -> None:
        """``listeners``: listening stream sockets, ours or inherited from systemd."""
        self._text = text
        self._listeners = list(listeners)
        self._limits = limits
        pace = Pace(limits.text_share, limits.burst_s)
        self._loop = PacedLoop("metrics", Pace(limits.share, limits.burst_s), self._turn)
        self._writer = PacedWorkers("metrics writer", 1, lambda: pace)
        self._answers: Answers[Exception] = Answers(
            lambda: 0, self._writer.submit, self._loop.post, limits.kept_s, limits.cost_ratio
        )
        self._queue: FairQueue[HttpConnection] = FairQueue()
        self._open: dict[int, HttpConnection] = {}
        """By descriptor."""
        self._stopped = False

    @property
    def addresses(self) -> list[Any]:
        """Where it listens, as `socket.getsockname` says it."""
        return [listener.getsockname() for listener in self._listeners]

    def start(self) -> None:
        """Answer from now on, in threads."""
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.watch(listener.fileno(), select.EPOLLIN, partial(self._accept, listener))
        self._writer.start()
        self._loop.start()

    def stop(self) -> None:
        """Close listeners and connections; no thread is left when it returns. May come twice."""
        if self._stopped:
            return
        self._stopped = True
        self._loop.stop()
        for connection in self._open.values():
            connection.close()
        for listener in self._listeners:
            listener.close()
        self._writer.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- connections ------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no room for one more descriptor
                _LOG.warning("metrics: no connection can be accepted: %s", error.strerror)
                self._loop.pause(_PAUSE_S)
                return
            connection = HttpConnection(accepted, address, time.monotonic())
            self._welcome(connection)

    def _welcome(self, connection: HttpConnection) -> None:
        if len(self._open) >= self._limits.connections:
            found = who_makes_room(self._open.values(), connection.party, connection.began)
            if found is None:
                self._guarded(connection, _turn_away)
                connection.close()
                return
            self._drop(found[0])
        self._open[connection.descriptor] = connection
        self._watch(connection)

    def _watch(self, connection: HttpConnection) -> None:
        """Watch a connection for what it wants now."""
        self._loop.forget(connection.descriptor)
        if wants := connection.wants:
            act = lambda _events: self._guarded(connection, self._ready)  # noqa: E731
            self._loop.watch(connection.descriptor, wants, act)

    def _drop(self, connection: HttpConnection) -> None:
        if self._open.get(connection.descriptor) is connection:
            del self._open[connection.descriptor]
            self._loop.forget(connection.descriptor)
        connection.close()

    def _guarded(self, connection: HttpConnection, act: Callable[[HttpConnection], None]) -> None:
        """Do something for a connection; a client that goes away is nothing to tell."""
        try:
            act(connection)
        except BlockingIOError:
            pass
        except OSError:
            _LOG.debug("metrics: connection of %s ended", connection.address, exc_info=True)
            self._drop(connection)
            return
        except Exception:  # noqa: BLE001 - our bug; this client alone pays for it
            _LOG.exception("metrics: a connection failed")
            self._drop(connection)
            return
        if self._open.get(connection.descriptor) is connection:
            if connection.is_over:
                self._drop(connection)
            else:
                self._watch(connection)

    # -- requests ---------------------------------------------------------------------------------

    def _turn(self) -> float:
        """Answer those who are next; see `PacedLoop`."""
        while self._queue:
            began = time.thread_time()
            party, connection = self._queue.pop()
            if self._open.get(connection.descriptor) is connection:
                self._guarded(connection, self._answer)
            self._queue.charge(party, time.thread_time() - began)
            if self._loop.is_over:
                break
        over = time.monotonic() - self._limits.request_s
        for connection in list(self._open.values()):
            if connection.began <= over:
                self._drop(connection)
        if self._queue:
            return 0.0
        return min(_TICK_S, self._limits.request_s) if self._open else -1.0

    def _ready(self, connection: HttpConnection) -> None:
        if connection.is_answered:
            connection.flush()
        elif connection.receive():
            self._queue.push(connection.party, connection)

    def _answer(self, connection: HttpConnection) -> None:
        try:
            head = parsed(connection.received)
        except BadHead as error:
            _LOG.debug("metrics: %s: %r", connection.address, bytes(connection.received[:200]))
            connection.send(responses.error(error.status))
            return
        _LOG.debug("metrics: %s: %r", connection.address, head)
        with_body = head.method != "HEAD"
        if head.method not in responses.ALLOWED:
            connection.send(responses.error(HTTPStatus.METHOD_NOT_ALLOWED))
        elif head.path == METRICS:
            connection.at_work = True
            then = partial(self._tell, connection, with_body=with_body)
            self._answers.ask(METRICS, connection.party, self._write, then)
        elif head.path == HEALTH:
            _send(connection, responses.PLAIN, b"ok\n", with_body=with_body)
        elif head.path == "/":
            _send(connection, responses.HTML, responses.INDEX, with_body=with_body)
        else:
            connection.send(responses.error(HTTPStatus.NOT_FOUND, with_body=with_body))

    def _write(self) -> bytes | Exception:
        """The text, or what went wrong; another thread's work."""
        try:
            return self._text()
        except Exception as error:  # noqa: BLE001 - our bug; this request alone pays for it
            _LOG.exception("metrics: a request failed")
            return error

    def _tell(
        self, connection: HttpConnection, outcome: bytes | Exception, *, with_body: bool
    ) -> None:
        def tell(connection: HttpConnection) -> None:
            connection.at_work = False
            if isinstance(outcome, Exception):
                connection.send(responses.error(HTTPStatus.INTERNAL_SERVER_ERROR))
            else:
                _send(connection, CONTENT_TYPE, outcome, with_body=with_body)

        if self._open.get(connection.descriptor) is connection:
            self._guarded(connection, tell)


def _send(connection: HttpConnection, content_type: str, body: bytes, *, with_body: bool) -> None:
    head = responses.head(HTTPStatus.OK, content_type, len(body))
    connection.send(head, body if with_body else b"")


def _turn_away(connection: HttpConnection) -> None:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    connection.send(responses.error(status, message="too many connections"))
