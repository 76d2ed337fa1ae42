"""Guests that run GPU tests at the same time, a thread for each."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.guests import store
from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.compute_programs import Answer
from tests.guests.igt_plan import Program
from tests.guests.igt_results import Outcome, SubtestResult, table
from tests.guests.igt_subtest import planned_subtests, run_subtest
from tests.guests.images import Images
from tests.guests.kernel_log import complaints, console_complaints
from tests.guests.setup_error import SetupError


@dataclass
class GuestReport:
    """What one guest saw and did; `failure` says why it did not come to its end."""

    name: str
    boot_seconds: float = 0.0
    probe_seconds: float = 0.0
    engines: list[str] = field(default_factory=list)
    device: str = ""
    rounds: int = 0
    results: list[SubtestResult] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    """Of programs that compute, by what they use."""
    complaints: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def passed(self) -> int:
        """Subtests that passed, each time counted."""
        return sum(1 for result in self.results if result.outcome is Outcome.PASS)


class Together:
    """Holds workers until all are ready, and keeps them at work until each has done its share."""

    def __init__(self, count: int) -> None:
        self._start = threading.Barrier(count)
        self._lock = threading.Lock()
        self._missing = count

    def start(self, seconds: float) -> None:
        """Wait for the others. Raises GuestFailure when one of them is not coming."""
        try:
            self._start.wait(seconds)
        except threading.BrokenBarrierError:
            raise GuestFailure("another guest did not get as far as this one") from None

    def done(self) -> None:
        """The caller has done its share; it may go on, so that the others are not alone."""
        with self._lock:
            self._missing -= 1

    @property
    def all_done(self) -> bool:
        """Nobody needs company any more."""
        return self._missing <= 0

    def give_up(self) -> None:
        """The caller has failed: nobody shall wait for it."""
        self._start.abort()
        with self._lock:
            self._missing = 0


START_SECONDS = 600.0
"""How long a guest waits for the others to come up; without KVM they come up one by one."""


def work_together(
    images: Images,
    sockets: Sequence[Path],
    tests: Sequence[str],
    machine: Machine,
    inspect: Callable[[Guest, GuestReport], None] = lambda _guest, _report: None,
    compute: Callable[[Guest, GuestReport], None] = lambda _guest, _report: None,
) -> list[GuestReport]:
    """Boot a guest on each socket, run `compute` and `tests` in all at once, power off.

    Each goes on with its tests until all have run them once. `inspect` looks at each guest
    before and may fill in its report.
    """
    together = Together(len(sockets))
    reports = [GuestReport(socket.name) for socket in sockets]

    def one(socket: Path, report: GuestReport) -> None:
        try:
            _work(Guest(images, [socket], machine), report, tests, together, inspect, compute)
        except (GuestFailure, SetupError) as failure:
            report.failure = str(failure)
            together.give_up()
        except BaseException:
            together.give_up()
            raise

    threads = [
        threading.Thread(target=one, args=pair, name=pair[1].name)
        for pair in zip(sockets, reports, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reports


def _work(
    new_guest: Guest,
    report: GuestReport,
    tests: Sequence[str],
    together: Together,
    inspect: Callable[[Guest, GuestReport], None],
    compute: Callable[[Guest, GuestReport], None],
) -> None:
    with new_guest as guest:
        report.boot_seconds = guest.boot_seconds
        store.say(f"{report.name}: the guest is up after {guest.boot_seconds:.1f} s")
        report.probe_seconds = guest.load_i915()
        store.say(f"{report.name}: i915 is loaded after {report.probe_seconds:.1f} s")
        inspect(guest, report)
        plan = planned_subtests(guest, tests)
        together.start(START_SECONDS)
        compute(guest, report)
        while not together.all_done:
            for program, subtest in plan:
                if report.rounds and together.all_done:
                    break
                result = run_subtest(guest, program.name, subtest, program.seconds)
                store.say(f"{report.name}: {table([result]).splitlines()[0]}")
                report.results.append(result)
            report.rounds += 1
            if report.rounds == 1:
                together.done()
        log = guest.dmesg()
        guest.power_off()
        report.complaints = [*complaints(log), *console_complaints(guest.console())]


class Neighbour:
    """A second guest that works without end beside one that is looked at; a context manager."""

    def __init__(
        self, images: Images, socket: Path, tests: Sequence[str], machine: Machine
    ) -> None:
        self.report = GuestReport(socket.name)
        self._guest = Guest(images, [socket], machine)
        self._tests = tests
        self._working = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"neighbour {socket.name}")

    def __enter__(self) -> "Neighbour":
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._working.wait(1.0):
            if self.report.failure or time.monotonic() >= deadline:
                self.__exit__()
                raise GuestFailure(f"the busy guest did not come up: {self.report.failure}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._guest as guest:
                guest.load_i915()
                plan = planned_subtests(guest, self._tests)
                self._working.set()
                while not self._stop.is_set():
                    self._round(guest, plan)
                self.report.complaints = complaints(guest.dmesg())
        except (GuestFailure, SetupError) as failure:
            self.report.failure = str(failure)

    def _round(self, guest: Guest, plan: Sequence[tuple[Program, str]]) -> None:
        for program, subtest in plan:
            if self._stop.is_set():
                return
            self.report.results.append(run_subtest(guest, program.name, subtest, program.seconds))
        self.report.rounds += 1
