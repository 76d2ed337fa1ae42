"""What all tests share.

Without a C extension some are left out, on purpose; with a stale one they would be by accident. No
example of Hypothesis fails for being slow on a machine that is busy. The garbage collector does not
look at thousands of collected tests, or at what those before have left: whoever brings a GPU down
calls it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from mediator.native_sources import EXTENSIONS, built_files, is_fresh

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_sessionstart() -> None:
    """No test runs beside C of other sources; in CI none without C."""
    absent = [each.module for each in EXTENSIONS if not built_files(each)]
    if absent and "CI" in os.environ:
        pytest.exit(f"not built, see the log of `make venv`: {', '.join(absent)}", returncode=2)
    stale = [each.module for each in EXTENSIONS if built_files(each) and not is_fresh(each)]
    if stale:
        pytest.exit(f"built of other sources, run `make venv`: {', '.join(stale)}", returncode=2)


def pytest_collection_finish() -> None:
    """Tests, modules and plugins stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def what_was_loaded_stays() -> Iterator[None]:
    """What the tests of a file have imported, made and kept is no garbage for those of the next."""
    yield
    gc.collect()
    gc.freeze()
