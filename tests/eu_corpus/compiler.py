"""Intel's offline compiler and assembler of Debian 12 as a private copy; no GPU is needed."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.private_program import private_command
from tests.guests.setup_error import SetupError

DEVICE = "skl"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_UNUSED = ("usr/share", "etc", f"{_LIBRARIES}/gconv")
_SECONDS = 300.0


class CompilationError(Exception):
    """A compiler or assembler refused its input; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """The unpacked packages."""

    tree: Path

    def compile(self, source: str, options: str = "") -> bytes:
        """OpenCL C as a program binary for Skylake (`program_binary.parse` reads it).

        Raises CompilationError.
        """
        with tempfile.TemporaryDirectory(prefix="vgpud-ocloc-") as scratch:
            place = Path(scratch)
            (place / "k.cl").write_text(source)
            command = [*self._program("usr/bin/ocloc"), "compile", "-file", "k.cl"]
            command += ["-device", DEVICE, "-out_dir", "out", "-output", "k"]
            if options:
                command += ["-options", options]
            said = self._run(command, place)
            found = sorted((place / "out").glob("*.bin"))
            if not found:
                raise CompilationError(said)
            return found[0].read_bytes()

    def assemble(self, text: str) -> bytes:
        """Assembly text of iga64 as Gen9 machine code. Raises CompilationError."""
        return self._iga("-a", text.encode())

    def disassemble(self, code: bytes, *, pc: bool = False) -> str:
        """Gen9 machine code as text; with ``pc`` each line names its offset.

        Jump targets are offsets, not labels, so that the text can be told line by line.
        """
        options = ("-n", "-Xprint-pc") if pc else ()
        return self._iga("-d", code, *options).decode()

    def _iga(self, what: str, data: bytes, *options: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="vgpud-iga-") as scratch:
            place = Path(scratch)
            (place / "in").write_bytes(data)
            command = [*self._program("usr/bin/iga64"), "in", "-p=9", what, *options, "-o", "out"]
            said = self._run(command, place)
            if not (place / "out").is_file():
                raise CompilationError(said)
            return (place / "out").read_bytes()

    def _program(self, name: str) -> list[str]:
        return private_command(self.tree, name)

    def _run(self, command: list[str], place: Path) -> str:
        done = subprocess.run(
            command,
            cwd=place,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TMPDIR": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CompilationError(f"{command[0]}: status {done.returncode}\n{done.stdout}")
        return done.stdout


def find_compiler(root: Path | None = None) -> Compiler:
    """The private copy in the cache, fetched if it is not there. Raises SetupError."""

    place = root or store.cache_root()

    def build(target: Path) -> None:
        store.say("Intel's compiler for Gen9, private copy (once):")
        PrivateApt(packages.EU_COMPILER.world, place).unpack(packages.EU_COMPILER, target)
        if not (target / "usr/bin/ocloc").exists():
            raise SetupError("package intel-opencl-icd holds no usr/bin/ocloc")

    return Compiler(
        store.artefact(place, "eu-compiler", store.digest(1, packages.EU_COMPILER), build)
    )
