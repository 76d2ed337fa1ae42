"""Programs of a user space with a GPU of ours: the library, its files and its service together."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.drm_shim import build, device_files
from tests.drm_shim.service import Gpu, Service
from tests.guests.served import REPOSITORY
from tests.guests.userland import Userland

CHIPSET, REVISION = 0x1912, 6
PLATFORMS = {"rusticl": "rusticl", "neo": "Intel(R) OpenCL HD Graphics", "pocl": "Portable"}
"""A part of each driver's OpenCL platform name."""
VARIABLES = {
    "LD_PRELOAD": "/host/shim/shim.so",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": "/host/repository",
    "PYTHONWARNINGS": "ignore",
    "RUSTICL_ENABLE": "iris",
    "RUSTICL_FEATURES": "fp64",
    "VGPUD_SHIM": "/host/service/socket",
    "XDG_CACHE_HOME": "/tmp",
}


@dataclass
class Session:
    """A context manager; programs run inside with `run`."""

    userland: Userland
    gpu: Gpu
    more: Mapping[str, Path] = field(default_factory=dict)
    """Directories that programs shall see, by path below /host."""

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="vgpud-shim-")
        place = Path(self._scratch.name)
        for name in ("dev", "sys", "service"):
            (place / name).mkdir()
        nodes = device_files.make_dev(place / "dev")
        device_files.make_sys(place / "sys", CHIPSET, REVISION)
        self._bound = {
            "dev": place / "dev",
            **nodes,
            "sys": place / "sys",
            "host/shim": build.library().parent,
            "host/service": place / "service",
            "host/repository": REPOSITORY,
            **{f"host/{name}": path for name, path in self.more.items()},
        }
        self._service = Service(place / "service" / "socket", self.gpu, CHIPSET, REVISION)
        self._service.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._service.__exit__(kind, error, trace)
        self._scratch.cleanup()

    def run(
        self,
        words: Sequence[str],
        variables: Mapping[str, str] | None = None,
        seconds: float = 600.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the user space; its output is one text."""
        done = self.userland.run(
            words,
            bound=self._bound,
            variables={**VARIABLES, **(variables or {})},
            seconds=seconds,
        )
        if self._service.failure is not None:
            raise self._service.failure
        return done
