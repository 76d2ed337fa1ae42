"""What all tests share.

No example of Hypothesis fails for being slow on a machine that is busy. The garbage collector does
not look at thousands of collected tests: whoever brings a GPU down calls it.
"""

from __future__ import annotations

import gc

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Tests, modules and plugins stay to the end."""
    gc.collect()
    gc.freeze()
