"""A worker of the native runtime, and the addresses of its routines.

Importing this raises ImportError where the extensions are not built, or stale.
"""

from __future__ import annotations

from typing import Any, Final

from mediator.hotpath.interface import Mapping
from mediator.hotpath.native import Pins, pack_memory, pack_space, release
from mediator.native_sources import EXECUTION_UNITS, check
from mediator.softgpu.eu._native import ffi, lib
from mediator.softgpu.eu.bases import Bases

__all__ = ["ABI_VERSION", "ROUTINES", "NativeWorker", "ffi", "lib", "routine_addresses"]

check(EXECUTION_UNITS, ffi, lib)

ABI_VERSION: Final[int] = lib.EU_ABI_VERSION

ROUTINES: Final = (
    "eu_send",
    "eu_readable",
    "eu_writable",
    "eu_load",
    "eu_store",
    "eu_buffer_at",
    "eu_untyped_read",
    "eu_untyped_write",
    "eu_untyped_atomic",
    "eu_global_read",
    "eu_global_write",
    "eu_global_atomic",
    "eu_scattered_read",
    "eu_scattered_write",
    "eu_global_scattered_read",
    "eu_global_scattered_write",
    "eu_block_read",
    "eu_block_write",
    "eu_global_block_read",
    "eu_global_block_write",
)
"""What compiled code may call by name; signatures are those of ``native/abi.h``."""


def routine_addresses() -> dict[str, int]:
    """Where each of `ROUTINES` is, for a linker."""
    return {name: int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in ROUTINES}


class NativeWorker:
    """A ``struct eu_worker`` in one address space. ``struct`` is what native code is given.

    The caller is inside ``space.memory.using()`` from `attach` to `detach`: the structure holds
    host addresses of the guest's memory. While it is attached no recording may begin or end; who
    begins one makes the worker attach anew.
    """

    def __init__(self) -> None:
        self.struct: Any = ffi.new("struct eu_worker *")
        self._pins: Pins = []
        self._kept: tuple[Any, ...] = ()

    def attach(self, space: Mapping, bases: Bases) -> None:
        """Work in ``space`` from now on, with nothing known of it yet."""
        self.detach()
        memory = pack_memory(space.memory, self._pins)
        packed = pack_space(space, self._pins)
        self._kept = memory, packed
        worker = self.struct
        worker.memory = memory
        worker.space = packed
        worker.surface_base = bases.surface
        worker.dynamic_base = bases.dynamic
        worker.general_base = bases.general
        worker.general_size = bases.general_size
        worker.bindless_base = bases.bindless
        worker.bindless_size = bases.bindless_size
        worker.instruction_base = bases.instruction
        worker.binding_table = bases.binding_table
        worker.sampler_table = bases.sampler_table
        lib.eu_forget(worker)

    def detach(self) -> None:
        """Let go of the space."""
        release(self._pins)
        self._pins = []
        self.struct.memory = ffi.NULL
        self.struct.space = ffi.NULL
        self._kept = ()
