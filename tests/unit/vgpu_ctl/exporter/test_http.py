"""The HTTP server: what it answers, to whom it does not, and that nothing of it stays."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from vgpu_ctl.exporter.exposition import CONTENT_TYPE
from vgpu_ctl.exporter.http import LIMITS, Limits, MetricsServer, open_listener
from vgpu_ctl.exporter.request_head import LONGEST

BODY = b"vgpud_gpu_up 1\n" * 50_000
"""More than the buffers of a socket hold."""
WAIT_SECONDS = 30.0
PATIENT = Limits(request_s=WAIT_SECONDS)
SOON = 0.2
HASTY = Limits(request_s=SOON)
"""A request may take so many seconds where a test waits for its end."""


def body() -> bytes:
    """A text for the metrics."""
    return BODY


@contextmanager
def serving(
    text: Callable[[], bytes] = body, limits: Limits = PATIENT
) -> Iterator[tuple[str, int]]:
    """A server on a free port of this host."""
    with MetricsServer(text, [open_listener("127.0.0.1", 0)], limits) as server:
        yield server.addresses[0]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Where a server listens."""
    with serving() as place:
        yield place


def ask(
    address: tuple[str, int], method: str, path: str, data: bytes | None = None
) -> tuple[HTTPResponse, bytes]:
    """Answer and body of one request."""
    with closing(HTTPConnection(*address, timeout=WAIT_SECONDS)) as connection:
        connection.request(method, path, data)
        answer = connection.getresponse()
        return answer, answer.read()


def connect(address: tuple[str, int]) -> socket.socket:
    """A client that does not speak HTTP by itself."""
    return socket.create_connection(address, timeout=WAIT_SECONDS)


def everything(client: socket.socket) -> bytes:
    """What comes until the server ends it, in whichever way."""
    received = b""
    try:
        while more := client.recv(1 << 16):
            received += more
    except ConnectionError:
        pass
    return received


