"""All cases by name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from tests.eu_corpus import cases_control, cases_float, cases_integer, cases_memory
from tests.eu_corpus.case import Case, Size

_BUILDERS: tuple[Callable[[Size], Case], ...] = (
    cases_float.vadd,
    cases_float.saxpy,
    cases_float.mandelbrot,
    cases_float.matmul,
    cases_float.stencil,
    cases_float.nbody,
    cases_float.doubles,
    cases_float.halves,
    cases_float.half_storage,
    cases_float.math_functions,
    cases_float.fft,
    cases_float.sparse,
    cases_float.constants,
    cases_integer.intloop,
    cases_integer.sha256,
    cases_integer.integers,
    cases_integer.long_integers,
    cases_integer.small_integers,
    cases_integer.conversions,
    cases_control.collatz,
    cases_control.reduce,
    cases_control.scan,
    cases_control.histogram,
    cases_control.bitonic,
    cases_control.switches,
    cases_control.divergent,
    cases_control.private_array,
    cases_control.atomics,
    cases_control.long_atomics,
    cases_control.subgroups,
    cases_control.shuffle,
    cases_memory.transpose,
    cases_memory.work_items,
    cases_memory.vectors,
    cases_memory.guarded,
    cases_memory.images,
    cases_memory.image_filter,
    cases_memory.image_integers,
)
CASES: Final = MappingProxyType({builder.__name__: builder for builder in _BUILDERS})


def case(name: str, size: Size = Size.SMALL) -> Case:
    """A case by name. Raises KeyError."""
    return CASES[name](size)


def all_cases(size: Size = Size.SMALL) -> list[Case]:
    """Every case."""
    return [builder(size) for builder in CASES.values()]
