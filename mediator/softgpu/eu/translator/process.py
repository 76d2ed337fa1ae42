"""The compiler process as its owner sees it: started when it is needed, killed when it is late."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediator.softgpu.eu.translator.wire import (
    MOST_REPLY_BYTES,
    REPLY,
    REQUEST,
    Reply,
    Status,
)

_ROOT: Final = Path(__file__).parents[4]
_PASSED: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "HOME", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What the compiler process may use. ``seconds`` of processor time for a request; it is killed
    once it has taken ``patience`` seconds by the clock. ``requests``: then a new one is started."""

    memory: int = 2 << 30
    seconds: int = 20
    patience: float = 60.0
    start_patience: float = 60.0
    requests: int = 500


class ProcessDied(Exception):
    """The compiler process ended, or was killed since it took too long."""

    def __init__(self, reason: str, *, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late


def command(limits: ProcessLimits) -> list[str]:
    """How the process is started."""
    module = "mediator.softgpu.eu.translator.worker"
    return [sys.executable, "-m", module, str(limits.memory), str(limits.seconds)]


class CompilerProcess:
    """Starts a compiler process and has it compile; one thread at a time."""

    def __init__(self, limits: ProcessLimits | None = None, start: list[str] | None = None) -> None:
        """``start``: the command line, if not `command`."""
        self._limits = limits or ProcessLimits()
        self._command = start or command(self._limits)
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Of the process that runs, if one does."""
        return None if self._process is None else self._process.pid

    def compile(
        self, code: bytes, entry: int, simd: int, *, keep_all: bool = False, pair: bool = False
    ) -> Reply:
        """Have a program compiled; ``keep_all``: with all registers at its end; ``pair``: for two
        threads at a time.

        Raises:
            ProcessDied: No answer came; the next call starts another process.
        """
        try:
            if self._process is None:
                self._start()
            deadline = time.monotonic() + self._limits.patience
            self._write(REQUEST.pack(simd, keep_all, pair, entry, len(code)) + code, deadline)
            reply = self._reply(deadline)
            if reply.status is Status.READY:
                raise ProcessDied("the compiler process answers out of turn")
        except BaseException:
            self.stop()
            raise
        self._served += 1
        if self._served >= self._limits.requests:
            self.stop()
        return reply

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        # Where this process found the packages, which need not be installed.
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise ProcessDied(f"the compiler process does not start: {error}") from error
        self.starts += 1
        self._served = 0
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        if self._reply(time.monotonic() + self._limits.start_patience).status is not Status.READY:
            raise ProcessDied("the compiler process does not say that it is ready")

    def _reply(self, deadline: float) -> Reply:
        status, seconds, length = REPLY.unpack(self._read(REPLY.size, deadline))
        if length > MOST_REPLY_BYTES:
            raise ProcessDied("the compiler process answers too much")
        try:
            return Reply(Status(status), seconds, self._read(length, deadline))
        except ValueError as error:
            raise ProcessDied("the compiler process answers nonsense") from error

    def _write(self, data: bytes, deadline: float) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        while data:
            _wait(pipe, select.POLLOUT, deadline)
            try:
                data = data[os.write(pipe, data[:65536]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ProcessDied("the compiler process has gone") from error

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        parts = bytearray()
        while len(parts) < count:
            _wait(pipe, select.POLLIN, deadline)
            try:
                part = os.read(pipe, min(count - len(parts), 1 << 20))
            except BlockingIOError:
                continue
            if not part:
                raise ProcessDied("the compiler process has ended")
            parts += part
        return bytes(parts)


def _wait(pipe: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(int(left * 1000) + 1):
        raise ProcessDied("the compiler process takes too long", late=True)
