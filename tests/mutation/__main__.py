"""`make mutate`: draw faults, let the quick tests look for them, and list those they miss."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_any
from pathlib import Path

# Imported before the fork that each trial is: they are not the project's, and take their time.
import _pytest.config
import cffi  # type: ignore[import-untyped]  # cffi ships no types
import hypothesis.strategies
import msgspec
import pytest_timeout  # type: ignore[import-untyped]
import structlog
import xdist.plugin  # type: ignore[import-untyped]

from tests.guests.store import cache_root
from tests.mutation import code, cover, equivalents
from tests.mutation.fault import Fault, draw
from tests.mutation.native_build import NativeBuild
from tests.mutation.project_copy import ProjectCopy
from tests.mutation.trial import Outcome, Trial, TrialBench

_PREPARED = (_pytest.config, cffi, hypothesis, msgspec, pytest_timeout, structlog, xdist)
_GOAL = 0.95


def main() -> int:
    """Run as a program; 0 where at least 95 % of the faults were noticed."""
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    known = cover.Cover() if options.tests else cover.load(options.jobs)
    stops = time.monotonic() + options.minutes * 60 if options.minutes else None
    good = True
    for language in options.languages.split(","):
        faults = _faults(language, options.only)
        order = draw(faults, len(faults), seed) if not options.all else faults
        run = _Run(language, seed, options, known, stops)
        good &= run.go(order)
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many of each language")
    parser.add_argument("--seed", type=int, help="what is drawn; random and printed if not given")
    parser.add_argument("--languages", default="python,c", help="python, c, or both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests for one fault")
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on")
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument(
        "--tests", nargs="+", help="files of tests to run, instead of covering ones"
    )
    parser.add_argument("--all", action="store_true", help="every fault, not one a line")
    return parser.parse_args()


def _faults(language: str, only: str) -> list[Fault]:
    faults = [fault for fault in code.faults_of(language) if only in fault.file]
    names = {fault.file for fault in faults}
    lines = {name: (code.ROOT / name).read_text().splitlines() for name in names}
    return equivalents.leave_out(faults, equivalents.load(), lines)


class _Run:
    """The trials of one language, with a journal from which an interrupted run goes on."""

    def __init__(
        self,
        language: str,
        seed: int,
        options: argparse.Namespace,
        known: cover.Cover,
        stops: float | None,
    ) -> None:
        self.language = language
        self.seed = seed
        self.options = options
        self.known = known
        self.stops = stops
        self.wanted: int = sys.maxsize if options.all else options.faults
        named = f"{code.all_digest()} {seed} {language} {options.only} {options.budget}"
        named += f" {options.tests}"
        name = hashlib.sha256(named.encode()).hexdigest()[:16]
        self.journal = cache_root() / "mutation" / f"trials-{name}.jsonl"
        self.done: dict[str, Outcome] = {}
        if self.journal.is_file():
            for line in self.journal.read_text().splitlines():
                row = json.loads(line)
                self.done[row["fault"]] = Outcome(row["outcome"])

    def go(self, order: list[Fault]) -> bool:
        """Try faults in ``order`` until enough are tried; whether the goal is reached."""
        missed: list[tuple[int, Fault]] = []
        counts: Counter[Outcome] = Counter()
        for fault, outcome in self._outcomes(order):
            counts[outcome] += 1
            if outcome in (Outcome.SURVIVED, Outcome.NOT_COVERED):
                missed.append((sum(counts.values()), fault))
                print(f"{outcome.value}: {_shown(fault)}", flush=True)
        del counts[Outcome.INVALID]
        tried = sum(counts.values())
        killed = counts[Outcome.KILLED] + counts[Outcome.TIME_OUT]
        share = killed / tried if tried else 0.0
        said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.most_common())
        print(
            f"{self.language}: {killed} of {tried} noticed ({share:.1%}), seed {self.seed} ({said})"
        )
        if tried < min(self.wanted, len(order)):
            print("stopped before the end; the same command with this seed goes on from here")
        return share >= _GOAL

    def _outcomes(self, order: list[Fault]) -> Iterator[tuple[Fault, Outcome]]:
        """Each fault's outcome in the order of trial; what the journal has comes first."""
        waiting = iter(order)
        tried = 0
        for fault in order:
            outcome = self.done.get(_key(fault))
            if outcome is not None and tried < self.wanted:
                yield fault, outcome
                tried += outcome is not Outcome.INVALID
        with (
            tempfile.TemporaryDirectory(prefix="vgpud-mutate-") as place,
            self.journal.open("a") as journal,
        ):
            crew = [
                _Worker(Path(place) / str(number), self.language, self.seed)
                for number in range(self.options.jobs)
                if tried < self.wanted
            ]
            idle = list(crew)
            busy: dict[object, _Worker] = {}
            while True:
                while idle and tried + len(busy) < self.wanted and not self._is_over():
                    following = next((f for f in waiting if _key(f) not in self.done), None)
                    if following is None:
                        break
                    worker = idle.pop()
                    worker.begin(self._trial(following))
                    busy[worker.pipe] = worker
                if not busy:
                    break
                waited = [worker.pipe for worker in busy.values()]
                ends = [worker.process.sentinel for worker in busy.values()]
                if not (ready := [each for each in wait_any([*waited, *ends]) if each in busy]):
                    raise SystemExit("a worker of the mutation run has failed; see above")
                for pipe in ready:
                    worker = busy.pop(pipe)
                    idle.append(worker)
                    fault, outcome = worker.end()
                    row = {"fault": _key(fault), "outcome": outcome.value}
                    print(json.dumps(row), file=journal, flush=True)
                    tried += outcome is not Outcome.INVALID
                    yield fault, outcome
            for worker in crew:
                worker.close()

    def _is_over(self) -> bool:
        return self.stops is not None and time.monotonic() > self.stops

    def _trial(self, fault: Fault) -> Trial:
        tests = self.options.tests or self.known.tests_of(fault, self.options.budget)
        return Trial(fault, {test: self.known.seconds.get(test, 30) for test in tests})


class _Worker:
    """A process with a copy of the project, which is made there."""

    def __init__(self, place: Path, language: str, seed: int) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_work, args=(theirs, place, language, seed))
        self.process.start()
        theirs.close()
        self._fault: Fault | None = None

    def begin(self, trial: Trial) -> None:
        self._fault = trial.fault
        self.pipe.send(trial)

    def end(self) -> tuple[Fault, Outcome]:
        assert self._fault is not None
        return self._fault, self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def _work(pipe: Connection, place: Path, language: str, seed: int) -> None:
    copy = ProjectCopy.make(place)
    bench = TrialBench(copy, seed, NativeBuild(copy) if language == "c" else None)
    checked = False
    while trial := pipe.recv():
        assert isinstance(trial, Trial)
        if not checked and trial.seconds:
            if bench.run(trial.seconds) is not Outcome.SURVIVED:
                print((copy.root / "scratch" / "output").read_text()[-3000:])
                raise SystemExit("tests fail in a copy of the project without any fault in it")
            checked = True
        pipe.send(bench.judge(trial))


def _key(fault: Fault) -> str:
    return json.dumps(asdict(fault))


def _shown(fault: Fault) -> str:
    line = (code.ROOT / fault.file).read_text().splitlines()[fault.line - 1].strip()
    return f"{fault}\n    {line}"


if __name__ == "__main__":
    sys.exit(main())
