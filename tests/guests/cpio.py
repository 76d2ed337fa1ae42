"""Write a cpio archive in the `newc` format, the one the kernel unpacks as an initramfs.

Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Pure: entries in,
bytes out; every file belongs to root and the archive depends on nothing but its entries.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_FIELDS = 13
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; `mode` includes the type bits, `data` is the content or a link's target.

    `device` is (major, minor) of a device node.
    """

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    """A directory that everyone may read."""
    return Entry(path, stat.S_IFDIR | 0o755)


def program(path: str, data: bytes) -> Entry:
    """A file that everyone may run."""
    return Entry(path, stat.S_IFREG | 0o755, data)


def regular(path: str, data: bytes) -> Entry:
    """A file that everyone may read."""
    return Entry(path, stat.S_IFREG | 0o644, data)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int) -> Entry:
    """A character device node."""
    return Entry(path, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries`, in their order; parents must come before their children."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(out, entry, inode)
    _append(out, Entry(_TRAILER, 0), 0)
    return bytes(out)


def _append(out: bytearray, entry: Entry, inode: int) -> None:
    name = entry.path.lstrip("/").encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    assert len(fields) == _FIELDS
    out += b"070701" + b"".join(b"%08X" % field for field in fields)
    out += name
    _pad(out)
    out += entry.data
    _pad(out)


def _pad(out: bytearray) -> None:
    out += bytes(-len(out) % 4)
