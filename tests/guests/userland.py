"""A Debian user space in a directory: programs run in it on this machine, without a guest or root.

The directory becomes the root of a user and mount namespace; what is written goes to temporary
file systems, except in the directories that are bound in.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.lifetime import die_with_parent
from tests.guests.setup_error import SetupError

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_ALTERNATIVES = ("blas/libblas.so.3", "lapack/liblapack.so.3")
"""Libraries that Debian's packages link on installation; nothing is installed here."""
_DIRECTORIES = ("dev", "etc", "host", "mnt", "proc", "root", "run", "sys", "tmp", "var/tmp")
# Arguments: the root, then pairs "source target", an empty word, and the command.
_ENTER = """
set -e
root=$1; shift
for place in tmp run root host; do mount -t tmpfs tmpfs "$root/$place"; done
while [ -n "$1" ]; do
    [ -e "$root/$2" ] || mkdir -p "$root/$2"
    mount --rbind "$1" "$root/$2"
    shift 2
done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class Userland:
    """An unpacked user space."""

    tree: Path

    def command(
        self,
        words: Sequence[str],
        bound: Mapping[str, Path] | None = None,
    ) -> list[str]:
        """The argument list that runs ``words`` in it.

        ``bound``: what is to be seen at which path; those paths exist, or lie below /host, /mnt,
        /tmp, /run or /root and are made.
        """
        places = {"proc": Path("/proc"), **{k.lstrip("/"): v for k, v in (bound or {}).items()}}
        pairs = [word for place, source in places.items() for word in (str(source), place)]
        head = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", _ENTER, "sh"]
        return [*head, str(self.tree), *pairs, "", *words]

    def run(
        self,
        words: Sequence[str],
        *,
        bound: Mapping[str, Path] | None = None,
        variables: Mapping[str, str] | None = None,
        seconds: float = 600.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; raises SetupError where namespaces are not allowed.

        Its output is one text, errors included.
        """
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            **(variables or {}),
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        done = subprocess.run(
            self.command(["env", "-i", *settings, *words], bound),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            preexec_fn=die_with_parent,
        )
        if done.returncode != 0 and done.stdout.startswith("unshare:"):
            raise SetupError(
                f"programs cannot be run in a name space of their own: {done.stdout.strip()}; "
                "allow user name spaces (sysctl kernel.unprivileged_userns_clone=1) or be root"
            )
        return done


def userland(name: str, root: Path | None = None) -> Userland:
    """The user space of that name, unpacked if it is not in the cache. Raises SetupError."""
    place = root or store.cache_root()
    chosen = packages.USERLANDS[name]

    def build(target: Path) -> None:
        store.say(f"user space {name} (once):")
        populate(PrivateApt(chosen.world, place), chosen, target)

    key = store.digest(1, chosen, packages.TRIMMED)
    return Userland(store.artefact(place, f"userland-{name}", key, build))


def populate(apt: PrivateApt, chosen: packages.PackageSet, tree: Path) -> None:
    """Unpack the packages and do what their installation would have done."""
    apt.unpack(chosen, tree)
    complete(tree)


def complete(tree: Path) -> None:
    """Take away what nobody opens, and add what an installation would have made."""
    for name in packages.TRIMMED:
        shutil.rmtree(tree / name, ignore_errors=True)
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "bin" / "sh").unlink(missing_ok=True)
    (tree / "bin" / "sh").symlink_to("bash")
    (tree / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tree / "etc" / "group").write_text("root:x:0:\nvideo:x:44:\nrender:x:106:\n")
    (tree / "etc" / "hosts").write_text("127.0.0.1 localhost guest\n")
    for library in _ALTERNATIVES:
        if (tree / _LIBRARIES / library).exists():
            with contextlib.suppress(FileExistsError):
                (tree / _LIBRARIES / Path(library).name).symlink_to(library)
