"""cffi build script of the execution units' runtime: C11, API mode, so calls release the GIL.

``setup.py`` runs it; ``python mediator/softgpu/eu/native/build.py`` builds in place, from the
project's root. It has a copy of the hot path's page walk and shares that extension's types.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]  # cffi ships no types

_HERE = Path(__file__).parent
_PLACE = "mediator/softgpu/eu/native"
_HOTPATH = "mediator/hotpath"
_FLAGS = ["-std=gnu11", "-O3", "-pthread", "-fno-strict-aliasing", "-ffp-contract=off"]
_FLAGS += ["-Wall", "-Wextra", "-Werror"]
_READ = ("abi.h", "pool.h")
_NEEDED = ("hotpath.h", "interface.h", "page_table.h", "walk.c")


def _formats() -> str:
    """The table of surface formats in C, made of the facts."""
    facts = runpy.run_path(str(_HERE.parents[2] / "gen9" / "eu" / "formats.py"))
    rows = []
    for code, each in facts["FORMATS"].items():
        channels = ", ".join(
            f"{{{channel.kind:d}, {channel.bits}, {channel.shift}}}" for channel in each.channels
        )
        flags = f"{each.srgb:d}, {each.integer:d}, {facts['typed_read_code'](each)}"
        rows.append(f"[{code}] = {{{each.size}, {flags}, {{{channels}}}}},")
    return "const struct eu_format eu_formats[512] = {\n" + "\n".join(rows) + "\n};\n"


def _builder() -> FFI:
    hotpath = runpy.run_path(str(_HERE.parents[2] / "hotpath" / "build.py"))["ffibuilder"]
    known = runpy.run_path(str(_HERE.parents[2] / "native_sources.py"))
    version = known["version"](known["EXECUTION_UNITS"])
    ffi = FFI()
    ffi.include(hotpath)
    for name in _READ:
        ffi.cdef((_HERE / name).read_text())
    sources = sorted(path.name for path in _HERE.glob("*.c"))
    headers = sorted(path.name for path in _HERE.glob("*.h"))
    ffi.set_source(
        "mediator.softgpu.eu._native",
        '#include "surface.h"\n#include "pool.h"\n'
        f'const char eu_sources[] = "{version}";\n{_formats()}',
        sources=[f"{_PLACE}/{name}" for name in sources] + [f"{_HOTPATH}/walk.c"],
        depends=[f"{_PLACE}/{name}" for name in headers]
        + [f"{_HOTPATH}/{name}" for name in _NEEDED]
        + ["mediator/gen9/eu/formats.py"],
        include_dirs=[_PLACE, _HOTPATH],
        extra_compile_args=_FLAGS,
        libraries=["m"],
        optional=True,  # without a compiler the Python twins and the interpreter do the work
    )
    return ffi


ffibuilder = _builder()

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
