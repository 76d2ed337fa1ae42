"""Whether a C extension was built from the sources that are here.

An extension outlives its sources: a build that fails leaves the old one in place, a checkout of
other commits leaves all of them. Its build script puts the version of its sources into it; whoever
imports it has them compared, and `make venv` builds what is stale. Build scripts and the set-up run
this file by its path: it imports nothing of the project.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
MARK = "vgpud sources "
"""What a version begins with, before 64 hexadecimal digits: found in a file without loading it."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A C extension of the package ``mediator``."""

    module: str
    constant: str
    """The C string that is its version."""
    sources: tuple[str, ...]
    """All that makes it, as patterns in the package."""


HOTPATH = Extension(
    "mediator.hotpath._hotpath",
    "hp_sources",
    ("hotpath/build.py", "hotpath/*.h", "hotpath/[!_]*.c"),
)
"""``_hotpath.c`` is cffi's, which a build in place leaves there."""
EXECUTION_UNITS = Extension(
    "mediator.softgpu.eu._native",
    "eu_sources",
    (
        *("softgpu/eu/native/build.py", "softgpu/eu/native/*.h", "softgpu/eu/native/*.c"),
        *("hotpath/*.h", "hotpath/walk.c", "gen9/eu/formats.py"),
    ),
)
EXTENSIONS = (HOTPATH, EXECUTION_UNITS)


class StaleExtension(ImportError):
    """The extension does not fit the code that would call it; says what to do."""


def version(extension: Extension, package: Path = _PACKAGE) -> str | None:
    """What identifies the sources in ``package``; None where there is no C, as in some installs."""
    files = sorted({path for pattern in extension.sources for path in package.glob(pattern)})
    if all(path.suffix != ".c" for path in files):
        return None
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(package).as_posix()
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return MARK + digest.hexdigest()


def check(extension: Extension, ffi: Any, lib: Any, package: Path = _PACKAGE) -> None:
    """Raise StaleExtension unless what was imported is of the sources in ``package``."""
    wanted = version(extension, package)
    if wanted is None:
        return
    built = getattr(lib, extension.constant, None)  # none: from before there were versions
    if built is None or ffi.string(built) != wanted.encode():
        raise StaleExtension(
            f"the C extension {extension.module} was built from other sources than those here: run "
            "`make venv` in the checkout, or else install vgpud again"
        )


def built_files(extension: Extension, package: Path = _PACKAGE) -> list[Path]:
    """What an import of the extension may find in ``package``."""
    _, *rooms, name = extension.module.split(".")
    return sorted(package.joinpath(*rooms).glob(f"{name}.*so"))


def is_fresh(extension: Extension, package: Path = _PACKAGE) -> bool:
    """Whether all that was built in ``package`` is of the sources there, and something was."""
    wanted = (version(extension, package) or "").encode()
    files = built_files(extension, package)
    return bool(files) and all(wanted in path.read_bytes() for path in files)
