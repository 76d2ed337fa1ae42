"""The HTTP server of the metrics: small, for clients that cannot be trusted.

One request for each connection (HTTP/1.0), answered by a thread of its own: at most
`MOST_CONNECTIONS` at once, each ended after `REQUEST_SECONDS` whatever the client does. Nobody is
asked who they are: listen where only those connect who may see the metrics.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self

from vgpu_ctl.exporter.connections import Connections
from vgpu_ctl.exporter.exposition import CONTENT_TYPE
from vgpu_ctl.exporter.request_head import HeadTooLarge, read_head

_LOG = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""From the acceptance of a connection to its end."""
MOST_CONNECTIONS = 32
"""Of all listeners together; who comes on top is told to come back."""
METRICS = "/metrics"
HEALTH = "/healthz"

_POLL_SECONDS = 0.5
"""How often a listener looks for connections that take too long, and whether it is to stop."""
_BACKLOG = 64
_ALLOWED = "GET, HEAD"
_PLAIN = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_INDEX = f"""\
<!DOCTYPE html>
<html lang="en">
<title>vgpud</title>
<h1>vgpud</h1>
<ul>
<li><a href="{METRICS}">Metrics</a> for Prometheus
<li><a href="{HEALTH}">Health</a>
</ul>
</html>
"""
_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\r\n"
    b'{"error": {"code": 503, "message": "too many connections", "hint": "come back later"}}\n'
)
_HINTS = {
    HTTPStatus.NOT_FOUND: f"there are {METRICS}, {HEALTH} and /",
    HTTPStatus.METHOD_NOT_ALLOWED: f"allowed: {_ALLOWED}",
    HTTPStatus.INTERNAL_SERVER_ERROR: "vgpud's log says why",
}
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


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

    ``text`` is called by several threads at once. A context manager: started and stopped.
    """

    def __init__(
        self,
        text: Callable[[], bytes],
        listeners: Iterable[socket.socket],
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """``listeners``: listening stream sockets, ours or inherited from systemd."""
        self._connections = Connections(MOST_CONNECTIONS, request_seconds, time.monotonic)
        self._servers = [_Listener(socket, self._connections, text) for socket in listeners]
        self._threads: list[threading.Thread] = []

    @property
    def addresses(self) -> list[Any]:
        """Where it listens, as `socket.getsockname` says it."""
        return [server.server_address for server in self._servers]

    def start(self) -> None:
        """Answer from now on, in threads."""
        for server in self._servers:
            thread = threading.Thread(
                target=server.serve_forever,
                args=(_POLL_SECONDS,),
                name=f"metrics {server.server_address}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Close listeners and connections; no thread is left when it returns. May come twice."""
        for server in self._servers[: len(self._threads)]:
            server.shutdown()
        self._connections.end_all()
        for server in self._servers:
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._threads = []

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


class _Listener(ThreadingMixIn, TCPServer):
    """Accepts on one socket."""

    block_on_close = True

    def __init__(
        self, listener: socket.socket, connections: Connections, text: Callable[[], bytes]
    ) -> None:
        # Not TCPServer's: it would make a socket of its own.
        BaseServer.__init__(self, listener.getsockname(), _Handler)
        listener.setblocking(False)  # A client may be gone between select and accept.
        self.socket = listener
        self.connections = connections
        self.text = text

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept. Without room for one more descriptor the loop would spin: it pauses."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _NO_ROOM:
                _LOG.warning("metrics: no connection can be accepted: %s", error.strerror)
                time.sleep(_POLL_SECONDS)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for this connection."""
        if self.connections.admit(request):
            return True
        request.setblocking(False)
        with suppress(OSError):
            request.send(_BUSY)
        return False

    def service_actions(self) -> None:
        """Called twice a second, and after each connection."""
        self.connections.end_late()

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        self.connections.release(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell; anything else is our mistake."""
        if isinstance(sys.exc_info()[1], OSError):
            _LOG.debug("metrics: connection of %s ended", client_address, exc_info=True)
        else:
            _LOG.exception("metrics: a request failed")


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Listener
    server_version = "vgpud"
    sys_version = ""
    default_request_version = "HTTP/1.0"
    wbufsize = -1

    def handle(self) -> None:
        """Read the request as a whole, then answer it."""
        self.command = self.requestline = ""
        self.request_version = self.default_request_version
        try:
            self.rfile = io.BytesIO(read_head(self.connection))
        except HeadTooLarge:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self.raw_requestline = self.rfile.readline()
        if self.raw_requestline and self.parse_request():
            self._answer()

    def _answer(self) -> None:
        if self.command not in _ALLOWED.split(", "):
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
            return
        path = self.path.partition("?")[0]
        if path == METRICS:
            self._send(HTTPStatus.OK, CONTENT_TYPE, self._metrics())
        elif path == HEALTH:
            self._send(HTTPStatus.OK, _PLAIN, b"ok\n")
        elif path == "/":
            self._send(HTTPStatus.OK, _HTML, _INDEX.encode())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _metrics(self) -> bytes:
        try:
            return self.server.text()
        except Exception:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """An error as JSON: its code, what it is, and what to do."""
        status = HTTPStatus(code)
        error = {
            "code": status.value,
            "message": message or status.phrase,
            "hint": _HINTS.get(status, explain or status.description),
        }
        self._send(status, _JSON, json.dumps({"error": error}).encode() + b"\n")

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", _ALLOWED)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """What a client sent may hold anything: as a literal, and at DEBUG only."""
        _LOG.debug("metrics: %s: %r", self.client_address, format % args)
