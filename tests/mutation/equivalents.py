"""The list of faults that change no behaviour, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.fault import Fault

LIST = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A fault of the list, or several of one function that read the same."""

    file: str
    why: str
    within: str = ""
    was: str = ""
    """Empty: whatever is changed in the line, or in the function where there is no line."""
    now: str = ""
    line: str = ""
    """Text of the line."""
    above: str = ""
    """Text of the line above, where others read the same."""

    def covers(self, fault: Fault, lines: Sequence[str]) -> bool:
        """Whether ``fault``, in a file of ``lines``, is meant."""
        if (self.file, self.within) != (fault.file, fault.within):
            return False
        if self.was and (self.was, self.now) != (fault.was, fault.now):
            return False
        above, line = (lines[fault.line - 2] if fault.line > 1 else ""), lines[fault.line - 1]
        return self.line in ("", line.strip()) and self.above in ("", above.strip())


def load() -> list[Equivalent]:
    """The list as it stands in the file."""
    return [Equivalent(**row) for row in tomllib.loads(LIST.read_text()).get("fault", ())]


def leave_out(
    faults: Iterable[Fault], known: list[Equivalent], lines_of: dict[str, list[str]]
) -> list[Fault]:
    """``faults`` without those of the list. ``lines_of``: the lines of each file."""
    by_file: dict[str, list[Equivalent]] = {}
    for each in known:
        by_file.setdefault(each.file, []).append(each)
    return [
        fault
        for fault in faults
        if not any(each.covers(fault, lines_of[fault.file]) for each in by_file.get(fault.file, ()))
    ]
