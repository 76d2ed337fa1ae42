"""How a thread sends a message: what the interpreter calls and data ports, samplers and gateway
answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MessageFault:
    """Why a message was not carried out: a page that is not there (``address``, 48 bits, and
    whether it was to be written), or a message that means nothing (``address`` None)."""

    reason: str
    address: int | None = None
    write: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A message of one thread.

    ``thread`` is its ``struct eu_thread`` (`threads.BLOCK`, one element). ``payload`` and ``more``
    are copies of as many whole GRFs as the descriptors say; ``response`` as many as come back, with
    what the registers held before, to be written in place. ``mask``: enabled channels from the
    message's first on, bit 0.
    """

    thread: NDArray[Any]
    sfid: int
    descriptor: int
    extended: int
    payload: NDArray[np.uint8]
    more: NDArray[np.uint8]
    response: NDArray[np.uint8]
    mask: int


class Messages(Protocol):
    """What answers messages. The same as `eu_send`, for one worker and group.

    A barrier message sets the thread's ``arrived``; whoever runs the group completes the barrier.
    """

    def send(self, call: Call) -> MessageFault | None:
        """Carry a message out; what cannot be is a fault, and the response is then undefined."""
