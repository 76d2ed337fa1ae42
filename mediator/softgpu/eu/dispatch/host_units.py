"""The execution units of a GPU put together from what this host has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.eu.translator.service import open_translations

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.running import Pool
    from mediator.softgpu.eu.translator.translations import Translations


def make_units() -> ExecutionUnits:
    """Execution units that compile programs where they can. Nothing is started yet."""
    return ExecutionUnits(ProgramCache(shared_translations), make_pool())


@cache
def shared_translations() -> Translations | None:
    """The translator of this process: GPUs come and go with each reset, what is compiled stays."""
    return open_translations()


def make_pool() -> Pool | None:
    """Host threads for compiled kernels; None where there is no runtime in C."""
    try:
        from mediator.softgpu.eu.dispatch.native_pool import NativePool
    except ImportError:
        return None
    return NativePool()
