"""The rules of CONTRIBUTING.md that a program can check on the modules."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.style.tree import PACKAGES, ROOT, files, modules, name, syntax, text

LONGEST = 500
"""Lines of a module, past which its docstring says why."""
_SOURCES = (".py", ".c", ".h")
CATCH_ALL = {
    "mediator/dispatcher.py": 3,
    "mediator/softgpu/engine.py": 1,
    "mediator/softgpu/eu/translator/translations.py": 1,
    "mediator/softgpu/eu/translator/worker.py": 1,
    "mmio_trap/vfio_user/server.py": 1,
    "qemu_hooks/hook_operations.py": 1,
    "vgpu_ctl/api/server.py": 2,
    "vgpu_ctl/exporter/http.py": 2,
    "vgpu_ctl/pacing/paced_loop.py": 1,
    "vgpu_ctl/pacing/paced_workers.py": 1,
}
"""How often, where a thread's loop begins: one for each client of a vGPU, one for each engine of
the software GPU, those that serve all clients of the control socket or of the metrics, and the
dispatcher's. That one serves all guests and must outlive a failure with one of them, also while it
puts that one off; and a trap that finds the GPU free must not pay for the failure. The thread and
the process that compile kernels serve all guests too. And where
libvirt has found a domain running: it would kill it.
"""
_BROAD = {"Exception", "BaseException"}

_MACHINE_PATH = re.compile(r"(?<![\w./$}])/(?:home|Users|root|work)/[A-Za-z0-9._]|~/[.]cache")
_GUEST_SCRIPTS = "tests/guests/scripts/"
"""Paths in there are the guest's, whose only user is root."""
_ADDRESS = re.compile(r"\b(?:https?|ftp)://(?P<host>[A-Za-z0-9.-]*)")
_ALLOWED_HOSTS = {
    "",
    "keepachangelog.com",
    "www.apache.org",
    "libvirt.org",
    "localhost",
    "127.0.0.1",
}
_RESERVED = (".example", ".test", ".invalid", "example.org", "example.com")
"""RFC 2606: names that nobody has."""
_REGISTRIES = re.compile(
    r"\b(?:[a-z-]+\.)?(?:pypi\.|pythonhosted\.|debian\.|ubuntu\.|npmjs\.|crates\.)"
    r"(?:org|com|net|io)\b"
)


def test_a_module_says_what_it_is() -> None:
    assert [name(path) for path in modules() if not ast.get_docstring(syntax(path))] == []


def test_a_long_module_says_why() -> None:
    found = [
        f"{name(path)}: {_lines(path)} lines"
        for path in files()
        if path.suffix in _SOURCES and _lines(path) > LONGEST and not _excused(path)
    ]
    assert found == []


def _lines(path: Path) -> int:
    return text(path).count("\n")


def _excused(path: Path) -> bool:
    """The module's docstring speaks of its length."""
    return path.suffix == ".py" and f"{LONGEST} lines" in (ast.get_docstring(syntax(path)) or "")


def test_only_the_threads_loops_catch_everything() -> None:
    found = Counter(name(path) for path in modules() for _ in _broad_handlers(syntax(path)))
    assert found == CATCH_ALL


def _broad_handlers(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Handlers of any exception that do not raise it again."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {item.id for item in ast.walk(node.type or node) if isinstance(item, ast.Name)}
        last = node.body[-1]
        raised_again = isinstance(last, ast.Raise) and last.exc is None
        if (node.type is None or caught & _BROAD) and not raised_again:
            yield node


def test_no_path_of_one_machine() -> None:
    found = [
        f"{name(path)}: {match.group()}"
        for path in files()
        if not name(path).startswith(_GUEST_SCRIPTS)
        for match in _MACHINE_PATH.finditer(text(path))
    ]
    assert found == []


def test_no_host_of_a_registry() -> None:
    found = [
        f"{name(path)}: {host}"
        for path in files()
        for host in [
            *(match["host"] for match in _ADDRESS.finditer(text(path))),
            *(match.group() for match in _REGISTRIES.finditer(text(path))),
        ]
        if host not in _ALLOWED_HOSTS and not host.endswith(_RESERVED)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_ours(package: str) -> None:
    """Other projects have distributions of some of these names: none may stand in the way."""
    assert set(packages_distributions()[package]) == {"vgpu-mediator"}
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__) == ROOT / package / "__init__.py"
    assert (ROOT / package / "py.typed").is_file()
