"""Loops over guest data: C through cffi, each routine with a Python twin.

The package's functions are C's (`native`) where the extension is built and those of `reference`
and `reference_shadow` otherwise; ``NATIVE`` says which, and the daemon says so when it starts.
"""

from __future__ import annotations

try:
    from mediator.hotpath.native import (
        blit,
        compare_exchange,
        compare_pages,
        read_space,
        shadow_keep,
        shadow_sync,
        skip_commands,
        store_run,
        translate,
    )

    NATIVE = True
except ImportError:
    from mediator.hotpath.reference import (
        blit,
        compare_exchange,
        compare_pages,
        read_space,
        skip_commands,
        store_run,
        translate,
    )
    from mediator.hotpath.reference_shadow import shadow_keep, shadow_sync

    NATIVE = False

__all__ = [
    "NATIVE",
    "blit",
    "compare_exchange",
    "compare_pages",
    "read_space",
    "shadow_keep",
    "shadow_sync",
    "skip_commands",
    "store_run",
    "translate",
]
