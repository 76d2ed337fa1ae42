"""What nobody closes: sockets and files that Python has to close by itself."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_unclosed() -> Iterator[None]:
    """Inside, all threads close what they open. What was left before it does not count."""
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    left = [str(each.message) for each in found if issubclass(each.category, ResourceWarning)]
    assert left == []
