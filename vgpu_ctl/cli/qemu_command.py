"""The arguments that give a vGPU to a stock QEMU. Pure.

QEMU shares the guest's memory with vgpud, which takes a memfd with ``share=on``. A vGPU answers
within milliseconds, but an answer after QEMU's time-out would end the connection for good, hence
the generous one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

MEMORY_ID = "vgpud-ram"
TIMEOUT_MS = 30_000
_SPLITS = re.compile(r"[\s*?\[\]\\]")
"""A shell tears words apart at these, or replaces words that have them."""


def memory_arguments(memory: str) -> list[str]:
    """Guest RAM of ``memory`` bytes, as QEMU writes sizes, that can be shared."""
    return [
        "-machine",
        f"memory-backend={MEMORY_ID}",
        "-object",
        f"memory-backend-memfd,id={MEMORY_ID},size={memory},share=on",
        "-m",
        memory,
    ]


def device_arguments(
    socket: str, *, identity: str = "", bus: str = "", addr: str = ""
) -> list[str]:
    """The device whose vGPU is served at ``socket``; what is empty is QEMU's choice."""
    device: dict[str, object] = {"driver": "vfio-user-pci"}
    device |= {
        key: value for key, value in (("id", identity), ("bus", bus), ("addr", addr)) if value
    }
    device["socket"] = {"type": "unix", "path": socket}
    device["x-msg-timeout"] = TIMEOUT_MS
    return ["-device", msgspec.json.encode(device).decode()]


def torn_words(arguments: Sequence[str]) -> list[str]:
    """Those that would not survive `$(vgpuctl qemu-args ...)` in a shell."""
    return [word for word in arguments if _SPLITS.search(word)]


def quoted(arguments: Sequence[str]) -> str:
    r"""To be copied into a shell: an option and its value a line, lines end in ``\``."""
    lines: list[str] = []
    for word in map(shlex.quote, arguments):
        if lines and not word.startswith("-"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n  ".join(lines)
