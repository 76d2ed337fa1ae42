"""cffi build script of the hot path: C11, API mode, so every call releases the GIL.

``setup.py`` runs it; ``python mediator/hotpath/build.py`` builds in place, from the project's
root.
"""

from __future__ import annotations

import platform
import runpy
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]  # cffi ships no types

_HERE = Path(__file__).parent
_SOURCES = ("walk", "blit", "stores", "atomic", "compare", "copy", "skip", "shadow")
_HEADERS = ("hotpath", "interface", "page_table")
_FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror"]
if platform.machine() in {"x86_64", "AMD64"}:
    _FLAGS.append("-mcx16")  # MI_ATOMIC on 16 bytes


def _builder() -> FFI:
    sources = runpy.run_path(str(_HERE.parent / "native_sources.py"))
    version = sources["version"](sources["HOTPATH"])
    ffi = FFI()
    ffi.cdef((_HERE / "interface.h").read_text())
    ffi.set_source(
        "mediator.hotpath._hotpath",
        f'#include "hotpath.h"\nconst char hp_sources[] = "{version}";',
        sources=[f"mediator/hotpath/{name}.c" for name in _SOURCES],
        depends=[f"mediator/hotpath/{name}.h" for name in _HEADERS],
        include_dirs=["mediator/hotpath"],
        extra_compile_args=_FLAGS,
        optional=True,  # without a compiler the Python twin does the work
    )
    return ffi


ffibuilder = _builder()

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
