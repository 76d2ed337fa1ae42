"""Loops over guest data: C through cffi, each routine with a Python twin.

The package's `blit`, `compare_exchange`, `store_run` and `translate` are C's where the extension
is built and `reference`'s otherwise; ``NATIVE`` says which, and the log says so once.
"""

from __future__ import annotations

import logging

try:
    from mediator.hotpath.native import blit, compare_exchange, store_run, translate

    NATIVE = True
except ImportError as _reason:
    from mediator.hotpath.reference import blit, compare_exchange, store_run, translate

    NATIVE = False
    logging.getLogger(__name__).warning(
        "C hot path not built (%s): the slower Python twin is used, and MI_ATOMIC is not atomic "
        "against the guest's processors",
        _reason,
    )

__all__ = ["NATIVE", "blit", "compare_exchange", "store_run", "translate"]
