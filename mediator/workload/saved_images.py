"""Which private parts of context images the hardware has saved for a vGPU, by their digests.

What the private part of an image means (all that follows the register loads of
`gen9/context_image.py`) only the hardware knows, and it restores it with privilege. So no form of
it is judged: what the hardware itself has saved for a context of the same vGPU and engine may be
restored, anything else not. Drivers copy images (i915 begins each context with one that it has
taken from the first), so it does not matter for which context it was saved.

Plain data, serialised with the vGPU. What is kept is bounded: the last save of each of so many
contexts, and so many earlier ones, those apart that a driver has come back with.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

MOST_CONTEXTS = 8192
"""Contexts whose last save is known."""
MOST_OTHERS = 4096
"""Earlier saves that are known, and the same of those that are worth more."""
_DIGEST_BYTES = 16


def digest(*parts: bytes | memoryview) -> bytes:
    """What stands for ``parts``, one after the other, here: 16 bytes."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part)
    return made.digest()[:_DIGEST_BYTES]


@dataclass
class SavedImages:
    """The private parts known of one engine's contexts. Each dict has the oldest first."""

    latest: dict[int, bytes] = field(default_factory=dict)
    """By the context's address."""
    earlier: dict[bytes, None] = field(default_factory=dict)
    copied: dict[bytes, None] = field(default_factory=dict)
    """First saves of contexts and earlier ones that were found again: what drivers copy."""

    def note(self, lrca: int, saved: bytes, *, first: bool) -> None:
        """The hardware has saved the context at ``lrca``; ``first``: it had never run before."""
        before = self.latest.pop(lrca, None)
        self.latest[lrca] = saved
        if before is not None and before != saved:
            _keep(self.earlier, before)
        if len(self.latest) > MOST_CONTEXTS:
            _keep(self.earlier, self.latest.pop(next(iter(self.latest))))
        if first:
            _keep(self.copied, saved)

    def knows(self, lrca: int, wanted: bytes) -> bool:
        """Whether the hardware has saved ``wanted``, with which the context at ``lrca`` comes."""
        if self.latest.get(lrca) == wanted:
            return True
        if wanted in self.copied or wanted in self.earlier or wanted in self.latest.values():
            _keep(self.copied, wanted)
            return True
        return False


def _keep(known: dict[bytes, None], saved: bytes) -> None:
    known.pop(saved, None)
    known[saved] = None
    if len(known) > MOST_OTHERS:
        del known[next(iter(known))]
