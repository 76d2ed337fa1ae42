"""The control socket's server: one thread for all clients, and a few that work for it.

A client may stall, flood or send garbage. Clients are answered in turns, those first who have used
least (`FairQueue`), and all that is done for them takes a part of one processor and no more
(`Pace`): the guests' traps need the same interpreter. Who asks for more waits; who wants more
places than there are makes room for others or is refused; a request must be complete, and a reply
taken, within ten seconds; what is no request ends the connection.

The loop's thread waits for nobody. Looks are taken for all who ask at the time (`Answers`): by one
thread, and those that may wait for a guest's lock by another, so that what there is can always be
seen. Changes are carried out by workers.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from mmio_trap.vfio_user.peer import peer_of
from vgpu_ctl.api.connection import Connection, NoRequest
from vgpu_ctl.api.control_socket import is_allowed, listen
from vgpu_ctl.api.messages import API_VERSION, ApiError, ErrorCode, Reply, Request, encode_line
from vgpu_ctl.api.methods import METHODS, Params
from vgpu_ctl.api.streams import Stream
from vgpu_ctl.pacing.answers import Answers
from vgpu_ctl.pacing.fair_queue import FairQueue
from vgpu_ctl.pacing.pace import Pace
from vgpu_ctl.pacing.paced_loop import PacedLoop
from vgpu_ctl.pacing.paced_workers import PacedWorkers
from vgpu_ctl.pacing.places import who_makes_room

if TYPE_CHECKING:
    from vgpu_ctl.api.service import Service

_LOG = logging.getLogger(__name__)

LOOP_SHARE, LOOKING_SHARE, READING_SHARE = 0.05, 0.03, 0.05
"""Of one processor: for accepting, reading, answering; for looking at what there is; for reading
counters and traces."""
CHANGING_SHARE, CHANGING_SHARE_ALONE = 0.1, 0.5
"""For changes while a guest is attached, and while none is."""
BURST_S = 0.2
"""Of processor time at once, for each of these."""
KEPT_S = 0.1
"""How old an answer of another's may be."""
CHANGERS = 4
"""Changes at a time: one may wait for a guest to give way."""
_ACCEPTED_AT_ONCE = 16
_PAUSE_S = 0.1
"""Without accepting after an accept has failed."""
_TICK_S = 0.5
"""How exactly deadlines are kept."""


_OUR_FAULT = ApiError(ErrorCode.FAILED, "vgpud failed at this: see its log")

T = TypeVar("T")
Outcome: TypeAlias = bytes | ApiError


