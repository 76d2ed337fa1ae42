"""Requests that hardware answers in its own time: whoever asks must look until it has."""

from __future__ import annotations

from collections.abc import Callable


class Answers:
    """How many looks at a register it takes until the answer stands there."""

    def __init__(self, looks: Callable[[], int] | None) -> None:
        """``looks`` draws the number for each request; None: every answer is there at once."""
        self.late = looks is not None
        self._looks = looks
        self._left: dict[int, int] = {}

    def ask(self, offset: int) -> None:
        """Something was asked, and the register at BAR0 ``offset`` will tell of the answer."""
        if self._looks is not None:
            self._left[offset] = self._looks()

    def there(self, offset: int) -> bool:
        """A look at the register: is the answer there?"""
        left = self._left.get(offset, 0)
        if left:
            self._left[offset] = left - 1
        return not left