def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def descriptors() -> int:
    """How many this process has open."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_metrics(address: tuple[str, int]) -> None:
    answer, text = ask(address, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert text == BODY
    assert ask(address, "GET", "/metrics?name[]=x")[1] == BODY


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/"])
def test_head_has_the_headers_only(address: tuple[str, int], path: str) -> None:
    answer, text = ask(address, "HEAD", path)
    assert answer.status == 200
    assert text == b""
    length = len(ask(address, "GET", path)[1])
    assert int(answer.headers["Content-Length"]) == length > 0


def test_the_first_page_links_to_the_others(address: tuple[str, int]) -> None:
    answer, page = ask(address, "GET", "/")
    assert answer.headers["Content-Type"].startswith("text/html")
    for link in ("/metrics", "/healthz"):
        assert f'href="{link}"'.encode() in page
        assert ask(address, "GET", link)[0].status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
        ("BREW", "/coffee", 405),
    ],
)
def test_errors_say_what_is_allowed(
    address: tuple[str, int], method: str, path: str, status: int
) -> None:
    answer, text = ask(address, method, path, b"x" * 100 if method == "POST" else None)
    assert answer.status == status
    error = json.loads(text)["error"]
    assert error["code"] == status
    assert ("/metrics" if status == 404 else "GET, HEAD") in error["hint"]
    assert answer.headers["Allow"] == (None if status == 404 else "GET, HEAD")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/99.9\r\n\r\n",
        b"GET / HTTP/x\r\n\r\n",
        b"GET / a b c\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET  / HTTP/1.0\r\n\r\n",
        b"GET \xff HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0" + b" " * 200 + b"\r\n\r\n",
        bytes(range(256)) + b"\r\n\r\n",
        b'GET /" onload="x HTTP/1.0\r\n\r\n',
    ],
)
def test_garbage_is_answered_or_dropped(address: tuple[str, int], request_bytes: bytes) -> None:
    with connect(address) as client:
        client.sendall(request_bytes)
        answer = everything(client)
    if answer:
        head, _, text = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.0 4", b"HTTP/1.0 505"))
        assert json.loads(text)["error"]["message"]
    assert ask(address, "GET", "/healthz")[0].status == 200


def test_noise_never_stops_it(address: tuple[str, int], caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(7)
    for _ in range(60):
        with connect(address) as client:
            client.sendall(noise.randbytes(noise.randrange(300)) + b"\r\n\r\n")
    assert ask(address, "GET", "/metrics")[1] == BODY
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_long_heads_are_refused(address: tuple[str, int]) -> None:
    with connect(address) as client:
        client.sendall(b"GET / HTTP/1.0\r\na: " + b"b" * LONGEST)
        assert everything(client).startswith(b"HTTP/1.0 431 ")


def test_a_head_may_come_in_pieces(address: tuple[str, int]) -> None:
    with connect(address) as client:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            client.sendall(bytes([byte]))
        assert everything(client).endswith(b"\r\n\r\nok\n")


def test_who_stalls_or_drips_is_cut_off() -> None:
    with serving(limits=HASTY) as address, connect(address) as silent:
        with connect(address) as dripping:
            until(lambda: not drip(dripping))
        assert everything(silent) == b""
        until(lambda: is_served(address))


def is_served(address: tuple[str, int]) -> bool:
    """Whether a client is answered: on a busy machine it may be late, or find no place yet."""
    try:
        return ask(address, "GET", "/healthz")[0].status == 200
    except (ConnectionError, HTTPException):
        return False


def drip(client: socket.socket) -> bool:
    """Send a byte; whether it could be."""
    try:
        client.sendall(b"G")
    except OSError:
        return False
    return True


def test_who_does_not_read_is_cut_off() -> None:
    answering = threading.Event()

    def text() -> bytes:
        answering.set()
        return BODY * 20

    with serving(text, limits=HASTY) as address, ExitStack() as stack:
        clients: list[socket.socket] = []
        before = descriptors()

        def ask_and_be_answered() -> bool:
            """Who asks late, on a busy machine, is cut off before it is answered: once more."""
            clients.append(stack.enter_context(connect(address)))
            with suppress(OSError):
                clients[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return answering.wait(2 * SOON)

        until(ask_and_be_answered)
        until(lambda: descriptors() <= before + len(clients))  # all cut off, before one reads
        assert all(len(everything(client)) < len(BODY * 20) for client in clients)


def test_who_finds_no_place_is_told_and_costs_no_thread() -> None:
    with serving() as address, ExitStack() as stack:
        threads = threading.active_count()
        places = LIMITS.connections
        clients = [stack.enter_context(connect(address)) for _ in range(places + 20)]
        refused = [everything(client) for client in clients[places:]]
        assert all(answer == b"" or b" 503 " in answer for answer in refused)
        assert any(b'"code": 503' in answer and b"Retry-After" in answer for answer in refused)
        assert threading.active_count() == threads
        for client in clients:
            client.close()
        until(lambda: is_served(address))


def test_who_does_not_read_or_ask_holds_nobody() -> None:
    with serving(lambda: BODY * 20) as address, ExitStack() as stack:
        for _ in range(LIMITS.connections // 4):
            stack.enter_context(connect(address))
            deaf = stack.enter_context(connect(address))
            deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert ask(address, "GET", "/metrics")[1] == BODY * 20
        assert ask(address, "GET", "/healthz")[0].status == 200


def test_health_does_not_wait_for_the_text() -> None:
    """Which waits for guests' locks."""
    goes_on, is_asked = threading.Event(), threading.Event()

    def text() -> bytes:
        is_asked.set()
        assert goes_on.wait(WAIT_SECONDS)
        return BODY

    with serving(text) as address, connect(address) as waiting:
        waiting.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert is_asked.wait(WAIT_SECONDS)
        assert ask(address, "GET", "/healthz")[0].status == 200
        goes_on.set()
        assert everything(waiting).endswith(BODY)


