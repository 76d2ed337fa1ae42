"""Kernel modules: what each depends on and the order to load them in; pure but for reading files.

A package holds no modules.dep (depmod makes it on the machine that installs the kernel), so the
dependencies come from each module's own `.modinfo` section.
"""

import lzma
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.guests.setup_error import SetupError

_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
_SUFFIXES = (".ko", ".ko.xz")


def module_name(path: Path) -> str:
    """The name under which the kernel knows a module file (dashes are underscores)."""
    return path.name.split(".ko")[0].replace("-", "_")


def find_modules(tree: Path) -> dict[str, Path]:
    """Every module file under `tree` by its name."""
    return {
        module_name(path): path
        for path in tree.rglob("*.ko*")
        if path.name.endswith(_SUFFIXES) and path.is_file()
    }


def read_module(path: Path) -> bytes:
    """A module's ELF image, decompressed (the guest's kernel would take far longer to do it)."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def depends(image: bytes) -> list[str]:
    """The modules that a module's image says it needs."""
    match = _DEPENDS.search(image)
    if match is None:
        return []
    return [name.decode().replace("-", "_") for name in match[1].split(b",") if name]


def load_order(wanted: Iterable[str], needs: Callable[[str], list[str]]) -> list[str]:
    """`wanted` and all they need, each after what it needs, each once.

    Raises SetupError where modules need each other in a circle.
    """
    order: list[str] = []
    done: set[str] = set()

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            raise SetupError(f"modules need each other: {' -> '.join((*chain, name))}")
        if name in done:
            return
        for needed in needs(name):
            visit(needed, (*chain, name))
        done.add(name)
        order.append(name)

    for name in wanted:
        visit(name, ())
    return order
