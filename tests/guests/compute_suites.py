"""What `make compute` can run: drivers, suites, and the files that a suite needs beside ours."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.guests import compute_programs, packages, store
from tests.guests.debian import PrivateApt
from tests.guests.setup_error import SetupError
from tests.guests.userland import userland


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver: the user space it is in, its OpenCL platform, what it is told, what it can run."""

    userland: str
    platform: str
    suites: tuple[str, ...]
    """The first is what it runs when nothing else is asked for."""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite: the module of `tests/eu_corpus` that runs it, and what that is told."""

    module: str
    names_platform: bool = False
    """The module takes the option --platform."""
    kit: Callable[[str], Path] | None = None
    """A directory of files that it needs, by user space. Raises SetupError."""
    kit_option: str = ""
    sized: bool = False
    """Its cases are known before and have sizes."""


# Rusticl offers double precision on request alone.
_MESA = ("RUSTICL_ENABLE=iris", "RUSTICL_FEATURES=fp64")
_OPENCL = ("kernels", "copies", "pyopencl", "piglit", "clpeak")
DRIVERS = {
    "rusticl": Driver("trixie", "rusticl", _OPENCL, _MESA),
    "rusticl-forky": Driver("forky", "rusticl", _OPENCL, _MESA),
    "neo": Driver("bookworm", "Intel(R) OpenCL HD Graphics", _OPENCL),
    "anv": Driver("trixie", "", ("vulkan",)),
}


def _vulkan_kit(_userland: str) -> Path:
    return compute_programs.built()


def pyopencl_tests(name: str) -> Path:
    """The tests of the pyopencl release that a user space has, from PyPI. Raises SetupError."""
    place = store.cache_root()
    found = userland(name, place).tree.glob("usr/lib/python3/dist-packages/pyopencl-*.dist-info")
    version = next(found).name.removeprefix("pyopencl-").removesuffix(".dist-info")

    def build(target: Path) -> None:
        store.say(f"tests of pyopencl {version} (once):")
        words = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", "pyopencl"]
        done = subprocess.run(
            [sys.executable, *words, "-d", str(target), f"pyopencl=={version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(f"pyopencl {version} cannot be fetched: {done.stderr[-2000:]}")
        source = next(target.glob("*.tar.gz"))
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
        (target / f"pyopencl-{version}" / "test").rename(target / "test")
        shutil.rmtree(target / f"pyopencl-{version}")
        source.unlink()

    name = f"pyopencl-{version}"
    return store.artefact(place, name, store.digest(1, version), build) / "test"


def piglit(name: str) -> Path:
    """The OpenCL part of a user space's piglit, with the libraries it needs. Raises SetupError."""
    place = store.cache_root()
    chosen = packages.PIGLITS[name]

    def build(target: Path) -> None:
        store.say(f"piglit's OpenCL tests of {chosen.world.name} (once):")
        whole = target / "whole"
        whole.mkdir()
        PrivateApt(chosen.world, place).unpack(chosen, whole)
        libraries = whole / "usr" / "lib" / "x86_64-linux-gnu"
        source = libraries / "piglit"
        for part in ("lib", "tests/cl", "generated_tests/cl"):
            shutil.copytree(source / part, target / part, symlinks=True)
        shutil.copy(source / "tests" / "cl.xml.gz", target / "tests")
        (target / "bin").mkdir()
        for program in source.glob("bin/cl-*"):
            shutil.copy(program, target / "bin")
        for library in packages.PIGLIT_LIBRARIES:
            for file in libraries.glob(library):
                shutil.copy(file, target / "lib", follow_symlinks=False)
        shutil.rmtree(whole)

    return store.artefact(place, f"piglit-{name}", store.digest(1, chosen), build)


SUITES = {
    "kernels": Suite("opencl_run", names_platform=True, sized=True),
    "copies": Suite("copies_run", names_platform=True),
    "vulkan": Suite("vulkan_run", kit=_vulkan_kit, kit_option="--programs"),
    "pyopencl": Suite(
        "pyopencl_run", names_platform=True, kit=pyopencl_tests, kit_option="--tests"
    ),
    "piglit": Suite("piglit_run", kit=piglit, kit_option="--piglit"),
    "clpeak": Suite("clpeak_run"),
}


def words(driver: Driver, suite: Suite, kit: str, size: str, cases: tuple[str, ...]) -> list[str]:
    """The argument list that runs cases; ``kit`` is where the suite's files are seen."""
    found = ["python3", "-W", "ignore", "-m", f"tests.eu_corpus.{suite.module}"]
    if suite.names_platform:
        found += ["--platform", driver.platform]
    if suite.kit is not None:
        found += [suite.kit_option, kit]
    if suite.sized:
        found += ["--size", size]
    return [*found, *cases]