class ControlServer:
    """Serves ``service`` on a socket. Life: ``listen`` or a socket given, ``start``, ``stop``."""

    def __init__(self, service: Service, *, connections: int) -> None:
        self._service = service
        self._limit = connections
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._group: int | None = None
        self._stopped = False
        looking, reading = Pace(LOOKING_SHARE, BURST_S), Pace(READING_SHARE, BURST_S)
        self._changing = Pace(CHANGING_SHARE, BURST_S), Pace(CHANGING_SHARE_ALONE, BURST_S)
        self._loop = PacedLoop("control", Pace(LOOP_SHARE, BURST_S), self._turn)
        self._looker = PacedWorkers("control looker", 1, lambda: looking)
        self._reader = PacedWorkers("control reader", 1, lambda: reading)
        self._changers = PacedWorkers("control worker", CHANGERS, self._changing_pace)
        self._looks, self._readings = (
            Answers[ApiError](lambda: service.changes, by.submit, self._loop.post, KEPT_S)
            for by in (self._looker, self._reader)
        )
        self._queue: FairQueue[Connection] = FairQueue()
        self._open: dict[int, Connection] = {}
        """By descriptor."""
        self.turned_away = 0
        """Connections closed at once because there were too many."""

    def listen(self, path: Path, mode: int, group: int | None) -> None:
        """Create the socket: see `control_socket.listen`. Raises OSError."""
        self._listener, self._path = listen(path, mode, group), path
        self._group = group if mode & 0o060 else None

    def adopt(self, listener: socket.socket, group: int | None) -> None:
        """Serve on a socket that listens already: systemd's, which also removes it."""
        self._listener, self._group = listener, group

    def start(self) -> None:
        """Begin to accept."""
        listener = self._listener
        assert listener is not None, "listen or adopt first"
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), select.EPOLLIN, lambda _: self._accept(listener))
        for workers in (self._looker, self._reader, self._changers):
            workers.start()
        self._loop.start()

    def stop(self) -> None:
        """End: no more requests, every connection closed, the socket gone. Again: nothing."""
        if self._stopped:
            return
        self._stopped = True
        self._loop.stop()
        for connection in self._open.values():
            connection.close()
        for workers in (self._looker, self._reader, self._changers):
            workers.stop()
        if self._listener is not None:
            self._listener.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _changing_pace(self) -> Pace:
        beside_guests, alone = self._changing
        return beside_guests if self._service.has_guests else alone

    # -- connections ------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                _LOG.warning("control socket: accept: %s", error)
                self._loop.pause(_PAUSE_S)
                return
            self._welcome(accepted)

    def _welcome(self, accepted: socket.socket) -> None:
        now = time.monotonic()
        try:
            peer = peer_of(accepted)
            allowed = is_allowed(accepted, peer, self._group)
        except OSError:
            accepted.close()
            return
        connection = Connection(accepted, peer, allowed=allowed, now=now)
        if len(self._open) >= self._limit:
            found = who_makes_room(self._open.values(), connection.party, now)
            if found is None:
                self._turn_away(connection)
                return
            leaver, why = found
            _LOG.info("control client, process %d, makes room: %s", leaver.peer.pid, why)
            self._end(leaver, ApiError(ErrorCode.BUSY, f"another client needs the place: {why}"))
        self._open[connection.descriptor] = connection
        self._settle(connection)

    def _turn_away(self, connection: Connection) -> None:
        self.turned_away += 1
        why = f"there are {self._limit} clients already"
        if self.turned_away in (1, 10, 100) or self.turned_away % 1000 == 0:
            text = "control socket: %d clients turned away, the last because %s"
            _LOG.warning(text, self.turned_away, why)
        hint = "try again, or raise control.connections"
        self._end(connection, ApiError(ErrorCode.BUSY, why, hint=hint))

    def _end(self, connection: Connection, error: ApiError) -> None:
        """Say why, if the client listens, and close it."""
        try:
            if not connection.is_sending:
                connection.send(_refusal(connection, error), time.monotonic())
        except OSError:
            pass
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if self._open.get(connection.descriptor) is connection:
            del self._open[connection.descriptor]
            self._loop.forget(connection.descriptor)
        connection.close()

    def _guarded(self, connection: Connection, act: Callable[[Connection], None]) -> None:
        """Do something for a connection; what fails ends that one alone."""
        if self._open.get(connection.descriptor) is not connection:
            return
        try:
            act(connection)
            self._settle(connection)
        except NoRequest as error:
            _LOG.info("control client, process %d: %s", connection.peer.pid, error)
            connection.identity = 0
            self._end(connection, ApiError(ErrorCode.PROTOCOL, str(error)))
        except OSError as error:  # the client is gone, or does not take its replies
            _LOG.debug("control client: %s", error)
            self._drop(connection)
        except Exception:  # noqa: BLE001 - our bug; this client alone pays for it
            _LOG.exception("a control client is disconnected")
            self._end(connection, _OUR_FAULT)

    def _settle(self, connection: Connection) -> None:
        """Have it queued, or watched, for what comes next; or closed."""
        if self._open.get(connection.descriptor) is not connection:
            return
        if connection.is_over:
            self._drop(connection)
            return
        if not connection.is_sending and not connection.is_queued and not connection.is_ending:
            stream = connection.stream
            if stream is None:
                is_next = connection.has_line and not connection.at_work
            else:
                is_next = stream.is_ready and not connection.at_work
            if is_next:
                connection.is_queued = True
                self._queue.push(connection.party, connection)
        if connection.wants != connection.watched:
            self._loop.forget(connection.descriptor)
            connection.watched = connection.wants
            if connection.watched:
                self._loop.watch(
                    connection.descriptor,
                    connection.watched,
                    lambda _: self._guarded(connection, _ready),
                )

    # -- turns ------------------------------------------------------------------------------------

    def _turn(self) -> float:
        """Answer those who are next; see `PacedLoop`."""
        while self._queue:
            began = time.thread_time()
            party, connection = self._queue.pop()
            connection.is_queued = False
            self._guarded(connection, self._serve)
            self._queue.charge(party, time.thread_time() - began)
            if self._loop.is_over:
                break
        due = self._look_after(time.monotonic())
        return 0.0 if self._queue else due

    def _look_after(self, now: float) -> float:
        """Deadlines, and streams whose time has come: when to look again; -1: no need to."""
        periods = []
        for connection in list(self._open.values()):
            if connection.has_deadline:
                periods.append(_TICK_S)
                self._guarded(connection, partial(_check_time, now=now))
            elif connection.stream is not None and connection.stream.period_s:
                periods.append(connection.stream.period_s)
                self._guarded(connection, _look_again)
        return min(periods, default=-1.0)

    def _serve(self, connection: Connection) -> None:
        """What a connection has waited for: its stream goes on, or its request is begun with."""
        if connection.stream is not None:
            self._take(connection, connection.stream)
            return
        connection.identity = 0
        try:
            request = _parsed(connection.take_line(time.monotonic()))
            connection.identity = request.id
            self._check(connection, request)
            params = self._service.decoded(request.method, request.params, connection.peer)
        except ApiError as error:
            _reply(connection, error)
            return
        self._carry_out(connection, request.method, params)

    def _check(self, connection: Connection, request: Request) -> None:
        if request.api != API_VERSION:
            raise ApiError(
                ErrorCode.UNSUPPORTED,
                f"api: version {request.api} is asked for, this vgpud speaks {API_VERSION}",
                field="api",
            )
        if not connection.allowed:
            peer = connection.peer
            text = "user %d, process %d, may not use this vgpud: %s is refused"
            _LOG.warning(text, peer.uid, peer.pid, f"{request.method:.40}")
            raise ApiError(
                ErrorCode.PERMISSION,
                f"user {peer.uid} may not use this vgpud",
                hint="become root, or join the group of the control socket",
            )

    def _carry_out(self, connection: Connection, method: str, params: Params) -> None:
        service, party, known = self._service, connection.party, METHODS[method]
        connection.at_work = True

        def answer(outcome: Outcome) -> None:
            self._guarded(connection, partial(_reply, outcome=outcome))

        def change() -> None:
            outcome = _outcome(lambda: _encoded(service.change(method, params, connection.peer)))
            self._loop.post(lambda: answer(outcome))

        def begin() -> None:
            outcome = _outcome(lambda: service.listen(method, params, wake))
            self._loop.post(lambda: self._begun(connection, outcome))

        def wake() -> None:
            self._loop.post(lambda: self._guarded(connection, _look_again))

        def look() -> Outcome:
            return _outcome(lambda: _encoded(service.look(method, params)))

        if known.writes:
            self._changers.submit(party, change)
        elif known.streams:
            self._reader.submit(party, begin)
        else:
            answers = self._readings if known.waits else self._looks
            answers.ask((method, params), party, look, answer)

    # -- streams ----------------------------------------------------------------------------------

    def _begun(self, connection: Connection, outcome: Stream | ApiError) -> None:
        def begin(connection: Connection) -> None:
            if isinstance(outcome, ApiError):
                _reply(connection, outcome)
                return
            connection.at_work = False
            connection.stream = outcome
            connection.send(encode_line(Reply(id=connection.identity, more=True)), time.monotonic())

        if self._open.get(connection.descriptor) is connection:
            self._guarded(connection, begin)
        elif not isinstance(outcome, ApiError):
            outcome.close()

    def _take(self, connection: Connection, stream: Stream) -> None:
        """Send what there is of a stream; what takes long to make, the reader makes."""
        if not stream.period_s:
            _go_on(connection, _pieces(connection.identity, stream.take()), is_over=False)
            return
        connection.at_work = True

        def take() -> None:
            is_over = stream.is_over
            outcome = _outcome(lambda: _pieces(connection.identity, stream.take()))
            go_on = partial(_go_on, outcome=outcome, is_over=is_over)
            self._loop.post(lambda: self._guarded(connection, go_on))

        self._reader.submit(connection.party, take)


