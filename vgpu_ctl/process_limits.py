"""What the system grants this process, and what clients are served with."""

from __future__ import annotations

import logging
import resource

from mmio_trap.event_signal import check_signals

_LOG = logging.getLogger(__name__)


_OWN_DESCRIPTORS = 64
"""What vgpud may have open besides."""
VGPU_DESCRIPTORS = 24
"""What a vGPU with a client may have open, that of one message included."""


def prepare_limits(vgpus: int) -> None:
    """Take as many descriptors as may be had; say it when ``vgpus`` may need more.

    Raises OSError without what interrupts need.
    """
    check_signals()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = _OWN_DESCRIPTORS + VGPU_DESCRIPTORS * vgpus
    if needed > hard:
        _LOG.warning(
            "%d file descriptors are allowed, %d vGPUs may need %d: raise `ulimit -Hn` "
            "(LimitNOFILE), or clients may have to wait",
            hard,
            vgpus,
            needed,
        )
