"""A file that keeps a QEMU from being saved or moved while it has a vGPU.

QEMU's migration code, which all of saving is, knows nothing of vfio-user devices: it succeeds, and
the GPU's state is lost without a word. It refuses while a block node is open whose format cannot
be migrated, such as that of Virtual PC (block/vpc.c adds a migration blocker), whether or not a
device uses the node. So beside the sockets is an empty disk of that format; QEMU has to read it.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

NAME = "no-migration.vhd"
_SECTOR = 512
_SECTORS = 8
_FIXED = 2
_NOT_DYNAMIC = (1 << 64) - 1
# "Virtual Hard Disk Image Format Specification", "Hard Disk Footer Format": cookie, features,
# version, data offset, time, creator with version and system, original and current size, cylinders,
# heads, sectors, type, checksum, UUID, saved state.
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_CHECKSUM = struct.Struct(">I")
_CHECKSUM_AT = 64
_VERSION = 0x10000


def image() -> bytes:
    """A fixed disk of 4 KiB: its content, and the footer."""
    size = _SECTORS * _SECTOR
    footer = _FOOTER.pack(
        *(b"conectix", 2, _VERSION, _NOT_DYNAMIC, 0, b"vgpd", _VERSION, b"Wi2k"),
        *(size, size, 1, 1, _SECTORS, _FIXED, 0, bytes(16), 0),
    ).ljust(_SECTOR, b"\0")
    checksum = _CHECKSUM.pack(~sum(footer) & 0xFFFFFFFF)
    after = _CHECKSUM_AT + _CHECKSUM.size
    return bytes(size) + footer[:_CHECKSUM_AT] + checksum + footer[after:]


def guard_path(socket: Path) -> Path:
    """Where the file for a QEMU is that uses ``socket``."""
    return socket.with_name(NAME)


def put_guard(directory: Path) -> None:
    """Have the file in ``directory``, for everybody to read. Raises OSError."""
    path = directory / NAME
    if path.is_file() and path.stat().st_size == (_SECTORS + 1) * _SECTOR:
        return
    part = path.with_name(f"{NAME}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            os.fchmod(file.fileno(), 0o444)
            file.write(image())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
