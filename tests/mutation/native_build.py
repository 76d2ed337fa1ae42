"""The C extensions of a copy, built file by file: a fault costs the compiling of its file alone."""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from tests.mutation.project_copy import ProjectCopy
from tests.mutation.stamps import stamp, unstamped

_EMIT = "from {}.build import ffibuilder; ffibuilder.emit_c_code('{}')"
_FLAGS = ("-c", "-fPIC", "-O3", "-w")


@dataclass(frozen=True, slots=True)
class Extension:
    """One of them, as its own ``build.py`` builds it."""

    room: str
    """Where its sources are, and ``build.py``."""
    target: str
    """What it is called where it is imported, without a suffix."""
    flags: tuple[str, ...]
    others: tuple[str, ...] = ()
    """Sources of other rooms that are in it too."""
    includes: tuple[str, ...] = ()
    """Other rooms whose headers it takes."""
    libraries: tuple[str, ...] = ()

    @property
    def rooms(self) -> tuple[str, ...]:
        """All rooms whose headers it takes."""
        return (self.room, *self.includes)


EXTENSIONS = (
    Extension("mediator/hotpath", "mediator/hotpath/_hotpath", ("-std=c11", "-mcx16")),
    Extension(
        "mediator/softgpu/eu/native",
        "mediator/softgpu/eu/_native",
        ("-std=gnu11", "-pthread", "-fno-strict-aliasing", "-ffp-contract=off"),
        others=("mediator/hotpath/walk.c",),
        includes=("mediator/hotpath",),
        libraries=("-lm", "-pthread"),
    ),
)


class CompilerRefusal(Exception):
    """The compiler does not take the code."""


class NativeBuild:
    """Builds the extensions of ``copy``, whose code has no fault yet. Raises CompilerRefusal."""

    def __init__(self, copy: ProjectCopy) -> None:
        self._copy = copy
        self._sound: dict[Path, bytes] = {}
        for each in EXTENSIONS:
            place = copy.root / each.target
            for built in place.parent.glob(f"{place.name}*.so"):
                built.unlink()
            self._sound |= self._build(each, lambda _source: True)
            target = self._target(each)
            self._sound[target] = target.read_bytes()

    def build(self, file: str) -> bool:
        """Build again what ``file``, which has changed, is part of.

        Returns False where the machine code is the same as without the change. Raises
        CompilerRefusal.
        """
        objects: dict[Path, bytes] = {}
        room = Path(file).parent.as_posix()
        for each in EXTENSIONS:
            if file.endswith(".h"):
                if room in each.rooms:
                    objects |= self._build(each, lambda _source: True)
            else:
                objects |= self._build(each, lambda source: source == file)
        return any(self._sound[path] != content for path, content in objects.items())

    def reset(self) -> None:
        """Have again what was built from the code without a fault."""
        for path, content in self._sound.items():
            if path.read_bytes() != content:
                path.unlink()  # a program that still has it mapped keeps the old file
                path.write_bytes(content)

    def _build(self, extension: Extension, chosen: Callable[[str], bool]) -> dict[Path, bytes]:
        """Compile the ``chosen`` of its sources anew, and link; the objects that were made."""
        root = self._copy.root
        names = [path.relative_to(root).as_posix() for path in (root / extension.room).glob("*.c")]
        found = [name for name in (*names, *extension.others) if chosen(name)]
        if not found:
            return {}
        place = self._objects(extension)
        if len(found) > 1:
            found.append(self._emitted(extension))
        place.mkdir(exist_ok=True)
        objects = {}
        for name in dict.fromkeys(found):
            made = place / f"{Path(name).stem}.o"
            self._compile(extension, name, made)
            objects[made] = made.read_bytes()
        self._link(extension)
        return objects

    def _emitted(self, extension: Extension) -> str:
        """The wrapper that cffi makes of its headers: its path."""
        name = f"scratch/{Path(extension.target).name}.c"
        module = extension.room.replace("/", ".")
        path = self._copy.root / name
        self._run([sys.executable, "-c", _EMIT.format(module, path)])
        path.write_text(unstamped(path.read_text()))
        return name

    def _compile(self, extension: Extension, source: str, made: Path) -> None:
        includes = [*extension.rooms, sysconfig.get_paths()["include"]]
        flags = [flag for flag in extension.flags if flag != "-mcx16" or _is_x86()]
        places = [part for place in includes for part in ("-I", place)]
        self._run([*_compiler(), *_FLAGS, *flags, *places, source, "-o", str(made)])

    def _link(self, extension: Extension) -> None:
        target = self._target(extension)
        target.unlink(missing_ok=True)
        objects = sorted(map(str, self._objects(extension).glob("*.o")))
        libraries = extension.libraries
        self._run([*_compiler(), "-shared", "-o", str(target), *objects, *libraries])
        stamp(self._copy.root)

    def _objects(self, extension: Extension) -> Path:
        return self._copy.root / "scratch" / Path(extension.target).name

    def _target(self, extension: Extension) -> Path:
        return self._copy.root / f"{extension.target}{EXTENSION_SUFFIXES[0]}"

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self._copy.root,
            env=self._copy.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CompilerRefusal(done.stderr)


def _compiler() -> list[str]:
    return shlex.split(sysconfig.get_config_var("CC") or "cc")


def _is_x86() -> bool:
    return sysconfig.get_platform().endswith("x86_64")
