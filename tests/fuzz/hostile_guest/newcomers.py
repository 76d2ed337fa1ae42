"""Honest guests that come to a vGPU of their own while others are attacked, work, and leave."""

from __future__ import annotations

import threading

from tests.fuzz.hostile_guest.computing_worker import ComputingWorker
from tests.integration.vgpu_rig import connect
from tests.integration.vgpu_worker import Worker

_EVERY_S = 3.0


class Newcomers:
    """A thread that brings one after another until `stop`."""

    def __init__(self, path: str, kernels: bool = False) -> None:
        self._path, self._kernels = path, kernels
        self._end = threading.Event()
        self.served = 0
        self.failure = ""
        """What went wrong with one of them."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(_EVERY_S) and not self.failure:
            try:
                serve_one(self._path, 200, kernels=self._kernels)
            except (AssertionError, OSError, ValueError) as error:
                self.failure = f"a newcomer was not served: {type(error).__name__}: {error}"
            else:
                self.served += 1

    def stop(self) -> None:
        """The last one has left."""
        self._end.set()
        self._thread.join()


def serve_one(path: str, number: int, *, kernels: bool = False) -> None:
    """A guest that comes, works on all engines, looks at every result, and leaves.

    ``kernels``: it computes too.

    Raises AssertionError for a wrong result or for none.
    """
    guest = connect(path)
    try:
        worker = (ComputingWorker if kernels else Worker)(guest, number)
        for _ in range(3):
            worker.round()
        guest.driver.wait_idle()
    finally:
        guest.close()
