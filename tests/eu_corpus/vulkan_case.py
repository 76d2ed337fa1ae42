"""A Vulkan compute job: resources, steps, and how its answers are judged.

Shaders stand in `tests/eu_corpus/shaders/`; `vulkan_run` runs the jobs. Only NumPy is needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Texels(IntEnum):
    """Formats of images, by their numbers in Vulkan (VkFormat)."""

    RGBA8 = 37
    R32UI = 98
    RGBA16F = 97
    RGBA32F = 109


class Filter(IntEnum):
    """How a sampler goes between texels (VkFilter)."""

    NEAREST = 0
    LINEAR = 1


class Outside(IntEnum):
    """What a sampler takes for texels that lie outside (VkSamplerAddressMode)."""

    REPEAT = 0
    EDGE = 2
    BORDER = 3
    """White, in `vulkan_run`."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A storage or uniform buffer and what is in it at first."""

    data: Array
    kind: str = "buffer"

    def line(self, binding: int, file: str) -> str:
        """Its line in a job."""
        return f"{self.kind} {binding} {file}"


@dataclass(frozen=True, slots=True)
class Image:
    """A linear storage image; ``data`` is [row, column, channel]."""

    data: Array
    format: Texels

    def line(self, binding: int, file: str) -> str:
        """Its line in a job."""
        height, width = self.data.shape[:2]
        return f"image {binding} {int(self.format)} {width} {height} {file}"


@dataclass(frozen=True, slots=True)
class Texture:
    """A linear image with a sampler."""

    data: Array
    format: Texels
    filter: Filter
    outside: Outside

    def line(self, binding: int, file: str) -> str:
        """Its line in a job."""
        height, width = self.data.shape[:2]
        how = f"{int(self.filter)} {int(self.outside)}"
        return f"texture {binding} {int(self.format)} {width} {height} {how} {file}"


@dataclass(frozen=True, slots=True)
class Tiled:
    """A tiled image that shaders write; they sample it at ``sampled``."""

    sampled: int
    format: Texels
    width: int
    height: int

    def line(self, binding: int, _file: str) -> str:
        """Its line in a job."""
        return f"tiled {binding} {self.sampled} {int(self.format)} {self.width} {self.height}"


Resource = Buffer | Image | Texture | Tiled
Memory = Mapping[int, Array]
Judge = Callable[[Memory], list[str]]
"""From what each binding holds after the run to complaints."""


@dataclass(frozen=True, slots=True)
class Run:
    """So many groups of a shader."""

    shader: str
    groups: tuple[int, int, int]

    def line(self) -> str:
        """Its line in a job."""
        return f"run {self.shader}.spv {self.groups[0]} {self.groups[1]} {self.groups[2]}"


@dataclass(frozen=True, slots=True)
class Indirect:
    """As many groups of a shader as a buffer says, ``offset`` bytes behind its beginning."""

    shader: str
    binding: int
    offset: int

    def line(self) -> str:
        """Its line in a job."""
        return f"indirect {self.shader}.spv {self.binding} {self.offset}"


@dataclass(frozen=True, slots=True)
class VulkanCase:
    """One job."""

    resources: Mapping[int, Resource]
    steps: tuple[Run | Indirect, ...]
    judge: Judge
    push: bytes = b""
    constants: Mapping[int, int] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    """Features, as `vulkan_run.c` calls them."""
    accuracy: str = "equal"

    def lines(self) -> list[str]:
        """The job; each resource's file is named by its binding."""
        found = [each.line(at, f"{at}.bin") for at, each in self.resources.items()]
        if self.push:
            found.append("push push.bin")
        found += [f"constant {name} {value}" for name, value in self.constants.items()]
        return [*found, *(step.line() for step in self.steps)]

    def files(self) -> dict[str, bytes]:
        """What its files hold at first."""
        found = {
            f"{at}.bin": np.ascontiguousarray(each.data).tobytes()
            for at, each in self.resources.items()
            if not isinstance(each, Tiled)
        }
        if self.push:
            found["push.bin"] = self.push
        return found

    def memory(self, read: Callable[[str], bytes]) -> dict[int, Array]:
        """What its resources hold when it is over."""
        return {
            at: np.frombuffer(read(f"{at}.bin"), each.data.dtype).reshape(each.data.shape)
            for at, each in self.resources.items()
            if not isinstance(each, Tiled)
        }