def test_all_who_ask_meanwhile_get_one_text() -> None:
    goes_on = threading.Event()
    made: list[None] = []

    def text() -> bytes:
        made.append(None)
        assert goes_on.wait(WAIT_SECONDS)
        return b"%d\n" % len(made)

    limits = Limits(request_s=WAIT_SECONDS, kept_s=WAIT_SECONDS)
    with serving(text, limits) as address, ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in range(20)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        until(lambda: bool(made))
        goes_on.set()
        assert all(everything(client).endswith(b"\r\n\r\n1\n") for client in clients)
        assert ask(address, "GET", "/metrics")[1] == b"1\n"
    assert len(made) == 1


def test_an_old_text_is_not_given() -> None:
    made: list[None] = []

    def text() -> bytes:
        made.append(None)
        return b"%d\n" % len(made)

    limits = Limits(request_s=WAIT_SECONDS, kept_s=0.0, cost_ratio=0.0)
    with serving(text, limits) as address:
        assert [ask(address, "GET", "/metrics")[1] for _ in range(3)] == [b"1\n", b"2\n", b"3\n"]


def test_many_scrapes_at_once_get_it_all(address: tuple[str, int]) -> None:
    answers: list[bytes] = []
    scrapers = [
        threading.Thread(target=lambda: answers.append(ask(address, "GET", "/metrics")[1]))
        for _ in range(8)
    ]
    for scraper in scrapers:
        scraper.start()
    for scraper in scrapers:
        scraper.join()
    assert answers == [BODY] * 8


def test_a_failing_source_is_an_error_of_that_request(caplog: pytest.LogCaptureFixture) -> None:
    failures = [RuntimeError("no counters")]

    def text() -> bytes:
        if failures:
            raise failures.pop()
        return BODY

    with serving(text) as address:
        answer, said = ask(address, "GET", "/metrics")
        assert answer.status == 500
        assert "log" in json.loads(said)["error"]["hint"]
        until(lambda: "no counters" in caplog.text)
        assert ask(address, "GET", "/metrics")[1] == BODY


def test_requests_are_logged_at_debug_as_literals(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "vgpu_ctl.exporter.http")
    with serving() as address, connect(address) as client:
        client.sendall(b"GET /\x1b[31m HTTP/1.0\r\n\r\n")
        everything(client)
    assert "x1b[31m" in caplog.text
    assert "\x1b[31m" not in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_nothing_stays_when_it_stops() -> None:
    before, running = descriptors(), threading.active_count()
    for _ in range(3):
        server = MetricsServer(body, [open_listener("127.0.0.1", 0) for _ in range(2)])
        server.start()
        with connect(server.addresses[0]) as stalled:
            assert ask(server.addresses[1], "GET", "/metrics")[1] == BODY
            server.stop()
            assert everything(stalled) == b""
        server.stop()
    assert descriptors() == before
    assert threading.active_count() == running


def test_one_that_never_started_stops_too() -> None:
    before = descriptors()
    MetricsServer(body, [open_listener("127.0.0.1", 0)]).stop()
    assert descriptors() == before


def test_an_inherited_socket_serves(tmp_path: Path) -> None:
    inherited = socket.socket(socket.AF_UNIX)
    inherited.bind(str(tmp_path / "metrics"))
    inherited.listen()
    listener = socket.socket(fileno=os.dup(inherited.fileno()))
    inherited.close()
    with MetricsServer(body, [listener]), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WAIT_SECONDS)
        client.connect(str(tmp_path / "metrics"))
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert everything(client).endswith(b"ok\n")


def test_ipv6() -> None:
    try:
        listener = open_listener("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with MetricsServer(body, [listener]) as server:
        assert ask(server.addresses[0][:2], "GET", "/healthz")[0].status == 200


def test_a_port_in_use_is_an_error_that_names_it(address: tuple[str, int]) -> None:
    host, port = address
    with pytest.raises(OSError, match=f"127.0.0.1 port {port}: .*in use"):
        open_listener(host, port)


def test_an_address_that_is_not_here_is_an_error() -> None:
    with pytest.raises(OSError, match="invalid port 80"):
        open_listener("no.such.invalid", 80)
