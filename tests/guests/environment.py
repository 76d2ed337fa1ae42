"""Prepare the project's virtual environment: `python3 -m tests.guests.environment DIRECTORY`.

With `--refresh` first it is there, and what is stale of the C extensions is built again.

Works on a bare python3: where ensurepip is missing (Debian has it in python3-venv), pip comes from
Debian's own wheel through the private apt. Only the C compiler and Python's headers need root.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mediator import native_sources
from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.libvirt_copy import install_binding
from tests.guests.served import REPOSITORY
from tests.guests.setup_error import SetupError

MINIMUM_PYTHON = (3, 11)
_WHEELS = "usr/share/python-wheels"
_PACKAGE = REPOSITORY / "mediator"


def check_python(version: tuple[int, ...]) -> None:
    """Raise SetupError for a Python that is too old."""
    if version[:2] < MINIMUM_PYTHON:
        wanted = ".".join(str(part) for part in MINIMUM_PYTHON)
        found = ".".join(str(part) for part in version[:3])
        raise SetupError(
            f"python3 is {found}, the project needs {wanted} or newer: run "
            "`make PYTHON=/path/to/newer/python3 ...`"
        )


def missing_for_extension(
    which: Callable[[str], str | None] = shutil.which, include: Path | None = None
) -> list[str]:
    """What the build of the C extension lacks, in words; empty when nothing does."""
    headers = include or Path(sysconfig.get_paths()["include"])
    lacks = []
    if all(which(name) is None for name in (os.environ.get("CC") or "cc", "gcc")):
        lacks.append("a C compiler")
    elif not Path("/usr/include/stdio.h").is_file():
        lacks.append("the C library's headers")
    if not (headers / "Python.h").is_file():
        lacks.append("Python's headers")
    return lacks


def install_or_explain(lacks: Sequence[str], names: Sequence[str], uid: int) -> None:
    """Install system packages as root; as anyone else raise SetupError with the exact command."""
    command = f"apt-get install -y {' '.join(names)}"
    if uid != 0:
        raise SetupError(f"missing: {', '.join(lacks)}; as root run\n  {command}\nthen try again")
    if shutil.which("apt-get") is None:
        raise SetupError(f"missing: {', '.join(lacks)}; no apt-get is here to install it")
    store.say(f"missing: {', '.join(lacks)}; running {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], [*command.split(), "-q"]):
        done = subprocess.run(
            step,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0 and step[1] == "install":
            raise SetupError(f"`{command}` failed:\n{done.stdout[-1500:]}")


def make_environment(directory: Path, root: Path) -> Path:
    """Make (or complete) the environment with pip in it; returns its Python."""
    python = directory / "bin" / "python"
    if python.is_file() and _succeeds([str(python), "-m", "pip", "--version"]):
        return python
    store.say(f"making {directory}")
    if find_spec("ensurepip") is not None and _succeeds(
        [sys.executable, "-m", "venv", str(directory)]
    ):
        return python
    _checked([sys.executable, "-m", "venv", "--clear", "--without-pip", str(directory)])

    def build(target: Path) -> None:
        store.say("ensurepip is not on this machine, pip from Debian's wheel (once):")
        PrivateApt(packages.PIP_WHEEL.world, root).unpack(packages.PIP_WHEEL, target)

    wheels = store.artefact(root, "pip", store.digest(packages.PIP_WHEEL), build) / _WHEELS
    wheel = next(iter(sorted(wheels.glob("pip-*.whl"))), None)
    if wheel is None:
        raise SetupError(f"no pip wheel under {wheels}: remove {wheels.parents[2]} and try again")
    _checked([str(python), f"{wheel}/pip", "install", "-q", "--no-index", str(wheel)])
    return python


def install_project(python: Path) -> None:
    """Install the project, editable, with what its tests need."""
    store.say("installing the project and its development tools")
    drop_stale_extensions()
    _checked(
        [
            *(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"),
            # A path, not a finder: that costs every start of a program 20 ms.
            *("--no-input", "--config-settings", "editable_mode=compat"),
            *("-e", f"{REPOSITORY}[dev]"),
        ]
    )
    check_extensions()


def drop_stale_extensions(package: Path = _PACKAGE) -> list[str]:
    """Remove what was built of other sources; the extensions that are not there then."""
    for each in native_sources.EXTENSIONS:
        if not native_sources.is_fresh(each, package):
            for path in native_sources.built_files(each, package):
                path.unlink()
    return [
        each.module
        for each in native_sources.EXTENSIONS
        if not native_sources.built_files(each, package)
    ]


def check_extensions(package: Path = _PACKAGE) -> None:
    """Raise SetupError unless the C extensions are those of the sources here.

    They are optional where the project is installed: pip says nothing of a build that fails.
    """
    lacking = drop_stale_extensions(package)
    if lacking:
        raise SetupError(
            f"the build of {' and '.join(lacking)} failed; to see why, run\n"
            "  .venv/bin/python setup.py build_ext --inplace"
        )


def refresh_extensions(python: Path, package: Path = _PACKAGE) -> None:
    """Build the C extensions anew if one is stale, whatever the times of the files say."""
    lacking = drop_stale_extensions(package)
    if not lacking:
        return
    store.say(f"building {' and '.join(lacking)} from the sources as they are now")
    with tempfile.TemporaryDirectory() as scratch:
        places = ("--build-lib", f"{scratch}/lib", "--build-temp", f"{scratch}/temp")
        _checked([str(python), "setup.py", "build_ext", "--inplace", *places], package.parent)
    check_extensions(package)


def prepare_libvirt(python: Path, root: Path) -> None:
    """Have libvirt-python where it can be had; without it, its tests say what is missing."""
    try:
        install_binding(python, root)
    except SetupError as error:
        store.say(f"libvirt-python is not there, tests with libvirt will fail: {error}")


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _checked(command: Sequence[str], directory: Path | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    if "No space left" in done.stdout:
        remedy = "there is no disk space left: free some"
    elif "Connection" in done.stdout or "resolve" in done.stdout:
        remedy = "the package index cannot be reached: check the network and pip's configuration"
    else:
        remedy = "see its message"
    shown = " ".join(command[1:5])
    raise SetupError(f"`python {shown} ...` failed, {remedy}:\n{done.stdout.strip()[-2500:]}")


def main(arguments: list[str]) -> int:
    """Prepare the environment in the directory named; 0 when it is ready."""
    refresh = arguments[:1] == ["--refresh"]
    if len(arguments) != 1 + refresh:
        print("usage: environment [--refresh] DIRECTORY", file=sys.stderr)
        return 2
    try:
        if refresh:
            refresh_extensions(Path(arguments[1]).resolve() / "bin" / "python")
            return 0
        check_python(sys.version_info[:3])
        lacks = missing_for_extension()
        if lacks:
            install_or_explain(lacks, packages.EXTENSION_PACKAGES, os.geteuid())
        python = make_environment(Path(arguments[0]).resolve(), store.cache_root())
        install_project(python)
        prepare_libvirt(python, store.cache_root())
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
