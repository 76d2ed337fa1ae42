"""Objects that the compiler process made, linked into this process."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY = "kernel"
"""The symbol of a kernel's function."""
APART = "apart"
"""That of a pair's for one thread alone."""


class LinkError(Exception):
    """An object that cannot be linked."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A kernel in this process. The address holds as long as this object lives."""

    address: int
    size: int
    tracker: Any
    from_disk: bool = False
    """Its object was kept by an earlier process."""
    apart: int = 0
    """Of a kernel of two threads: the address of that for one which has parted from the other."""


class Linker:
    """Links objects against the message routines."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        """``symbols``: addresses of what kernels may call, by name."""
        self._symbols = dict(symbols)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jit: Any = None

    def link(self, content: bytes, *, pair: bool = False) -> Linked:
        """Make an object's code callable; ``pair``: one for two threads.

        Raises:
            LinkError: LLVM refuses it.
        """
        import llvmlite.binding as llvm  # only where it is used: an extra

        with self._lock:
            try:
                if self._jit is None:
                    llvm.initialize_native_target()
                    llvm.initialize_native_asmprinter()
                    self._jit = llvm.create_lljit_compiler(suppress_errors=True)
                builder = llvm.JITLibraryBuilder().add_object_img(content).add_current_process()
                for name, address in self._symbols.items():
                    builder.import_symbol(name, address)
                for name in (ENTRY, APART) if pair else (ENTRY,):
                    builder.export_symbol(name)
                tracker = builder.link(self._jit, f"kernel{next(self._numbers)}")
                apart = tracker[APART] if pair else 0
                return Linked(tracker[ENTRY], len(content), tracker, apart=apart)
            except RuntimeError as error:
                raise LinkError(str(error)) from error
