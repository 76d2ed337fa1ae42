"""Messages answered by `eu_send`. Importing this raises ImportError without the extension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mediator.hotpath.interface import Mapping
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.message_port import Call, MessageFault
from mediator.softgpu.eu.messages.python_messages import SLM_BYTES, message_fault
from mediator.softgpu.eu.native.worker import NativeWorker, ffi, lib


def _pointer(registers: NDArray[np.uint8]) -> Any:
    """To a call's registers; NULL for none, whatever the descriptors say."""
    return ffi.from_buffer("uint8_t[]", registers) if len(registers) else ffi.NULL


class NativeMessages:
    """`message_port.Messages` of one thread group, whose shared local memory is zero at first.

    ``slm_size``: bytes that the descriptor grants, 64 KiB at most. The caller is inside
    ``space.memory.using()`` from the first line to `close`, and no recording of what is written
    begins or ends meanwhile.
    """

    def __init__(self, space: Mapping, bases: Bases, slm_size: int) -> None:
        self._worker = NativeWorker()
        self._bases = bases
        self.attach(space)
        self._slm = ffi.new("uint8_t[]", SLM_BYTES)
        self._group = ffi.new("struct eu_group *", {"slm": self._slm, "slm_size": slm_size})

    def attach(self, space: Mapping) -> None:
        """Go on in ``space``, after `close`."""
        self._worker.attach(space, self._bases)

    def close(self) -> None:
        """Let go of the space."""
        self._worker.detach()

    def take_discarded(self) -> int:
        """Writes to read-only pages since the last call."""
        counts = self._worker.struct.statistics
        found = int(counts[lib.EU_DISCARDED_WRITES])
        counts[lib.EU_DISCARDED_WRITES] = 0
        return found

    def send(self, call: Call) -> MessageFault | None:
        """Carry a message out; `message_port.Messages.send`."""
        worker = self._worker.struct
        lib.eu_send(
            worker,
            self._group,
            ffi.from_buffer("struct eu_thread *", call.thread, require_writable=True),
            call.sfid,
            call.descriptor,
            call.extended,
            _pointer(call.payload),
            _pointer(call.more),
            _pointer(call.response),
            call.mask,
        )
        if not worker.fault:
            return None
        return message_fault(worker.fault, worker.fault_address, write=bool(worker.fault_write))
