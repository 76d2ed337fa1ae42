"""Loops over guest data: C through cffi, each routine with a Python twin.

The package's functions are C's (`native`) where the extension is built and those of `reference`
and `reference_shadow` otherwise; ``NATIVE`` says which, and ``STALE`` what is wrong where it is
built of other sources. The daemon says so when it starts.
"""

from __future__ import annotations

from mediator.native_sources import StaleExtension

STALE = ""

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
except ImportError as error:
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
    STALE = str(error) if isinstance(error, StaleExtension) else ""

__all__ = [
    "NATIVE",
    "STALE",
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