def _look_again(connection: Connection) -> None:
    """Nothing: what comes next for a connection is looked at after it anyway."""


def _ready(connection: Connection) -> None:
    """A connection is ready for what it was watched for. Raises OSError."""
    now = time.monotonic()
    if connection.is_sending:
        connection.flush(now)
    elif connection.stream is None:
        connection.receive(now)
    else:
        raise ConnectionResetError("it listens no more")


def _check_time(connection: Connection, now: float) -> None:
    """Raises TimeoutError, NoRequest when a client takes too long."""
    if late := connection.late(now):
        raise NoRequest(late)


def _reply(connection: Connection, outcome: Outcome) -> None:
    """Send a result or an error as the last reply to a request. Raises OSError."""
    connection.at_work = False
    if isinstance(outcome, ApiError):
        connection.is_ending = outcome.code is ErrorCode.PROTOCOL or outcome is _OUR_FAULT
        line = _refusal(connection, outcome)
    else:
        line = encode_line(Reply(id=connection.identity, result=msgspec.Raw(outcome)))
    connection.send(line, time.monotonic())


def _go_on(connection: Connection, outcome: Outcome, *, is_over: bool) -> None:
    """Send pieces of a stream, and its end. Raises OSError."""
    connection.at_work = False
    if isinstance(outcome, ApiError):
        is_over, outcome = True, _refusal(connection, outcome)
    elif is_over:
        outcome += encode_line(Reply(id=connection.identity))
    if is_over and connection.stream is not None:
        connection.stream.close()
        connection.stream = None
    connection.send(outcome, time.monotonic())


def _pieces(identity: int, results: list[Any]) -> bytes:
    return b"".join(
        encode_line(Reply(id=identity, result=msgspec.Raw(_encoded(each)), more=True))
        for each in results
    )


def _refusal(connection: Connection, error: ApiError) -> bytes:
    return encode_line(Reply(id=connection.identity, error=error.reply()))


def _encoded(result: Any) -> bytes:
    return msgspec.json.encode(result)


def _outcome(call: Callable[[], T]) -> T | ApiError:
    """What ``call`` returns, or why not; a bug of ours is logged."""
    try:
        return call()
    except ApiError as error:
        return error
    except Exception:  # noqa: BLE001 - our bug; this client alone pays for it
        _LOG.exception("a request of a control client failed")
        return _OUR_FAULT


def _parsed(line: bytes) -> Request:
    """The request in a line. Raises ApiError PROTOCOL."""
    try:
        return msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(ErrorCode.PROTOCOL, f"not a request: {error}") from error
