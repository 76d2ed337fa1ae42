"""Who changed what by the control API, or tried to: a line of the log for each.

No flood keeps these lines out of the log (`vgpu_ctl/log_limit.py`): guests cannot cause them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vgpu_ctl.api.objects import VgpuInfo

if TYPE_CHECKING:
    from mmio_trap.vfio_user.peer import Peer
    from vgpu_ctl.api.messages import ApiError

LOGGER = __name__
_LOG = logging.getLogger(LOGGER)

_LONGEST_NAME = 100


def log_change(
    method: str, params: object, peer: Peer, *, result: object = None, error: ApiError | None = None
) -> None:
    """``peer`` asked for ``method`` with ``params`` (None: they were no such), and this came of it.

    Fields of the record: `vgpu`, `request`, `outcome` (`done`, or the code of the error).
    """
    vgpu = _named(params, result)[:_LONGEST_NAME]
    _LOG.info(
        "%s by user %d, process %d%s",
        f"{method} {vgpu}".rstrip(),
        peer.uid,
        peer.pid,
        "" if error is None else f" is refused: {error.message}",
        extra={
            "vgpu": vgpu,
            "request": method,
            "outcome": "done" if error is None else error.code.value,
        },
    )


def _named(params: object, result: object) -> str:
    """The vGPU's name where it is known, else what the request calls it."""
    if isinstance(result, VgpuInfo):
        return result.name
    for field in ("vgpu", "name"):
        value = getattr(params, field, None)
        if isinstance(value, str):
            return value
    return ""
