"""What all tests share: no example of Hypothesis fails for being slow on a machine that is busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
