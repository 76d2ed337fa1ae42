"""Whether tests notice a fault: one run of pytest in a copy, in a process that was made ready.

A worker imports what is not the project's and forks for each trial, which saves most of a start of
Python and of pytest. A trial that does not end is ended, and counts as noticed.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.mutation.fault import Fault
from tests.mutation.native_build import CompilerRefusal, NativeBuild
from tests.mutation.project_copy import ProjectCopy
from tests.mutation.stamps import stamp

_OURS = ("tests", "mediator", "mmio_trap", "scheduler", "vgpu_ctl", "qemu_hooks")
_GRACE_SECONDS = 60.0
_SLOWER = 8
"""A run that takes this many times what it should, and the grace, waits for something."""
_CPU_SECONDS = 6
_MORE_CPU = 2
"""A test that takes this much more of the processor than it should is in a loop."""
_MEMORY = 6 << 30
_NO_TESTS = 5
_PROFILE = "trial"


class Outcome(Enum):
    """What became of a fault."""

    KILLED = "killed"
    TIME_OUT = "time-out"
    SURVIVED = "survived"
    NOT_COVERED = "not covered"
    INVALID = "no fault"
    """The compiler refuses it or makes the same machine code of it: another is drawn."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A fault, the tests it has to pass, and how long they take without it."""

    fault: Fault
    seconds: dict[str, float]
    """By test, in their order."""


@dataclass(slots=True)
class TrialBench:
    """One copy of the project in which trials are made one after the other."""

    copy: ProjectCopy
    seed: int
    native: NativeBuild | None = None

    def judge(self, trial: Trial) -> Outcome:
        """Put the fault in, run the tests, take it out."""
        fault = trial.fault
        if not trial.seconds:
            return Outcome.NOT_COVERED
        try:
            self.copy.put(fault.file, fault.put_into((self.copy.root / fault.file).read_bytes()))
            if self._is_c(fault):
                try:
                    if not self._build().build(fault.file):
                        return Outcome.INVALID
                except CompilerRefusal:
                    return Outcome.INVALID
            stamp(self.copy.root)
            return self.run(trial.seconds)
        finally:
            self.copy.restore(fault.file)
            if self.native is not None:
                self.native.reset()
            stamp(self.copy.root)

    def run(self, seconds: dict[str, float]) -> Outcome:
        """Run tests on the copy as it is; ``seconds`` are what each takes."""
        chosen = self.copy.root / "scratch" / "tests"
        chosen.write_text("\n".join(seconds))
        child = os.fork()
        if not child:
            self._be_pytest(chosen, seconds)
        deadline = time.monotonic() + sum(seconds.values()) * _SLOWER + _GRACE_SECONDS
        code = _wait(child, deadline)
        if code is None or code == -signal.SIGXCPU:
            return Outcome.TIME_OUT
        return Outcome.SURVIVED if code in (0, _NO_TESTS) else Outcome.KILLED

    def _build(self) -> NativeBuild:
        assert self.native is not None
        return self.native

    @staticmethod
    def _is_c(fault: Fault) -> bool:
        return fault.file.endswith((".c", ".h"))

    def _be_pytest(self, chosen: Path, seconds: dict[str, float]) -> None:
        """In the child: become a pytest that knows the copy only."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        out = os.open(self.copy.root / "scratch" / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(self.copy.root)
        os.environ.update(self.copy.environment())
        for name in [n for n in sys.modules if n.partition(".")[0] in _OURS]:
            del sys.modules[name]
        sys.path[:] = [str(self.copy.root), *(p for p in sys.path if not _is_tree(p))]
        # What fails is not made smaller: that it fails is enough.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(_PROFILE, deadline=None, phases=phases, database=None)
        arguments = [
            *("-x", "-q", "-p", "no:cacheprovider", "--no-header"),
            *(f"--hypothesis-profile={_PROFILE}", f"--hypothesis-seed={self.seed}"),
            f"@{chosen}",
        ]
        code: int = 3
        with contextlib.suppress(BaseException):
            code = int(pytest.main(arguments, [_CpuLimit(seconds)]))
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


@dataclass(slots=True, eq=False)
class _CpuLimit:
    """A plugin that ends the process when a test, or what comes before the first, loops.

    It is compared as itself: pytest keeps plugins in sets where tests have a conftest.py each.
    """

    seconds: dict[str, float]

    def pytest_configure(self) -> None:
        self._allow(_GRACE_SECONDS)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        known = self.seconds.get(item.nodeid, max(self.seconds.values()))
        self._allow(known * _MORE_CPU + _CPU_SECONDS)

    @staticmethod
    def _allow(seconds: float) -> None:
        limit = int(time.process_time() + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _is_tree(path: str) -> bool:
    return not path or (Path(path) / "mmio_trap").is_dir()


def _wait(child: int, deadline: float) -> int | None:
    """The child's exit code, None when it had to be ended; what it started ends with it."""
    pause = 0.005
    status = 0
    code: int | None = None
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code
