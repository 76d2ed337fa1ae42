"""How the interpreter is set up for serving guests."""

from __future__ import annotations

import logging
import sys

from mediator import hotpath
from mediator.softgpu.eu.translator.service import missing

_LOG = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 100e-6
"""How long an engine may keep the interpreter while a guest waits at the trap."""


def prepare_interpreter() -> None:
    """Let traps in soon, and say it when the slow twins are used, or kernels are interpreted."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not hotpath.NATIVE:
        _LOG.warning(
            "%s: the slower Python twin is used, and MI_ATOMIC is not atomic against the guest's "
            "processors",
            hotpath.STALE or "the C hot path is not built",
        )
    reason = missing()
    if reason is not None:
        _LOG.warning("compute kernels are interpreted, which is slow: %s", reason)
