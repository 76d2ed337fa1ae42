"""Sampling, typed messages and render targets: C and its Python twins agree where texels are."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.property.message_world import Scene, both
from tests.property.page_world import Ram
from tests.property.texel_scenes import (
    WHOLE,
    far_scene,
    sampler_scene,
    target_scene,
    typed_scene,
)

native: Any = pytest.importorskip("mediator.softgpu.eu.native.worker")
_SCENES: list[tuple[Callable[[Random, int], Scene], int, int]] = [
    (sampler_scene, 24, 12),
    (typed_scene, 24, 24),
    (target_scene, 24, 16),
    (far_scene, 24, 48),
]
"""Of a kind: how many, and how many messages each."""


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize(("make", "scenes", "count"), _SCENES)
def test_c_and_twin_agree(
    make: Callable[[Random, int], Scene], scenes: int, count: int, part: int
) -> None:
    ram = Ram()
    try:
        with ram.memory.using():
            for seed in range(part, scenes, 4):
                made = make(Random(seed), count)
                by_c, by_python = both(native, made, WHOLE, ram)
                for name, found in vars(by_c).items():
                    assert found == vars(by_python)[name], (name, seed)
    finally:
        ram.close()
