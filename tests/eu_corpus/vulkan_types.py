"""Vulkan compute jobs about types that are wider or narrower than 32 bits."""

from __future__ import annotations

import numpy as np

from tests.eu_corpus.accuracy import differences, inexact
from tests.eu_corpus.vulkan_case import Buffer, Memory, Run, VulkanCase

_COUNT = 64


def wide_types() -> VulkanCase:
    """Integers of 64 bits, and double precision."""
    random = np.random.default_rng(9)
    a, b = random.integers(0, 1 << 64, (2, _COUNT), dtype=np.uint64)
    x = random.standard_normal(_COUNT) * np.exp2(random.integers(-200, 200, _COUNT))

    def judge(memory: Memory) -> list[str]:
        products = a * b + (a >> (b & np.uint64(63)))
        quotients = a // (b | np.uint64(1)) ^ a % (b >> np.uint64(32) | np.uint64(1))
        found = differences("integers", memory[2], np.stack([products, quotients]))
        # NumPy has no fused multiplication and addition: one rounding more.
        found += inexact("fma", memory[4][0], x * x + 1, 1)
        found += inexact("quotient", memory[4][1], 1 / x, 1)
        return found + inexact("root", memory[4][2], np.sqrt(np.abs(x)), 1)

    return VulkanCase(
        {
            0: Buffer(a),
            1: Buffer(b),
            2: Buffer(np.zeros((2, _COUNT), np.uint64)),
            3: Buffer(x),
            4: Buffer(np.zeros((3, _COUNT))),
        },
        (Run("wide_types", (_COUNT // 32, 1, 1)),),
        judge,
        needs=frozenset({"int64", "float64"}),
        accuracy="integers equal, doubles 1 ulp",
    )


def narrow_types() -> VulkanCase:
    """Integers of 8 and 16 bits, and half precision."""
    random = np.random.default_rng(11)
    a = random.integers(0, 256, _COUNT).astype(np.uint8)
    b = random.integers(-30000, 30000, _COUNT).astype(np.int16)
    h = random.standard_normal(_COUNT).astype(np.float16)

    def judge(memory: Memory) -> list[str]:
        found = differences("bytes", memory[3], a * np.uint8(7) + (a >> np.uint8(3)))
        words = b * np.int16(3) - (b >> np.int16(2)) + a.astype(np.int16)
        found += differences("words", memory[4], words)
        wide = h.astype(np.float64)
        return found + inexact("halves", memory[5], wide * wide + 0.5, 1)

    return VulkanCase(
        {
            0: Buffer(a),
            1: Buffer(b),
            2: Buffer(h),
            3: Buffer(np.zeros_like(a)),
            4: Buffer(np.zeros_like(b)),
            5: Buffer(np.zeros_like(h)),
        },
        (Run("narrow_types", (_COUNT // 32, 1, 1)),),
        judge,
        needs=frozenset({"int8", "int16", "float16"}),
        accuracy="integers equal, halves 1 ulp",
    )
