"""The file that `install-hooks` puts where libvirt looks for hooks: pure text."""

from __future__ import annotations

import shlex

NAME = "50-vgpud"
FOLDER = "qemu.d"
"""libvirt runs what is in there by name, after the script `qemu` (6.5.0 and newer)."""
_MARK = "Installed by `vgpuctl install-hooks`"


def script(program: str, socket: str = "") -> str:
    """The hook that runs ``program``, for the vgpud at ``socket`` or the usual one."""
    lines = [
        "#!/bin/sh",
        f"# {_MARK}; `vgpuctl install-hooks --remove` removes it.",
        "# libvirt runs it when a domain starts or ends: https://libvirt.org/hooks.html",
        *([f"export VGPUD_SOCKET={shlex.quote(socket)}"] if socket else []),
        f"program={shlex.quote(program)}",
        "# vgpud was uninstalled: domains start as they do without it.",
        '[ -x "$program" ] || exit 0',
        '"$program" "$@"',
        "status=$?",
        "# Anything else would have libvirt end a domain that runs.",
        '[ "$2" = reconnect ] && exit 0',
        "exit $status",
    ]
    return "\n".join(lines) + "\n"


def is_ours(text: str) -> bool:
    """Whether a file was made by `script`, by whichever version."""
    return _MARK in text
