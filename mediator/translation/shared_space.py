"""One DMA space for several vGPUs: the log of what the GPU wrote, divided by windows."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mediator.gen9.pte import PAGE_SHIFT
from mediator.physical.gpu import DmaSpace
from mediator.physical.partition import Window


class SharedSpace:
    """Gives each window's owner a `DmaSpace` in which recording is its own affair."""

    def __init__(self, space: DmaSpace) -> None:
        self._space = space
        self._lock = threading.Lock()
        self._logs: dict[Window, set[int]] = {}

    def view(self, window: Window) -> DmaSpace:
        """The space as the owner of ``window`` sees it: dirty pages are those of the window."""
        return _View(self._space, self, window)

    def start(self, window: Window) -> None:
        """Record the window's pages, with an empty log."""
        with self._lock:
            if self._logs:
                self._divide()
            else:
                self._space.start_recording()
            self._logs[window] = set()

    def take(self, window: Window) -> list[int]:
        """The window's pages (iova >> 12, ascending) since the last call."""
        with self._lock:
            if window not in self._logs:
                return []
            self._divide()
            found = sorted(self._logs[window])
            self._logs[window].clear()
            return found

    def stop(self, window: Window) -> None:
        """Record the window's pages no longer."""
        with self._lock:
            if self._logs.pop(window, None) is not None and not self._logs:
                self._space.stop_recording()

    def _divide(self) -> None:
        """Put what the space has recorded into the logs."""
        for page in self._space.take_dirty():
            for window, log in self._logs.items():
                if window.base <= page << PAGE_SHIFT < window.base + window.size:
                    log.add(page)


class _View:
    """One owner's view."""

    def __init__(self, space: DmaSpace, shared: SharedSpace, window: Window) -> None:
        self._space = space
        self._shared = shared
        self._window = window

    def map(
        self, iova: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """As the space's."""
        self._space.map(iova, size, fd, fd_offset, readable, writable)

    def unmap(self, iova: int, size: int) -> None:
        """As the space's."""
        self._space.unmap(iova, size)

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        """As the space's."""
        self._space.unmap_each(ranges)

    def trim(self) -> None:
        """As the space's: others' mappings stay."""
        self._space.trim()

    def start_recording(self) -> None:
        """Begin to record the window's pages that the GPU writes."""
        self._shared.start(self._window)

    def take_dirty(self) -> list[int]:
        """The window's pages written since the last call."""
        return self._shared.take(self._window)

    def stop_recording(self) -> None:
        """Record no longer."""
        self._shared.stop(self._window)

    def close(self) -> None:
        """Let go of the window's recording; the space itself is not the view's to close."""
        self._shared.stop(self._window)
