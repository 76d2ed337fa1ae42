"""libvirt of Debian 12 as a private copy: its programs, and what libvirt-python is built against.

    python3 -m tests.guests.libvirt_copy PYTHON     # build libvirt-python for that Python

The copy brings its own C library, so that it runs on any machine; nothing is installed.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.private_program import private_command
from tests.guests.setup_error import SetupError

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_BINDING = "libvirt-python"
_UNUSED = ("doc", "man", "locale", "lintian", "bash-completion")
_OF_THE_MACHINE = ("libc.so*", "libm.so*", "libpthread.so*", "libdl.so*", "librt.so*", "ld-linux*")
"""Libraries that a Python of this machine has already, in its own version."""


@dataclass(frozen=True, slots=True)
class LibvirtCopy:
    """The unpacked packages."""

    tree: Path

    @property
    def daemon(self) -> list[str]:
        """The head of an argument list that runs libvirtd."""
        return private_command(self.tree, "usr/sbin/libvirtd")

    @property
    def virsh(self) -> list[str]:
        """The same for virsh."""
        return private_command(self.tree, "usr/bin/virsh")

    @property
    def drivers(self) -> Path:
        """What libvirtd loads: the driver of QEMU alone."""
        return self.tree / _LIBRARIES / "libvirt" / "connection-driver"

    @property
    def shared_files(self) -> Path:
        """libvirtd wants them below /usr/share."""
        return self.tree / "usr/share"

    @property
    def linked(self) -> Path:
        """Libraries that a program of this machine may load."""
        return self.tree / "linked"


def find_libvirt(root: Path) -> LibvirtCopy:
    """The private copy under ``root``, fetched if it is not there. Raises SetupError."""

    def build(target: Path) -> None:
        store.say("libvirt, private copy (once):")
        PrivateApt(packages.LIBVIRT.world, root).unpack(packages.LIBVIRT, target)
        for name in _UNUSED:
            shutil.rmtree(target / "usr" / "share" / name, ignore_errors=True)
        _link(target)

    return LibvirtCopy(store.artefact(root, "libvirt", store.digest(2, packages.LIBVIRT), build))


def _link(tree: Path) -> None:
    """Links to all libraries but those of the C library, which must be the machine's."""
    linked = tree / "linked"
    linked.mkdir()
    for library in (tree / _LIBRARIES).glob("*.so*"):
        if not any(library.match(pattern) for pattern in _OF_THE_MACHINE):
            (linked / library.name).symlink_to(Path("..", _LIBRARIES, library.name))


def install_binding(python: Path, root: Path) -> None:
    """Have ``import libvirt`` work in that Python. Raises SetupError, nothing is changed then."""
    if _succeeds([str(python), "-c", "import libvirt, libvirt_qemu"]):
        return
    copy = find_libvirt(root)
    store.say(f"building {_BINDING} (once for this environment)")
    with store.locked(root):
        wrapper = _pkg_config(copy)
    done = subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"),
            *("--no-input", "--no-binary", _BINDING, "--no-cache-dir", _BINDING),
        ],
        env={
            **os.environ,
            "PATH": f"{wrapper.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            # The old kind of path, which is searched for libraries of libraries too.
            "LDFLAGS": f"-Wl,--disable-new-dtags,-rpath,{copy.linked}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise SetupError(f"{_BINDING} cannot be built:\n{said}")
    if not _succeeds([str(python), "-c", "import libvirt, libvirt_qemu"]):
        raise SetupError(f"{_BINDING} was built and cannot be imported: remove {copy.tree}")


def _pkg_config(copy: LibvirtCopy) -> Path:
    """A pkg-config that knows the copy alone."""
    place = copy.tree / "for-build"
    for facts in (copy.tree / _LIBRARIES / "pkgconfig").glob("libvirt*.pc"):
        moved = facts.read_text().replace("=/usr", f"={copy.tree}/usr")
        store.write_atomically(place / facts.name, moved)
    wrapper = place / "pkg-config"
    words = " ".join(f"'{word}'" for word in private_command(copy.tree, "usr/bin/pkgconf"))
    store.write_atomically(wrapper, f"#!/bin/sh\nPKG_CONFIG_LIBDIR='{place}' exec {words} \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    """Build libvirt-python for the Python named; 0 when it can be imported there."""
    if len(arguments) != 1:
        print("usage: libvirt_copy PYTHON", file=sys.stderr)
        return 2
    try:
        install_binding(Path(arguments[0]), store.cache_root())
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
