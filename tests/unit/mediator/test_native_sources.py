"""C extensions that were built from other sources are refused, in words that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mediator import hotpath
from mediator.native_sources import (
    EXECUTION_UNITS,
    EXTENSIONS,
    HOTPATH,
    MARK,
    Extension,
    StaleExtension,
    built_files,
    check,
    is_fresh,
    version,
)

SOURCES = ("hotpath/walk.c", "hotpath/interface.h", "hotpath/build.py", "gen9/eu/formats.py")
FFI = SimpleNamespace(string=str.encode)
CURE = "was built from other sources than those here: run `make venv` in the checkout"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Sources of extensions, and no more."""
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def lib(extension: Extension, built: str | None) -> SimpleNamespace:
    """An extension with that version."""
    return SimpleNamespace(**{extension.constant: built})


@pytest.mark.parametrize(
    ("name", "concerned"),
    [
        ("hotpath/walk.c", [HOTPATH, EXECUTION_UNITS]),
        ("hotpath/interface.h", [HOTPATH, EXECUTION_UNITS]),
        ("hotpath/build.py", [HOTPATH]),
        ("hotpath/blit.c", [HOTPATH]),
        ("gen9/eu/formats.py", [EXECUTION_UNITS]),
        ("softgpu/eu/native/pool.c", [EXECUTION_UNITS]),
        ("softgpu/eu/native/abi.h", [EXECUTION_UNITS]),
        ("softgpu/eu/native/build.py", [EXECUTION_UNITS]),
        ("hotpath/_hotpath.c", []),
        ("hotpath/native.py", []),
    ],
)
def test_a_version_changes_with_what_makes_the_extension(
    package: Path, name: str, concerned: list[Extension]
) -> None:
    before = {each.module: version(each, package) for each in EXTENSIONS}
    assert before == {each.module: version(each, package) for each in EXTENSIONS}
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_text("another")
    changed = [each for each in EXTENSIONS if version(each, package) != before[each.module]]
    assert changed == concerned


def test_a_file_that_goes_or_is_renamed_counts(package: Path) -> None:
    versions = {version(HOTPATH, package)}
    (package / "hotpath/walk.c").rename(package / "hotpath/stroll.c")
    versions.add(version(HOTPATH, package))
    (package / "hotpath/interface.h").unlink()
    versions.add(version(HOTPATH, package))
    assert len(versions) == 3


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda each: each.constant)
def test_what_fits_passes_and_all_else_is_stale(package: Path, extension: Extension) -> None:
    check(extension, FFI, lib(extension, version(extension, package)), package)
    for stale in (lib(extension, MARK + 64 * "0"), SimpleNamespace()):
        with pytest.raises(StaleExtension, match=CURE) as raised:
            check(extension, FFI, stale, package)
        assert str(raised.value).startswith(f"the C extension {extension.module} was built")


def test_without_sources_there_is_nothing_to_compare(package: Path) -> None:
    (package / "hotpath/walk.c").unlink()
    assert version(HOTPATH, package) is None
    check(HOTPATH, FFI, SimpleNamespace(), package)


def test_files_are_looked_at_without_being_loaded(package: Path) -> None:
    assert not is_fresh(HOTPATH, package)
    wanted = version(HOTPATH, package)
    assert wanted is not None
    built = package / "hotpath/_hotpath.abi3.so"
    built.write_bytes(b"\x7fELF" + wanted.encode() + b"\0")
    assert built_files(HOTPATH, package) == [built]
    assert is_fresh(HOTPATH, package)
    (package / "hotpath/_hotpath.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    assert not is_fresh(HOTPATH, package), "which of them is loaded, the interpreter decides"


@pytest.mark.skipif(not hotpath.NATIVE, reason="the C hot path is not built")
def test_what_is_built_here_is_of_these_sources() -> None:
    for each in EXTENSIONS:
        assert is_fresh(each)
    with pytest.raises(StaleExtension):
        check(HOTPATH, FFI, SimpleNamespace())


def _stale(extension: Extension) -> str:
    """What a start of vgpud says and does if the extension has no version."""
    program = (
        "import logging, sys, types\n"
        "import cffi\n"
        f"sys.modules['{extension.module}'] = types.SimpleNamespace(\n"
        "    __spec__=sys, ffi=cffi.FFI(), lib=types.SimpleNamespace())\n"
        "from mediator import hotpath\n"
        "from mediator.softgpu.eu.dispatch.host_units import make_pool, shared_translations\n"
        "from vgpu_ctl.interpreter import prepare_interpreter\n"
        "logging.basicConfig(format='%(message)s')\n"
        "prepare_interpreter()\n"
        "print(hotpath.NATIVE, make_pool(), shared_translations(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(not hotpath.NATIVE, reason="the C hot path is not built")
def test_a_stale_hot_path_gives_way_to_python() -> None:
    told = _stale(HOTPATH)
    assert (
        f"the C extension {HOTPATH.module} {CURE}, or else install vgpud again: the slower" in told
    )
    assert (
        f"kernels are interpreted, which is slow: the C extension {HOTPATH.module} {CURE}" in told
    )
    assert told.splitlines()[-1] == "False None None"


@pytest.mark.skipif(not hotpath.NATIVE, reason="the C hot path is not built")
def test_stale_execution_units_give_way_to_the_interpreter() -> None:
    told = _stale(EXECUTION_UNITS)
    assert "slower Python twin" not in told
    assert f"is slow: the C extension {EXECUTION_UNITS.module} {CURE}" in told
    assert told.splitlines()[-1] == "True None None"
