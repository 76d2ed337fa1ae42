"""The programs of kernel jobs: decoded once for each content, and checked against memory each time.

Code is the guest's memory, so what was decoded is used only where the same bytes still stand. A
long program is decoded in slices; what has been decoded is kept for the next one.
Compiled forms come from the translator, which works beside; until one is there a program is worth
waiting for or worth interpreting, by how much there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mediator.hotpath.interface import PageFault, never
from mediator.softgpu.eu.dispatch.fair_store import FairStore
from mediator.softgpu.eu.dispatch.interpreted import InterpretedProgram
from mediator.softgpu.eu.dispatch.media_state import wrap
from mediator.softgpu.eu.dispatch.running import Abandoned, KernelFault, ProgramCounters
from mediator.softgpu.eu.interpreter.shelf import Shelf
from mediator.softgpu.eu.isa.instruction import IllegalInstruction
from mediator.softgpu.eu.isa.program import Program, Reached
from mediator.softgpu.eu.translator.pairs import misfit
from mediator.softgpu.eu.translator.translations import KernelCode, Translations

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import KernelJob
    from mediator.softgpu.eu.dispatch.running import Compiled, Interpreted, Pair, Stopping
    from mediator.softgpu.eu.interpreter.interpreter import Prepared
    from mediator.softgpu.eu.translator.linker import Linked

_PROGRAMS: Final = 1024
_INSTRUCTIONS: Final = 1 << 18
"""Of all programs that are remembered: one takes some 400 bytes."""
_OF_ONE: Final = 1 << 16
"""Of one owner's: Python's collector looks at them all while nobody else runs, some 0.1 s."""
_PLACES: Final = 1024
_VERSIONS: Final = 8
"""Programs remembered for one address: of several contexts, or one after the other."""
_UNFINISHED: Final = 64
"""Programs that are being decoded, of several contexts."""
_SMALL_WORK: Final = 4096
"""Instructions, counted once for each group, that are interpreted before a compiler is done."""
_WORTH_A_PAIR: Final = 4096
"""Threads of a program, of all its jobs, from which on it is compiled for two at a time."""


_Key = tuple[bytes, int]
"""Digest of a program, and the dispatch width."""
_Place = tuple[int, int]
"""Address of a program's first instruction, and the dispatch width."""
_Beginning = tuple[int, int, int, int]
"""Root of the page tables, address of the first instruction, address and size of its heap."""


class ProgramKernel:
    """A program and its forms. ``simd``: the dispatch width it is compiled for."""

    def __init__(
        self,
        program: Program,
        simd: int,
        translations: Translations | None,
        counters: ProgramCounters,
        shelf: Shelf[Prepared],
    ) -> None:
        self.program = program
        self.size = len(program.instructions)
        self._counters = counters
        self.shelf = shelf
        self.interpreted: Interpreted = InterpretedProgram(program.at, shelf)
        self._translations = translations
        self._code = None if translations is None else KernelCode.of(program, simd)
        self._compiled: Compiled | None = None
        self._simd = simd
        self._threads = 0
        self._pair: Pair | None = None
        self._pair_code: KernelCode | None = None

    def compiled(self, owner: Hashable) -> Compiled | None:
        """For the host's processor; None while there is no such form, or for good."""
        if self._compiled is None and self._translations is not None and self._code is not None:
            self._found(self._translations.get(self._code, owner), self._translations)
        return self._compiled

    def wait(self, seconds: float, owner: Hashable) -> bool:
        """Wait so long for the compiled form; whether it may still come."""
        if self._compiled is None and self._translations is not None and self._code is not None:
            found = self._translations.wait(self._code, seconds, owner)
            self._found(found, self._translations)
        return self._compiled is not None or self._code is not None

    def _found(self, linked: Linked | None, translations: Translations) -> None:
        """What has come of asking for the compiled form, if anything has."""
        if linked is not None:
            self._compiled = linked
            self._code = None  # of no use any longer, and may have a MiB
            self._counters.compiled += 1
            self._counters.from_disk += linked.from_disk
        elif self._code is not None and translations.reason(self._code) is not None:
            self._code = None  # for good
            self._counters.uncompiled += 1

    def pair(self, owner: Hashable, threads: int) -> Pair | None:
        """For two threads at a time; None while that is not there, or for good. ``threads``: so
        many more begin than the last call knew of."""
        before, self._threads = self._threads, self._threads + threads
        if before < _WORTH_A_PAIR <= self._threads and misfit(self.program, self._simd) is None:
            self._pair_code = replace(KernelCode.of(self.program, self._simd), pair=True)
        if self._pair_code is not None and self._translations is not None:
            self._pair = self._translations.get(self._pair_code, owner)
            if self._pair is not None or self._translations.reason(self._pair_code) is not None:
                self._pair_code = None  # there, or not for good
        return self._pair

    def is_small(self, groups: int) -> bool:
        """So many groups are soon interpreted."""
        program = self.program
        loops = any(at <= block.start for block in program.blocks for at in block.successors)
        return not (loops or program.dynamic) and groups * len(program.instructions) < _SMALL_WORK


class JobKernel:
    """A program as one job runs it, whose targets in registers may lead to more of its memory."""

    def __init__(self, kernel: ProgramKernel, reached: Reached) -> None:
        self.program = kernel.program
        self._reached = reached
        self.interpreted: Interpreted = InterpretedProgram(reached.at, kernel.shelf)
        self.compiled = kernel.compiled
        self.wait = kernel.wait
        self.pair = kernel.pair
        self.is_small = kernel.is_small

    @property
    def size(self) -> int:
        """What it takes, in instructions."""
        return self._reached.taken


