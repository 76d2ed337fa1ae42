"""Objects on disk, by the digest of what they were made from: a directory with an upper size.

The directory must be ours and nobody else's to write. A file is a header with a checksum, and the
object; it appears by renaming and its time of modification is the time of its last use, by which
the oldest are evicted. Whatever is wrong with directory or file (full, foreign, damaged, gone)
means that nothing is found or kept, and never an error.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<8s32s32sQ")
_MAGIC: Final = b"vgpueu1\n"
_SUFFIX: Final = ".kernel"
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
MOST_BYTES: Final = 256 << 20
MOST_FILE_BYTES: Final = 16 << 20


def default_directory() -> Path | None:
    """Where the objects of this user, or of this service of systemd, are kept; None of a user
    without a home."""
    service = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    if service.startswith("/"):
        return Path(service) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(home) if home.startswith("/") else Path.home() / ".cache"
    except RuntimeError:
        return None
    return root / "vgpud" / "kernels"


@dataclass(slots=True)
class CacheCounters:
    """What became of requests to a cache since it was made."""

    hits: int = 0
    misses: int = 0
    damaged: int = 0
    """Files that were there and wrong; they are removed."""
    failures: int = 0
    """Objects that could not be kept."""
    evictions: int = 0


class DiskCache:
    """Objects by a 32-byte key. Threads may share it, and so may processes."""

    def __init__(self, directory: Path, most_bytes: int = MOST_BYTES) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept_bytes: int | None = None
        """What the files take, as far as is known; None until they have been counted."""
        self.counters = CacheCounters()

    def load(self, key: bytes) -> bytes | None:
        """The object kept under a key."""
        with self._lock:
            data = self._load(key)
            if data is None:
                self.counters.misses += 1
            else:
                self.counters.hits += 1
            return data

    def _load(self, key: bytes) -> bytes | None:
        directory = self._open()
        if directory is None:
            return None
        try:
            name = key.hex() + _SUFFIX
            data = _read(directory, name)
            if data is None:
                return None
            content = _checked(data, key)
            if content is None:
                self.counters.damaged += 1
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
                return None
            with suppress(OSError):
                os.utime(name, dir_fd=directory, follow_symlinks=False)
            return content
        finally:
            os.close(directory)

    def store(self, key: bytes, content: bytes) -> bool:
        """Keep an object; False if that was not possible."""
        with self._lock:
            stored = len(content) <= MOST_FILE_BYTES and self._store(key, content)
            if not stored:
                self.counters.failures += 1
            return stored

    def _store(self, key: bytes, content: bytes) -> bool:
        if not self._make():
            return False
        directory = self._open()
        if directory is None:
            return False
        try:
            data = _HEADER.pack(_MAGIC, key, _checksum(key, content), len(content)) + content
            self._make_room(directory, len(data))
            return _write(directory, key.hex() + _SUFFIX, data)
        finally:
            os.close(directory)

    def _make(self) -> bool:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        return True

    def _open(self) -> int | None:
        """The directory as a descriptor, if it is ours alone to write."""
        try:
            opened = os.open(self._directory, _OPEN | os.O_DIRECTORY)
        except OSError:
            return None
        status = os.fstat(opened)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            os.close(opened)
            return None
        return opened

    def _make_room(self, directory: int, wanted: int) -> None:
        """Evict what was used longest ago until so many bytes more are within the limit."""
        if self._kept_bytes is not None and self._kept_bytes + wanted <= self._most_bytes:
            self._kept_bytes += wanted
            return
        files = _files(directory)
        total = sum(size for _, size, _ in files) + wanted
        # A tenth more than is needed, so that not every file to come counts them all again.
        goal = self._most_bytes * 9 // 10 if total > self._most_bytes else total
        for _, size, name in sorted(files):
            if total <= goal:
                break
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
                total -= size
                self.counters.evictions += 1
        self._kept_bytes = total


def _checksum(key: bytes, content: bytes) -> bytes:
    return hashlib.sha256(key + content).digest()


def _checked(data: bytes, key: bytes) -> bytes | None:
    if len(data) < _HEADER.size:
        return None
    magic, stored_key, checksum, length = _HEADER.unpack_from(data)
    content = data[_HEADER.size :]
    if magic != _MAGIC or stored_key != key or length != len(content):
        return None
    return content if checksum == _checksum(key, content) else None


def _files(directory: int) -> list[tuple[int, int, str]]:
    """(last use, size, name) of each file, half-written ones too."""
    found = []
    with suppress(OSError):
        for name in os.listdir(directory):
            if name.endswith((_SUFFIX, ".part")):
                with suppress(OSError):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, name))
    return found


def _read(directory: int, name: str) -> bytes | None:
    """A regular file of ours, whole, unless it is too large."""
    try:
        opened = os.open(name, _OPEN, dir_fd=directory)
    except OSError:
        return None
    try:
        with os.fdopen(opened, "rb") as file:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return None
            if status.st_size > MOST_FILE_BYTES + _HEADER.size:
                return None
            return file.read(MOST_FILE_BYTES + _HEADER.size)
    except OSError:
        return None


def _write(directory: int, name: str, data: bytes) -> bool:
    """A file that is there whole or not at all."""
    part = f"{name}.{os.getpid()}.{threading.get_ident()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        opened = os.open(part, flags, 0o600, dir_fd=directory)
        with os.fdopen(opened, "wb") as file:
            file.write(data)
        os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(part, dir_fd=directory)
        return False
    return True
