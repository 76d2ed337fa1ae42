"""Processes that flood a vgpud: with requests, scrapes, connections; each until it is stopped.

python -m tests.integration.control_attacker KIND TARGET COUNT

They have the least priority: what is shown is what vgpud does for them, not what they burn.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_NICE = 19
_PATIENCE_S = 60.0
_CHUNK = 1 << 18
STATS = b'{"api":1,"id":1,"method":"stats"}\n'


def _connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def _ask(request: bytes, pipelined: int, path: str, count: int) -> Iterator[None]:
    """``count`` connections, each with requests that are not answered yet, always."""
    poller = select.epoll()
    connections = {}
    for _ in range(count):
        made = _connected(path)
        connections[made.fileno()] = made
        poller.register(made, select.EPOLLIN)
        made.sendall(request * pipelined)
    while True:
        for descriptor, _ in poller.poll():
            try:
                answered = connections[descriptor].recv(_CHUNK).count(b"\n")
                connections[descriptor].sendall(request * answered)
            except OSError:  # another client had the better claim to its place
                connections.pop(descriptor).close()
                continue
            yield from [None] * answered


def _scrape(url: str) -> Iterator[None]:
    place = urlsplit(url)
    assert place.hostname is not None
    while True:
        with suppress(OSError), socket.socket() as made:
            made.connect((place.hostname, place.port))
            made.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            while made.recv(_CHUNK):
                pass
        yield


def _come_and_go(first: bytes, path: str) -> Iterator[None]:
    while True:
        with suppress(OSError), _connected(path) as made:
            if first:
                made.sendall(first)
                made.recv(_CHUNK)
        yield


@dataclass(frozen=True)
class Attack:
    """A way to flood."""

    loop: Callable[[str, int], Iterator[None]]
    threads: bool = False
    """A thread for each of the count; else one loop for all."""


ATTACKS = {
    "stats": Attack(lambda path, count: _ask(STATS, 1, path, count)),
    "pipelined": Attack(lambda path, count: _ask(STATS, 20, path, count)),
    "unknown": Attack(
        lambda path, count: _ask(
            b'{"api":1,"id":1,"method":"show","params":{"vgpu":"nobody"}}\n', 1, path, count
        )
    ),
    "changes": Attack(
        lambda path, count: _ask(
            b'{"api":1,"id":1,"method":"modify","params":{"vgpu":"vm00","weight":4}}\n',
            1,
            path,
            count,
        )
    ),
    "scrapes": Attack(lambda url, _: _scrape(url), threads=True),
    "connections": Attack(lambda path, _: _come_and_go(b"", path), threads=True),
    "short requests": Attack(lambda path, _: _come_and_go(STATS, path), threads=True),
}


def main(kind: str, target: str, count: int) -> None:
    """Flood until standard input ends, then say how much was answered."""
    os.nice(_NICE)
    attack = ATTACKS[kind]
    done = [0]

    def run() -> None:
        for _ in attack.loop(target, count):
            done[0] += 1

    for _ in range(count if attack.threads else 1):
        threading.Thread(target=run, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    print(done[0], flush=True)
    os._exit(0)


@dataclass
class Flood:
    """Attackers that run."""

    processes: list[subprocess.Popen[str]]

    def pause(self) -> None:
        """Have them stand still, as connected as they are."""
        for process in self.processes:
            process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """Stop them: how many answers or connections they had."""
        total = 0
        for process in self.processes:
            said, _ = process.communicate()
            total += int(said or 0)
        return total


@contextmanager
def flooding(kind: str, target: str, counts: list[int]) -> Iterator[Flood]:
    """A process for each of ``counts``, which says how many connections or threads it has."""
    with ExitStack() as stack:
        processes = []
        for count in counts:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, kind, target, str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", f"{kind}: an attacker failed"
        yield Flood(processes)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
