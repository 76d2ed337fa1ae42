"""A kernel to run: source, launch, arguments, and how its answers are judged.

A case says nothing about a driver: the same one goes to an interpreter, to a compiled kernel, and
to OpenCL in a guest. Only NumPy is needed here, so that a guest can have these files too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KERNELS = Path(__file__).parent / "kernels"


class Size(Enum):
    """How much work: for an interpreter, or for a measurement."""

    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer in global (or constant) memory and what is in it at first."""

    data: Array


@dataclass(frozen=True, slots=True)
class Scalar:
    """An argument by value."""

    value: np.generic


@dataclass(frozen=True, slots=True)
class Local:
    """Local memory of so many bytes."""

    size: int


class PixelFormat(Enum):
    """Four channels, and how an element of an image's array is stored: (OpenCL's name, type)."""

    UNORM8 = ("UNORM_INT8", np.uint8)
    UINT8 = ("UNSIGNED_INT8", np.uint8)
    UINT32 = ("UNSIGNED_INT32", np.uint32)
    FLOAT = ("FLOAT", np.float32)

    def __init__(self, channel_type: str, element: type[np.generic]) -> None:
        self.channel_type = channel_type
        self.element = element


@dataclass(frozen=True, slots=True)
class Image:
    """A two-dimensional image with channels RGBA; ``data`` is [row, column, channel]."""

    data: Array
    format: PixelFormat


Argument = Buffer | Scalar | Local | Image
Judge = Callable[[Sequence[Array | None]], list[str]]
"""From the arguments' memory after the run (None where there is none) to complaints."""


@dataclass(frozen=True, slots=True)
class Case:
    """One launch of one kernel. ``judge`` gets what the arguments' memory holds afterwards."""

    name: str
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]
    arguments: tuple[Argument, ...]
    judge: Judge
    kernel: str = ""
    """The kernel function; empty: as the case."""
    source_name: str = ""
    needs: frozenset[str] = frozenset()
    """What not every driver offers: fp16, fp64, images, int64_atomics, intel_subgroups,
    subgroups."""
    accuracy: str = "equal"
    """What the judge asks, for people."""
    offset: tuple[int, ...] = ()
    options: str = field(default="")

    @property
    def source(self) -> str:
        """The OpenCL C text."""
        return (KERNELS / f"{self.source_name or self.name}.cl").read_text()

    @property
    def function(self) -> str:
        """The name of the kernel function."""
        return self.kernel or self.name

    def start(self) -> list[Array | None]:
        """A copy of what the arguments' memory holds before the run."""
        return [
            argument.data.copy() if isinstance(argument, Buffer | Image) else None
            for argument in self.arguments
        ]
