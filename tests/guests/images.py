"""Everything a boot needs, made ready: `python3 -m tests.guests.images [KERNEL ...]`."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.guests import packages, qemu, rootfs, store
from tests.guests.kernels import Kernel, kernel
from tests.guests.setup_error import SetupError


@dataclass(frozen=True, slots=True)
class Images:
    """What a guest boots from; `accelerator` is `kvm` or `tcg`."""

    qemu: qemu.Qemu
    kernel: Kernel
    root_image: Path
    accelerator: str


def images(version: str = packages.DEFAULT_KERNEL, root: Path | None = None) -> Images:
    """The images for a guest with that kernel; raises SetupError where they cannot be made."""
    place = root or store.cache_root()
    found = qemu.find_qemu(place)
    chosen = kernel(version, place)
    return Images(found, chosen, rootfs.root_image(place), qemu.accelerator(found, chosen, place))


def compute_images(name: str, version: str = packages.DEFAULT_KERNEL) -> Images:
    """The same with the root image of a user space that computes; raises SetupError."""
    place = store.cache_root()
    return replace(images(version, place), root_image=rootfs.compute_image(name, place))


def main(arguments: list[str]) -> int:
    """Make the images of the kernels named (all by default); 0 when they are ready."""
    started = time.monotonic()
    try:
        for version in arguments or sorted(packages.KERNELS):
            ready = images(version)
            store.say(f"kernel {ready.kernel.release}: ready")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    store.say(
        f"QEMU {ready.qemu.version}{' (private copy)' if ready.qemu.private else ''}, "
        f"{ready.accelerator}; set-up took {time.monotonic() - started:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
