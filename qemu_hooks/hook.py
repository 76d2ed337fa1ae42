"""`vgpu-libvirt-hook`: what libvirt calls whenever a domain starts, ends, or is found running.

libvirt gives the domain's name and the operation as arguments and the XML on standard input, and
waits (https://libvirt.org/hooks.html). A status other than 0 ends the start, and at `reconnect` the
domain; at `migrate` and `restore` standard output would become the new XML, so nothing is printed
there. A hook must not call libvirt, which waits for it. Most domains have no vGPU: whether one may
be is looked for in the bytes, before anything is imported.
"""

from __future__ import annotations

import os
import sys

_MARKS = (b"urn:vgpud:domain:1", b"vfio-user-pci")
"""In the XML of every domain with a vGPU: `domain_facts.OWN_NAMESPACE`, `domain_facts.DRIVER`."""
_LARGEST = 16 << 20
_CHUNK = 1 << 16
_STDIN = 0


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:], read(_STDIN)))


def run(arguments: list[str], xml: bytes) -> int:
    """The status for libvirt; what is to be said goes to standard error and to the system's log."""
    if len(arguments) < 2 or not any(mark in xml for mark in _MARKS):
        return 0
    from qemu_hooks.hook_operations import carry_out

    return carry_out(arguments[0], arguments[1], xml)


def read(descriptor: int) -> bytes:
    """All of standard input, as far as it makes sense; nothing where there is none."""
    data = bytearray()
    try:
        while len(data) < _LARGEST and (chunk := os.read(descriptor, _CHUNK)):
            data += chunk
    except OSError:  # closed
        return b""
    return bytes(data)
