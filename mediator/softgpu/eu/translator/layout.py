"""Where the members of the shared structures stand: `native/abi.h` says it, and is read."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI  # type: ignore[import-untyped]  # cffi ships no types

_HEADER = Path(__file__).parents[1] / "native" / "abi.h"


@cache
def _declarations() -> Any:
    ffi = FFI()
    ffi.cdef(_HEADER.read_text())
    return ffi


@cache
def offset(structure: str, *path: str | int) -> int:
    """Byte of a member, ``offset("eu_thread", "grf")``, or of an element of one."""
    return int(_declarations().offsetof(f"struct {structure}", *path))


@cache
def size(structure: str) -> int:
    """Bytes of a structure."""
    return int(_declarations().sizeof(f"struct {structure}"))


@cache
def fingerprint() -> bytes:
    """Digest of the header: objects made for another one do not fit."""
    return hashlib.sha256(_HEADER.read_bytes()).digest()
