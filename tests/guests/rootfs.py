"""The guests' root file system: an ext4 image of Debian packages with IGT, OpenCL and Vulkan.

Files belong to whoever built the image (no root is needed); the guest's root reads them anyway.
"""

import shutil
import subprocess
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.private_program import private_command
from tests.guests.setup_error import SetupError
from tests.guests.userland import complete, userland

_LAYOUT = 1
_COMPUTE_LAYOUT = 1
_SPARE_BYTES = 64 << 20
_SEARCH = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def root_image(root: Path) -> Path:
    """The image file, made if it is not in the cache."""
    key = store.digest(_LAYOUT, packages.ROOT_FILE_SYSTEM, packages.TRIMMED)

    def build(target: Path) -> None:
        store.say("guest root file system (once):")
        _build(root, target)

    return store.artefact(root, "rootfs", key, build) / "root.ext4"


def _build(root: Path, target: Path) -> None:
    tree = target / "tree"
    tree.mkdir()
    chosen = PrivateApt(packages.ROOT_FILE_SYSTEM.world, root).unpack(
        packages.ROOT_FILE_SYSTEM, tree
    )
    complete(tree)
    make_image(tree, target / "root.ext4", root)
    versions = "".join(f"{package.name} {package.version}\n" for package in chosen)
    (target / "packages.txt").write_text(versions)
    shutil.rmtree(tree)


def compute_image(name: str, root: Path) -> Path:
    """The image of a user space that computes (`packages.USERLANDS`), made on demand."""
    key = store.digest(_COMPUTE_LAYOUT, packages.USERLANDS[name], packages.TRIMMED)
    tree = userland(name, root).tree

    def build(target: Path) -> None:
        store.say(f"guest root file system with user space {name} (once):")
        make_image(tree, target / "root.ext4", root)

    return store.artefact(root, f"compute-{name}", key, build) / "root.ext4"


def make_image(tree: Path, image: Path, root: Path) -> None:
    """Write a tree as an ext4 image; files belong to root in it. Raises SetupError."""
    size = _blocks(tree) + _SPARE_BYTES
    store.say(f"  making the ext4 image ({size / 1e6:.0f} MB)")
    done = subprocess.run(
        [
            *_mke2fs(root),
            *("-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-b", "4096"),
            *("-E", "root_owner=0:0", "-d", str(tree), str(image), f"{size >> 10}k"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        if "No space left" in done.stderr:
            raise SetupError(
                f"no disk space left under {root}: free some or set XDG_CACHE_HOME to a directory "
                "with room"
            )
        raise SetupError(f"mke2fs failed: {done.stderr.strip()}")


def _blocks(tree: Path) -> int:
    """Bytes that the tree needs in 4 KiB blocks and 256-byte inodes, with some slack."""
    total = 0
    for path in tree.rglob("*"):
        size = path.lstat().st_size if not path.is_dir() or path.is_symlink() else 4096
        total += -(-size // 4096) * 4096 + 512
    return int(total * 1.05)


def _mke2fs(root: Path) -> list[str]:
    found = shutil.which("mke2fs") or next(
        (f"{place}/mke2fs" for place in _SEARCH if Path(place, "mke2fs").is_file()), None
    )
    if found is not None:
        return [found]

    def build(target: Path) -> None:
        store.say("mke2fs is not on this machine, private copy (once):")
        PrivateApt(packages.MKE2FS.world, root).unpack(packages.MKE2FS, target)

    # The caller holds the set-up's lock, so the directory is made without taking it again.
    place = root / f"mke2fs-{store.digest(packages.MKE2FS)}"
    if not place.is_dir():
        scratch = root / f".{place.name}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        build(scratch)
        scratch.rename(place)
    return private_command(place, "usr/sbin/mke2fs")
