"""What the metrics' HTTP server answers, as bytes."""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus

METRICS = "/metrics"
HEALTH = "/healthz"
ALLOWED = ("GET", "HEAD")
PLAIN = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
_JSON = "application/json"
INDEX = f"""\
<!DOCTYPE html>
<html lang="en">
<title>vgpud</title>
<h1>vgpud</h1>
<ul>
<li><a href="{METRICS}">Metrics</a> for Prometheus
<li><a href="{HEALTH}">Health</a>
</ul>
</html>
""".encode()
_HINTS = {
    HTTPStatus.NOT_FOUND: f"there are {METRICS}, {HEALTH} and /",
    HTTPStatus.METHOD_NOT_ALLOWED: f"allowed: {', '.join(ALLOWED)}",
    HTTPStatus.INTERNAL_SERVER_ERROR: "vgpud's log says why",
    HTTPStatus.SERVICE_UNAVAILABLE: "come back later",
}
_HEADERS = {
    HTTPStatus.METHOD_NOT_ALLOWED: f"Allow: {', '.join(ALLOWED)}\r\n",
    HTTPStatus.SERVICE_UNAVAILABLE: "Retry-After: 1\r\n",
}


def head(status: HTTPStatus, content_type: str, length: int) -> bytes:
    """Status line and headers of an answer of ``length`` bytes."""
    return (
        f"HTTP/1.0 {status.value} {status.phrase}\r\n"
        "Server: vgpud\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n"
        f"{_HEADERS.get(status, '')}\r\n"
    ).encode()


def error(status: HTTPStatus, *, with_body: bool = True, message: str = "") -> bytes:
    """An error as JSON: its code, what it is, and what to do."""
    said = {
        "code": status.value,
        "message": message or status.phrase,
        "hint": _HINTS.get(status, status.description),
    }
    body = json.dumps({"error": said}).encode() + b"\n"
    return head(status, _JSON, len(body)) + (body if with_body else b"")
