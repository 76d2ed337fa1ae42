"""How the dispatcher gets at a vGPU that others may be busy with: soon, or not for the moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu

PATIENCE_S = 0.005
"""How long each lock is waited for. Short accesses hold them for less; what holds them for longer
(a long audit, a change of the memory map) is the vGPU's own affair, and others shall go on."""


@contextmanager
def attending(vgpu: Vgpu, lock: threading.RLock) -> Iterator[bool]:
    """Inside with the memory map, the lock of ``vgpu`` and then ``lock`` held, if it is True."""
    using, door = vgpu.memory.using(), vgpu.lock
    with ExitStack() as held:
        attends = using.enter(PATIENCE_S)
        if attends:
            held.push(using)
            attends = door.enter(PATIENCE_S)
        if attends:
            held.push(door)
            held.enter_context(lock)
            attends = vgpu.memory.using() is using  # else another client has come
        yield attends
