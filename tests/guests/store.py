"""The user's cache directory: content-keyed directories that are complete or absent.

A finished artefact is a directory `<name>-<key>`; it is built beside its final place and renamed,
so an interrupted build never counts. The key is a digest of what the artefact is made from.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.guests.setup_error import SetupError


def cache_root() -> Path:
    """The directory that holds everything the set-up keeps (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says a relative path is to be ignored.
    parent = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return parent / "vgpud"


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def digest(*parts: object) -> str:
    """A short digest of the parts' representations: the key of what is built from them."""
    joined = "\0".join(repr(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn errors of the file system under `where` into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                f"no disk space left under {where}: the guests need about 2.5 GB there; free some "
                "space or set XDG_CACHE_HOME to a directory with room, then run the command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise SetupError(
                f"cannot write {error.filename or where} ({error.strerror}): set XDG_CACHE_HOME to "
                "a directory you may write to"
            ) from error
        raise


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the set-up's lock: two set-ups at a time would do the same work twice."""
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up to finish ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def artefact(root: Path, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory `<name>-<key>` under `root`, built by `build(directory)` if it is not there.

    Older keys of the same name are removed after a successful build.
    """
    final = root / f"{name}-{key}"
    if final.is_dir():
        return final
    with locked(root), disk_errors(root):
        if final.is_dir():
            return final
        for leftover in root.glob(f".{name}-*.part"):
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}-", suffix=".part"))
        try:
            build(scratch)
            scratch.chmod(0o755)
            scratch.rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for old in root.glob(f"{name}-{'?' * 16}"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
    return final


def write_atomically(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`, or leave it as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text)
    scratch.replace(path)
