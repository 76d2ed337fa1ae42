"""A copy of the project that faults are put into: the working tree is never touched."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.code import ROOT, project_files


@dataclass(slots=True)
class ProjectCopy:
    """The project's files under ``root``, with the C extensions as they were last built."""

    root: Path
    changes: int = 0

    @classmethod
    def make(cls, root: Path) -> ProjectCopy:
        """Copy the working tree to ``root``."""
        for name in project_files():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        for built in (ROOT / "mediator").rglob("_*.so"):
            shutil.copy2(built, root / built.relative_to(ROOT))
        (root / "scratch").mkdir()
        return cls(root)

    def put(self, name: str, content: bytes) -> None:
        """Replace a file's content.

        Its time is another with each change: Python tells compiled forms apart by seconds.
        """
        path = self.root / name
        path.write_bytes(content)
        self.changes += 1
        os.utime(path, (self.changes, self.changes))

    def restore(self, name: str) -> None:
        """Give a file the working tree's content again."""
        shutil.copy2(ROOT / name, self.root / name)

    def environment(self) -> dict[str, str]:
        """What a program in the copy finds around it: the copy's packages, and its own scratch."""
        scratch = self.root / "scratch"
        return {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }
