"""Loops over guest data: C through cffi, each routine with a Python twin.

The package's `blit`, `compare_exchange`, `store_run` and `translate` are C's where the extension
is built and `reference`'s otherwise; ``NATIVE`` says which, and the daemon says so when it starts.
"""

from __future__ import annotations

try:
    from mediator.hotpath.native import blit, compare_exchange, store_run, translate

    NATIVE = True
except ImportError:
    from mediator.hotpath.reference import blit, compare_exchange, store_run, translate

    NATIVE = False

__all__ = ["NATIVE", "blit", "compare_exchange", "store_run", "translate"]
