"""The corpus: every case compiled by Intel's offline compiler, ready to be laid out and run."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from tests.eu_corpus.case import Case, Size
from tests.eu_corpus.cases import CASES
from tests.eu_corpus.compiler import Compiler, find_compiler
from tests.eu_corpus.launch import Launch, prepare
from tests.eu_corpus.program_binary import ProgramBinary, parse
from tests.guests import packages, store


@dataclass(frozen=True, slots=True)
class Kernel:
    """A case with the program that the compiler made of it."""

    case: Case
    program: ProgramBinary

    @property
    def name(self) -> str:
        """The case's name."""
        return self.case.name

    @property
    def isa(self) -> bytes:
        """The kernel's machine code."""
        return self.program.kernels[self.case.function].isa

    @property
    def simd(self) -> int:
        """Channels of a thread."""
        return self.program.kernels[self.case.function].simd

    def launch(self) -> Launch:
        """Fresh memory with the arguments in it."""
        return prepare(self.case, self.program)


def kernel(name: str, size: Size = Size.SMALL) -> Kernel:
    """One kernel. Raises KeyError for a name that is none, SetupError without a compiler."""
    case = CASES[name](size)
    return Kernel(case, _program(case.source, case.options))


def kernels(size: Size = Size.SMALL) -> list[Kernel]:
    """Every kernel of the corpus."""
    return [kernel(name, size) for name in CASES]


def compile_source(source: str, options: str = "") -> ProgramBinary:
    """Any OpenCL C as a program; kept in the cache by content."""
    return _program(source, options)


@functools.cache
def compiler() -> Compiler:
    """The compiler, assembler and disassembler."""
    return find_compiler()


@functools.cache
def _program(source: str, options: str) -> ProgramBinary:
    key = store.digest(2, packages.EU_COMPILER, source, options)
    place = store.cache_root() / "eu-programs" / f"{key}.bin"
    if not place.is_file():
        data = compiler().compile(source, options)
        parse(data)
        _keep(place, data)
    return parse(place.read_bytes())


def _keep(place: Path, data: bytes) -> None:
    with store.disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(".part")
        scratch.write_bytes(data)
        scratch.replace(place)
