"""The project's own files, as the style tests read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mediator", "mmio_trap", "vgpu_ctl", "scheduler", "qemu_hooks")
_FOLDERS = (*PACKAGES, "tests", "docs", ".ci")
_SUFFIXES = {"", ".c", ".h", ".md", ".py", ".sh", ".toml", ".typed", ".txt"}
_NOT_OURS = {".git", "mediator/hotpath/_hotpath.c", "mediator/softgpu/eu/_native.c"}
"""What git keeps in a linked work tree, and what is generated."""


@cache
def files() -> tuple[Path, ...]:
    """Every text file that belongs to the project, in order."""
    return tuple(sorted(_walk()))


@cache
def modules() -> tuple[Path, ...]:
    """Every Python module, build script included; an empty `__init__.py` is none."""
    return tuple(path for path in files() if path.suffix == ".py" and path.stat().st_size)


@cache
def syntax(path: Path) -> ast.Module:
    """The parsed module at `path`."""
    return ast.parse(text(path))


@cache
def text(path: Path) -> str:
    """What stands in the file at `path`."""
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    """The file's path in the project."""
    return path.relative_to(ROOT).as_posix()


def _walk() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and _is_ours(path))
    for folder in _FOLDERS:
        yield from (p for p in (ROOT / folder).rglob("*") if p.is_file() and _is_ours(p))


def _is_ours(path: Path) -> bool:
    return (
        path.suffix in _SUFFIXES
        and "__pycache__" not in path.parts
        and not path.name.startswith(".coverage")
        and name(path) not in _NOT_OURS
    )
