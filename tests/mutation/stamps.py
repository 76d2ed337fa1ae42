"""The versions in a copy's C extensions, kept those of its sources.

A fault in C, or in the facts that C is made of, makes every extension of the copy stale
(`mediator/native_sources.py`). That would notice each of them, and no test would have to.
"""

from __future__ import annotations

import re
from pathlib import Path

from mediator.native_sources import EXTENSIONS, MARK, built_files, version

_STAMP = re.compile(re.escape(MARK) + "[0-9a-f]{64}")
_IN_BYTES = re.compile(_STAMP.pattern.encode())
_NONE = MARK + 64 * "0"


def unstamped(text: str) -> str:
    """C code that is the same whatever its sources' version."""
    return _STAMP.sub(_NONE, text)


def stamp(root: Path) -> None:
    """Give the extensions of the copy at ``root`` the version of the sources there."""
    package = root / "mediator"
    for each in EXTENSIONS:
        wanted = (version(each, package) or _NONE).encode()
        for path in built_files(each, package):
            content = path.read_bytes()
            fresh = _IN_BYTES.sub(wanted, content)
            if fresh != content:
                path.unlink()  # a program that still has it mapped keeps the old file
                path.write_bytes(fresh)
