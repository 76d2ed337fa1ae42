"""An honest worker that computes too: kernels among its work, and every answer looked at."""

from __future__ import annotations

from collections.abc import Callable

from tests.gpu_driver import Request
from tests.integration.vgpu_rig import Guest
from tests.integration.vgpu_worker import Begun, Worker
from tests.unit.mediator.eu.small_programs import Counting

_GROUPS = 5
_COUNT = 200


class ComputingWorker(Worker):
    """One guest's work on all engines, and a kernel in a context of its own."""

    def __init__(self, guest: Guest, number: int) -> None:
        super().__init__(guest, number)
        self.counting = Counting(guest.driver, _GROUPS, _COUNT + number)

    def begin(self) -> Begun:
        """Submit a round with a kernel in it."""
        return [*super().begin(), self.kernel()]

    def kernel(self) -> tuple[Request, Callable[[], None]]:
        """Groups that count up to a number of this worker's."""
        work = self.counting
        return self.driver.run(work.context, work.start()), self.counted

    def counted(self) -> None:
        """Raises AssertionError for a wrong answer."""
        assert self.counting.is_right(), f"guest {self.number}: a kernel's answer is wrong"
