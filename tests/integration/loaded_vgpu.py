"""A fresh process that takes over a vGPU: serves it, and loads a saved state when it is told to.

python -m tests.integration.loaded_vgpu DIRECTORY ADDRESS_SPACE GGTT
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.vgpu_rig import Mode, rig


def main(directory: Path, address_space: str, ggtt: str) -> None:
    """Print the socket's path; on a line of input load the file it names, say so, and go on."""
    mode = Mode(address_space, ggtt)  # type: ignore[arg-type]
    with rig(directory, mode) as made:
        print(made.paths[0], flush=True)
        for line in sys.stdin:
            vgpu = made.vgpu(0)
            vgpu.load(Path(line.strip()).read_bytes())
            print("loaded", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
