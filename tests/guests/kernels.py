"""Guest kernels: Debian's own image and modules, and the initramfs that the project makes.

A kernel's directory holds `vmlinuz`, `initramfs` and `release`.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.guests import cpio, modules, packages, store
from tests.guests.debian import PrivateApt
from tests.guests.packages import KernelFacts
from tests.guests.setup_error import SetupError

SCRIPTS = Path(__file__).parent / "scripts"
_LAYOUT = 2


@dataclass(frozen=True, slots=True)
class Kernel:
    """A bootable kernel: image, initramfs, and its release as `uname -r` prints it."""

    image: Path
    initramfs: Path
    release: str


def kernel(version: str, root: Path) -> Kernel:
    """The guest kernel of that version, made if it is not in the cache."""
    facts = packages.KERNELS.get(version)
    if facts is None:
        raise SetupError(f"kernel {version!r}: known are {', '.join(sorted(packages.KERNELS))}")
    scripts = [(SCRIPTS / name).read_bytes() for name in ("init.sh", "agent.sh")]
    wanted = (packages.BOOT_MODULES, packages.GUEST_MODULES, packages.OPTIONAL_MODULES)
    key = store.digest(_LAYOUT, facts, packages.BUSYBOX, wanted)

    def build(target: Path) -> None:
        store.say(f"guest kernel {version} (once):")
        _build(facts, root, target)

    base = store.artefact(root, f"linux-{version}", key, build)
    release = (base / "release").read_text()
    # The scripts change often and packages rarely: a second archive follows the first one.
    scripts_key = store.digest(scripts)
    initramfs = base / f"initramfs-{scripts_key}"
    if not initramfs.is_file():
        for old in base.glob("initramfs-*"):
            old.unlink()
        extra = cpio.archive([cpio.program("init", scripts[0]), cpio.program("agent", scripts[1])])
        scratch = base / f".initramfs-{scripts_key}.part"
        with store.disk_errors(base):
            scratch.write_bytes((base / "modules.cpio").read_bytes() + extra)
            scratch.replace(initramfs)
    return Kernel(base / "vmlinuz", initramfs, release)


def _build(facts: KernelFacts, root: Path, target: Path) -> None:
    unpacked = target / "unpacked"
    unpacked.mkdir()
    PrivateApt(facts.packages.world, root).unpack(facts.packages, unpacked)
    PrivateApt(packages.BUSYBOX.world, root).unpack(packages.BUSYBOX, unpacked)
    images = sorted((unpacked / "boot").glob("vmlinuz-*"))
    if not images:
        raise SetupError(f"the package of kernel {facts.version} holds no /boot/vmlinuz-*")
    release = images[-1].name.removeprefix("vmlinuz-")
    store.say(f"  making the initramfs of {release}")
    tree = unpacked / "usr" / "lib" / "modules" / release
    busybox = (unpacked / "usr" / "bin" / "busybox").read_bytes()
    (target / "modules.cpio").write_bytes(cpio.archive(_entries(tree, release, busybox)))
    (target / "release").write_text(release)
    shutil.copyfile(images[-1], target / "vmlinuz")
    shutil.rmtree(unpacked)


def _entries(tree: Path, release: str, busybox: bytes) -> list[cpio.Entry]:
    files = modules.find_modules(tree)
    builtin = {
        modules.module_name(Path(line))
        for line in (tree / "modules.builtin").read_text().splitlines()
    }
    images: dict[str, bytes] = {}

    def image(name: str) -> bytes:
        if name not in images:
            images[name] = modules.read_module(files[name])
        return images[name]

    def needs(name: str) -> list[str]:
        if name in files:
            return modules.depends(image(name))
        if name in builtin:
            return []
        raise SetupError(f"module {name} is neither in kernel {release} nor among its modules")

    def ordered(wanted: Iterable[str]) -> list[str]:
        return [name for name in modules.load_order(wanted, needs) if name in files]

    optional = [name for name in packages.OPTIONAL_MODULES if name in files]
    crc = [name for name in optional if name.startswith("crc32c")]
    boot = ordered([*crc, *packages.BOOT_MODULES])
    guest = ordered([*packages.BOOT_MODULES, *packages.GUEST_MODULES, *optional])
    kept = f"modules/{release}"
    names = ["bin", "boot-modules", "dev", "lower", "modules", "proc", "root", "sys", "upper"]
    names += [kept, f"{kept}/kernel"]
    entries = [cpio.directory(name) for name in names]
    entries.append(cpio.character_device("dev/console", 5, 1))
    entries.append(cpio.program("bin/busybox", busybox))
    order = "".join(f"{name}.ko\n" for name in boot)
    entries.append(cpio.regular("boot-modules/order", order.encode()))
    entries.extend(cpio.regular(f"boot-modules/{name}.ko", image(name)) for name in boot)
    entries.extend(cpio.regular(f"{kept}/kernel/{name}.ko", image(name)) for name in guest)
    entries.extend(
        cpio.regular(f"{kept}/{name}", (tree / name).read_bytes())
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order")
        if (tree / name).is_file()
    )
    return entries
