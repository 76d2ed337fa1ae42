"""Build the library; a compiler is what `make venv` needs too."""

import shutil
import subprocess
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.setup_error import SetupError

_SOURCES = Path(__file__).parent
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")


def headers(root: Path) -> Path:
    """The directory with the kernel's public headers, fetched if it is not in the cache."""

    def build(target: Path) -> None:
        store.say("kernel headers for the DRM shim (once):")
        PrivateApt(packages.DRM_HEADERS.world, root).unpack(packages.DRM_HEADERS, target)

    place = store.artefact(root, "drm-headers", store.digest(1, packages.DRM_HEADERS), build)
    return place / "usr" / "include"


def library(root: Path | None = None) -> Path:
    """The shared library, built if sources have changed. Raises SetupError."""
    place = root or store.cache_root()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SetupError("no C compiler: run (as root)\n  apt-get install -y gcc libc6-dev")
    found = headers(place)
    sources = sorted([*_SOURCES.glob("*.c"), *_SOURCES.glob("*.h")])
    key = store.digest([(file.name, file.read_bytes()) for file in sources], _FLAGS)

    def build(target: Path) -> None:
        files = [str(file) for file in sources if file.suffix == ".c"]
        command = [compiler, *_FLAGS, "-idirafter", str(found), "-o", str(target / "shim.so")]
        done = subprocess.run(
            [*command, *files, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SetupError(f"the DRM shim cannot be built:\n{done.stderr[-3000:]}")

    return store.artefact(place, "drm-shim", key, build) / "shim.so"
