"""Compiled kernels by content: asked for without waiting, compiled elsewhere, kept in two levels.

`Translations.get` answers at once: a function, or None while there is none, and then the kernel is
interpreted. A thread takes what is asked for in turns of the owners (guests), so that nobody's
flood of kernels keeps another's from being compiled. What takes long is begun anew by a second
compiler with more time and a thread of its own, so that nobody's kernels wait behind it either.
"""

from __future__ import annotations

import hashlib
import logging
import struct
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from mediator.softgpu.eu.translator.linker import LinkError
from mediator.softgpu.eu.translator.process import ProcessDied
from mediator.softgpu.eu.translator.turns import Turns
from mediator.softgpu.eu.translator.wire import Status

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator.cache import DiskCache
    from mediator.softgpu.eu.translator.linker import Linked
    from mediator.softgpu.eu.translator.wire import Reply

_LOG = logging.getLogger(__name__)
_ATTEMPTS: Final = 2
"""How often a kernel may take the compiler process with it before it is left alone."""
MOST_CODE_BYTES: Final = 1 << 20
MOST_GAPS: Final = 1 << 16
"""Bytes: images are kept, and counted by their instructions."""
_PARAMETERS: Final = struct.Struct("<III")


@dataclass(frozen=True)
class KernelCode:
    """What a kernel is compiled from: code with its entry's place in it, and the SIMD width.
    ``pair``: for two threads at a time (`pairs`)."""

    code: bytes
    entry: int
    simd: int
    pair: bool = False

    @classmethod
    def of(cls, program: Program, simd: int) -> KernelCode:
        """Of a program: its instructions alone, with zeros between those that lie apart; none at
        all of one that spreads over more than `MOST_CODE_BYTES`, or has more than `MOST_GAPS`
        bytes of zeros."""
        ranges = program.ranges
        first = min(offset for offset, _ in ranges)
        size = max(offset + len(code) for offset, code in ranges) - first
        gaps = size - sum(len(code) for _, code in ranges)
        image = bytearray(size if size <= MOST_CODE_BYTES and gaps <= MOST_GAPS else 0)
        if image:
            for offset, code in ranges:
                image[offset - first : offset - first + len(code)] = code
        return cls(bytes(image), -first, simd)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of it."""
        head = _PARAMETERS.pack(self.entry & 0xFFFFFFFF, self.simd, self.pair)
        return hashlib.sha256(head + self.code).digest()


@dataclass(slots=True)
class TranslationCounters:
    """What happened since the start."""

    requests: int = 0
    """Kernels asked for that were not at hand."""
    memory_hits: int = 0
    disk_hits: int = 0
    compilations: int = 0
    refusals: int = 0
    """Programs that cannot be translated: too large, or what only the interpreter runs. Not those
    that are translated, but not for pairs of threads; the same of `failures`."""
    deaths: int = 0
    """Times that the compiler process ended, late ones not counted."""
    timeouts: int = 0
    failures: int = 0
    """Kernels given up: refused, not linkable, or after too many deaths."""
    dropped: int = 0
    """Requests that found too many before them, and are to be made again."""
    seconds: float = 0.0
    """Processor time of compilations."""
    evictions: int = 0


class Compiler(Protocol):
    """What `CompilerProcess` offers."""

    def compile(self, code: bytes, entry: int, simd: int, *, pair: bool) -> Reply:
        """Raises ProcessDied."""

    def stop(self) -> None:
        """End it."""


class ObjectLinker(Protocol):
    """What `Linker` offers."""

    def link(self, content: bytes, *, pair: bool) -> Linked:
        """Raises LinkError."""


@dataclass(frozen=True, slots=True)
class TranslationLimits:
    """Upper sizes. ``pending`` counts for each owner."""

    pending: int = 64
    kernels: int = 4096
    kept_bytes: int = 256 << 20
    failures: int = 16384


@dataclass(slots=True)
class _Wanted:
    kernel: KernelCode
    key: bytes
    owners: set[Hashable] = field(default_factory=set)
    """In whose queues it is, or was."""
    done: threading.Event = field(default_factory=threading.Event)
    long: bool = False
    """The compiler for what is quick gave it up."""


class _Lane:
    """A compiler, and what waits for it."""

    def __init__(self, compiler: Compiler, name: str) -> None:
        self.compiler, self.name = compiler, name
        self.turns: Turns[_Wanted] = Turns()
        self.thread: threading.Thread | None = None


class Translations:
    """All compiled kernels of a software GPU. Any thread may ask."""

    def __init__(
        self,
        compiler: Compiler,
        linker: ObjectLinker,
        disk: DiskCache | None = None,
        versions: bytes = b"",
        limits: TranslationLimits | None = None,
        patient: Compiler | None = None,
    ) -> None:
        """``versions``: whatever else an object depends on, for the key on disk; ``patient``: a
        compiler with more time for what ``compiler`` does not end."""
        self._linker, self._disk = linker, disk
        self._quick = _Lane(compiler, "eu compiler")
        self._patient = None if patient is None else _Lane(patient, "eu compiler, long")
        self._versions = versions
        self._limits = limits or TranslationLimits()
        self._changed = threading.Condition()
        self._ready: OrderedDict[bytes, Linked] = OrderedDict()
        self._kept_bytes = 0
        self._failed: OrderedDict[bytes, str] = OrderedDict()
        self._wanted: dict[bytes, _Wanted] = {}
        self._closed = False
        self.counters = TranslationCounters()

    def get(self, kernel: KernelCode, owner: Hashable = None) -> Linked | None:
        """The compiled kernel, if it is there; otherwise it is compiled unless it has failed."""
        with self._changed:
            found = self._ready.get(kernel.digest)
            if found is not None:
                self._ready.move_to_end(kernel.digest)
                self.counters.memory_hits += 1
                return found
            self._want(kernel, owner)
            return None

    def wait(self, kernel: KernelCode, seconds: float, owner: Hashable = None) -> Linked | None:
        """The same, but waits for it; None when it has failed or the time is over."""
        with self._changed:
            wanted = None
            if kernel.digest not in self._ready:
                wanted = self._want(kernel, owner)
        if wanted is not None:
            wanted.done.wait(seconds)
        with self._changed:
            return self._ready.get(kernel.digest)

    def reason(self, kernel: KernelCode) -> str | None:
        """Why a kernel has failed; None if it has not."""
        with self._changed:
            return self._failed.get(kernel.digest)

    @property
    def pending(self) -> int:
        """Kernels that wait to be compiled, or are being compiled."""
        with self._changed:
            return len(self._wanted)

    @property
    def kept(self) -> int:
        """Kernels at hand."""
        with self._changed:
            return len(self._ready)

    def close(self) -> None:
        """End threads and compilers; what is compiled stays valid."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for lane in filter(None, (self._quick, self._patient)):
            if lane.thread is not None:
                lane.thread.join()
            lane.compiler.stop()

    def _want(self, kernel: KernelCode, owner: Hashable) -> _Wanted | None:
        key = kernel.digest
        if key in self._failed or self._closed:
            return None
        wanted = self._wanted.get(key)
        if wanted is not None and owner in wanted.owners:
            return wanted
        self.counters.requests += wanted is None
        if not 0 < len(kernel.code) <= MOST_CODE_BYTES:
            self._fail(key, "the program is too large")
            return None
        # Who waits for a pair's code runs meanwhile: it keeps nobody from what is quick.
        lane = self._patient if kernel.pair and self._patient is not None else self._quick
        if lane.turns.waiting(owner) >= self._limits.pending:
            self.counters.dropped += wanted is None
            return wanted
        if wanted is None:
            wanted = self._wanted[key] = _Wanted(kernel, key)
        # In the queue of each who wants it: nobody waits for what stands before it in another's.
        wanted.owners.add(owner)
        self._add(lane, owner, wanted)
        return wanted

    def _add(self, lane: _Lane, owner: Hashable, wanted: _Wanted) -> None:
        lane.turns.add(owner, wanted)
        if lane.thread is None:
            lane.thread = threading.Thread(
                target=self._work, args=(lane,), name=lane.name, daemon=True
            )
            lane.thread.start()
        self._changed.notify_all()

    def _work(self, lane: _Lane) -> None:
        while True:
            with self._changed:
                while not lane.turns and not self._closed:
                    self._changed.wait()
                if self._closed:
                    for left in self._wanted.values():
                        left.done.set()
                    self._wanted.clear()
                    return
                owner, wanted = lane.turns.take()
            start = time.monotonic()
            try:
                self._serve(lane, owner, wanted)
            except Exception as error:  # noqa: BLE001 - our bug; all guests' kernels come here
                _LOG.exception("a kernel is not compiled, and stays interpreted")
                self._give_up(wanted, f"{type(error).__name__}: {error}")
            with self._changed:
                lane.turns.charge(owner, time.monotonic() - start)

    def _serve(self, lane: _Lane, owner: Hashable, wanted: _Wanted) -> None:
        """Do what is wanted, or leave it to who has more time."""
        if wanted.done.is_set():
            return
        if not wanted.long or lane is self._patient:
            try:
                self._obtain(lane, wanted)
            except _Long:
                wanted.long = True
            else:
                return
        with self._changed:
            assert self._patient is not None, "nothing is left to nobody"
            if self._patient.turns.waiting(owner) < self._limits.pending:
                self._add(self._patient, owner, wanted)
                return
            wanted.owners.discard(owner)
            wanted_by_others = bool(wanted.owners)
        if not wanted_by_others:
            self._give_up(wanted, "too many programs that take long")

    def _give_up(self, wanted: _Wanted, reason: str) -> None:
        with self._changed:
            self._fail(wanted.key, reason, pair=wanted.kernel.pair)
            self._wanted.pop(wanted.key, None)
            wanted.done.set()

    def _obtain(self, lane: _Lane, wanted: _Wanted) -> None:
        """From disk or by compiling; ends with the kernel at hand, or failed.

        Raises _Long where there is who has more time.
        """
        disk_key = hashlib.sha256(self._versions + wanted.key).digest()
        content = self._disk.load(disk_key) if self._disk is not None else None
        from_disk = content is not None
        linked, reason = None, ""
        try:
            if content is None:
                content = self._compile(lane, wanted)
            linked = self._linker.link(content, pair=wanted.kernel.pair)
            linked = replace(linked, from_disk=from_disk)
        except LinkError as error:
            reason = f"not linked: {error}"
        except _Failed as error:
            reason = str(error)
        if linked is not None and not from_disk and self._disk is not None and content is not None:
            self._disk.store(disk_key, content)
        with self._changed:
            if from_disk and linked is not None:
                self.counters.disk_hits += 1
            if linked is None:
                self._fail(wanted.key, reason, pair=wanted.kernel.pair)
            else:
                self._keep(wanted.key, linked)
            self._wanted.pop(wanted.key, None)
            wanted.done.set()

    def _compile(self, lane: _Lane, wanted: _Wanted) -> bytes:
        start = time.monotonic()
        for _ in range(_ATTEMPTS if self._patient is None else 1):
            try:
                kernel = wanted.kernel
                reply = lane.compiler.compile(
                    kernel.code, kernel.entry, kernel.simd, pair=kernel.pair
                )
            except ProcessDied as death:
                with self._changed:
                    if death.late:
                        self.counters.timeouts += 1
                        self.counters.seconds += time.monotonic() - start
                    else:
                        self.counters.deaths += 1
                if self._patient is not None and lane is self._quick:
                    raise _Long from death
                if death.late:
                    raise _Failed(str(death)) from death
                last = str(death)
                continue
            with self._changed:
                self.counters.seconds += reply.seconds
                if reply.status is Status.OBJECT:
                    self.counters.compilations += 1
                    return reply.content
                self.counters.refusals += not wanted.kernel.pair
            raise _Failed(reply.content.decode(errors="replace"))
        raise _Failed(last)

    def _fail(self, key: bytes, reason: str, *, pair: bool = False) -> None:
        self.counters.failures += not pair
        self._failed[key] = reason
        while len(self._failed) > self._limits.failures:
            self._failed.popitem(last=False)

    def _keep(self, key: bytes, linked: Linked) -> None:
        self._ready[key] = linked
        self._kept_bytes += linked.size
        while len(self._ready) > 1 and (
            len(self._ready) > self._limits.kernels or self._kept_bytes > self._limits.kept_bytes
        ):
            _, oldest = self._ready.popitem(last=False)
            self._kept_bytes -= oldest.size
            self.counters.evictions += 1


class _Failed(Exception):
    """A kernel is given up: it says why."""


class _Long(Exception):
    """A kernel takes more time than the compiler for what is quick has."""