class _Heap:
    """Where a program's code is: the instruction heap at an address of a space."""

    def __init__(self, space: AddressSpace, address: int) -> None:
        self.space = space
        self._address = address

    def read(self, at: int, count: int) -> bytes:
        """Code, by its offset in the heap."""
        return self.space.read(wrap(self._address + at), count)


class _Unfinished:
    """A program that is being decoded from ``heap``, whose space is that of who runs."""

    def __init__(self, heap: _Heap, entry: int, size: int) -> None:
        self.heap = heap
        self.slices = 0
        self.instructions = 0
        """What it takes, in instructions."""
        self.program = Program(heap.read, entry, size, whole=False)

    def advance(self, stopping: Stopping) -> bool:
        """Go on until ``stopping`` says so; whether the program is whole."""
        self.slices += 1
        for count in self.program.steps:
            self.instructions = count
            if stopping():
                return False
        return True


class ProgramCache:
    """All programs of one GPU. ``translations`` is asked for when the first program is found.

    Each owner (guest) has its own: what is decoded for one is neither found nor lost by others.
    """

    def __init__(self, translations: Callable[[], Translations | None]) -> None:
        self._open = translations
        self._opened = False
        self.counters = ProgramCounters()
        self._translations: Translations | None = None
        self._shelf: Shelf[Prepared] = Shelf()
        self._programs: FairStore[_Key, ProgramKernel] = FairStore(
            _PROGRAMS, _INSTRUCTIONS, _OF_ONE
        )
        self._at: FairStore[_Place, list[_Key]] = FairStore(_PLACES, _PLACES)
        """What stood where, the one used last at the end."""
        self._unfinished: FairStore[_Beginning, _Unfinished] = FairStore(_UNFINISHED, _INSTRUCTIONS)

    @property
    def translations(self) -> Translations | None:
        """The translator, where this host has one."""
        if not self._opened:
            self._opened = True
            self._translations = self._open()
        return self._translations

    def find(
        self,
        job: KernelJob,
        space: AddressSpace,
        stopping: Stopping = never,
        owner: Hashable = None,
    ) -> ProgramKernel | JobKernel:
        """The program of ``job`` as it stands in memory now; see `Kernels`."""
        known = self._at.get(owner, (job.kernel, job.shape.simd)) or []
        for number in range(len(known) - 1, -1, -1):
            found = self._programs.get(owner, known[number])
            if found is not None and _stands(found.program, job.kernel, space):
                known.append(known.pop(number))
                self.counters.hits += 1
                return _for_job(found, job, space)
        return _for_job(self._decode(job, space, stopping, owner), job, space)

    def _whole(
        self, job: KernelJob, space: AddressSpace, stopping: Stopping, owner: Hashable
    ) -> Program:
        """The program as it stands in memory. Raises PageFault, KernelFault, and Abandoned if
        ``stopping`` says so before it is whole: the next call goes on."""
        heap, entry = job.bases.instruction, job.descriptor.kernel
        key = space.root, job.kernel, heap.address, heap.size
        found = self._unfinished.pop(owner, key)
        if found is None:
            found = _Unfinished(_Heap(space, heap.address), entry, heap.size)
        found.heap.space = space
        try:
            whole = found.advance(stopping)
        except IllegalInstruction as error:
            raise KernelFault(str(error)) from error
        if not whole:
            self._unfinished.put(owner, key, found, found.instructions)
            raise Abandoned
        if found.slices > 1 and not _stands(found.program, job.kernel, space):
            raise Abandoned  # its code has changed meanwhile: anew
        return found.program

    def _decode(
        self, job: KernelJob, space: AddressSpace, stopping: Stopping, owner: Hashable
    ) -> ProgramKernel:
        program = self._whole(job, space, stopping, owner)
        self.counters.decoded += 1
        key, simd = (program.digest, job.shape.simd), job.shape.simd
        kernel = self._programs.get(owner, key)
        if kernel is None:
            kernel = ProgramKernel(program, simd, self.translations, self.counters, self._shelf)
            self._programs.put(owner, key, kernel, kernel.size)
        self._remember(owner, (job.kernel, simd), key)
        return kernel

    def _remember(self, owner: Hashable, place: _Place, key: _Key) -> None:
        known = self._at.get(owner, place) or []
        known.append(key)
        del known[:-_VERSIONS]
        self._at.put(owner, place, known)


def _for_job(
    kernel: ProgramKernel, job: KernelJob, space: AddressSpace
) -> ProgramKernel | JobKernel:
    """``kernel`` as ``job`` runs it."""
    if not kernel.program.dynamic:
        return kernel
    heap = job.bases.instruction
    read = _Heap(space, heap.address).read
    return JobKernel(kernel, Reached(kernel.program, read, job.descriptor.kernel, heap.size))


def _stands(program: Program, address: int, space: AddressSpace) -> bool:
    """All code of ``program`` stands in memory around ``address``.

    Where it cannot be read another program is now, one that may be shorter.
    """
    try:
        return all(
            space.read(wrap(address + offset), len(code)) == code for offset, code in program.ranges
        )
    except PageFault:
        return False
