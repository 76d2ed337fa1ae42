"""Which tests run which lines: measured once for each state of the code, kept in the cache.

When tests change and the code does not, only their files are measured again.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.guests.store import cache_root
from tests.mutation import code
from tests.mutation.fault import Fault
from tests.mutation.project_copy import ProjectCopy

_NATIVE = "mediator/hotpath/native.py"
_EU_NATIVE = (
    "mediator/softgpu/eu/native/worker.py",
    "mediator/softgpu/eu/dispatch/native_pool.py",
    "mediator/softgpu/eu/messages/native_messages.py",
)
"""Who calls the C of the execution units."""
_EU_ROOM = code.C_ROOMS[1]
_KEPT = 4
"""States of the code whose measurement is kept."""


@dataclass(slots=True)
class Cover:
    """The quick tests that passed, how long each took, and who runs which line."""

    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    """File, line: tests."""

    def tests_of(self, fault: Fault, budget: float) -> list[str]:
        """Tests for ``fault``, those about its module first, up to ``budget`` seconds in all."""
        chosen = []
        total = 0.0
        near = _nearness(fault.file)
        candidates = self._candidates(fault)
        for test in sorted(candidates, key=lambda t: (near(t), self.seconds[t], t)):
            total += self.seconds[test]
            if total > budget:
                break
            chosen.append(test)
        return chosen

    def _candidates(self, fault: Fault) -> set[str]:
        if fault.file.endswith((".c", ".h")):
            return self._callers_of_c(fault.file)
        lines = self.runs.get(fault.file, {})
        found = _union(lines.get(line, ()) for line in range(fault.first, fault.last + 1))
        if found and fault.within and not _is_class(fault.within):
            return found
        # A line that runs when its module is imported: who uses what it defines?
        source = (code.ROOT / fault.file).read_text(encoding="utf-8").splitlines()
        named = re.match(r"\s*(?:def )?(\w+)\s*[:=(]", source[fault.first - 1])
        if named:
            found = found | self._users_of(named[1])
        style = {test for test in self.seconds if test.startswith("tests/style/")}
        return found | style | _union(lines.values()) | self._importers_of(fault.file)

    def _users_of(self, name: str) -> set[str]:
        word = re.compile(rf"\b{name}\b")
        found: set[str] = set()
        for file, lines in self.runs.items():
            for number, text in enumerate((code.ROOT / file).read_text().splitlines(), 1):
                if number in lines and word.search(text):
                    found |= lines[number]
        return found

    def _importers_of(self, file: str) -> set[str]:
        near = _nearness(file)
        return {test for test in self.seconds if near(test) < _FAR}

    def _callers_of_c(self, file: str) -> set[str]:
        """Tests that call what ``file`` defines; any of C where it defines nothing of its own.

        Of the execution units' C, whose routines call each other: all that come to it.
        """
        if file.startswith(_EU_ROOM):
            return _union(
                tests for name in _EU_NATIVE for tests in self.runs.get(name, {}).values()
            )
        defined = set(re.findall(r"^\w+ (hp_\w+)\(", (code.ROOT / file).read_text(), re.MULTILINE))
        if file.endswith(("walk.c", ".h")):
            defined = set()
        lines = self.runs.get(_NATIVE, {})
        found: set[str] = set()
        for number, text in enumerate((code.ROOT / _NATIVE).read_text().splitlines(), 1):
            called = re.search(r"lib\.(hp_\w+)", text)
            if called and (not defined or called[1] in defined):
                found |= lines.get(number, set())
        return found


_FAR = 3


def _is_class(within: str) -> bool:
    """Whether it is the body of a class, which runs when its module is imported."""
    return within.rpartition(".")[2].lstrip("_")[:1].isupper()


def _nearness(file: str) -> Any:
    """How a test stands to ``file``: 0 bears its name, 1 imports it, 2 what does, else `_FAR`."""
    stem = Path(file).stem
    parameter = f"[{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}]"
    imports = _import_of(file)
    users = _NOTHING
    if file.endswith(".py"):
        using = [name for name in _modules() if imports.search((code.ROOT / name).read_text())]
        if using:
            users = re.compile("|".join(f"(?:{_import_of(name).pattern})" for name in using))
    ranks: dict[str, int] = {}

    def rank(test: str) -> int:
        path = test.partition("::")[0]
        if test.endswith(parameter):
            return 0
        if path not in ranks:
            text = (code.ROOT / path).read_text()
            if stem in Path(path).stem:
                ranks[path] = 0
            elif imports.search(text):
                ranks[path] = 1
            else:
                ranks[path] = 2 if users.search(text) else _FAR
        return ranks[path]

    return rank


_NOTHING = re.compile(r"(?!)")


def _import_of(file: str) -> re.Pattern[str]:
    """What imports ``file``, or the C routines that it is part of."""
    if file.startswith(_EU_ROOM) and not file.endswith(".py"):
        return re.compile(
            r"mediator\.softgpu\.eu\.native|native_pool|native_messages|message_world"
        )
    if not file.endswith(".py"):
        return re.compile(r"from mediator\.hotpath|mediator\.hotpath\.native")
    module = file.removesuffix(".py").replace("/", ".")
    parent, _, last = module.rpartition(".")
    names = rf"(?:\([^)]*|[^\n(]*)\b{last}\b"
    return re.compile(rf"from {re.escape(module)} import|from {re.escape(parent)} import {names}")


@cache
def _modules() -> tuple[str, ...]:
    return tuple(
        name
        for name in code.project_files()
        if name.startswith(tuple(f"{room}/" for room in code.PYTHON_ROOMS)) and name.endswith(".py")
    )


def _union(groups: Iterable[Collection[str]]) -> set[str]:
    return {test for group in groups for test in group}


def load(workers: int) -> Cover:
    """What is known of the code as it is now; measures what is not known."""
    folder = cache_root() / "mutation"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"cover-{code.code_digest()}.json.gz"
    known: dict[str, Any] = {}
    if kept.is_file():
        known = json.loads(gzip.decompress(kept.read_bytes()))
    digests = {file: code.digest(file) for file in code.test_files()}
    stale = [file for file, now in digests.items() if known.get(file, {}).get("digest") != now]
    if stale:
        print(f"measuring what {len(stale)} files of tests run ...", flush=True)
        seen = _measure(stale, workers)
        for file in stale:
            tests = {test: row for test, row in seen.items() if test.startswith(f"{file}::")}
            known[file] = {"digest": digests[file], "tests": tests}
        kept.write_bytes(gzip.compress(json.dumps(known).encode(), 1))
        for old in sorted(folder.glob("cover-*"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    cover = Cover()
    for file in digests:
        for test, row in known[file]["tests"].items():
            cover.seconds[test] = row["seconds"]
            for source, lines in row["lines"].items():
                runs = cover.runs.setdefault(source, {})
                for line in lines:
                    runs.setdefault(line, set()).add(test)
    return cover


def _measure(files: list[str], workers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="vgpud-cover-") as place:
        copy = ProjectCopy.make(Path(place) / "project")
        to = Path(place) / "seen"
        to.mkdir()
        environment = {
            **copy.environment(),
            "MEASURE_TO": str(to),
            "MEASURE_ROOMS": " ".join(code.PYTHON_ROOMS),
            "PYTEST_PLUGINS": "tests.mutation.measure",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        spread = ["-n", str(workers), "--dist", "loadfile", "-m", code.QUICK]
        done = subprocess.run(
            [*command, *spread, *files],
            cwd=copy.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        print("\n".join(done.stdout.splitlines()[-12:]), flush=True)
        seen: dict[str, Any] = {}
        for part in to.iterdir():
            for test, row in json.loads(part.read_text()).items():
                if row["lines"] or test not in seen:
                    seen[test] = row
        if not seen:
            raise SystemExit(f"no test was measured:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return seen
