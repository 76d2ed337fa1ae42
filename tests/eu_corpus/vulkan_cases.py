"""The Vulkan compute jobs and their answers, by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus.accuracy import differences, inexact
from tests.eu_corpus.vulkan_case import (
    Buffer,
    Filter,
    Image,
    Indirect,
    Memory,
    Outside,
    Run,
    Texels,
    Texture,
    Tiled,
    VulkanCase,
)
from tests.eu_corpus.vulkan_types import narrow_types, wide_types

Array = NDArray[Any]
f32, i32, u32 = np.float32, np.int32, np.uint32


def _random() -> np.random.Generator:
    return np.random.default_rng(7)


def saxpy() -> VulkanCase:
    """Push constants, specialization constants for the group's size and a loop, a guard."""
    count, rounds, a = 1000, 3, f32(1.5)
    x, y = _random().random((2, count)).astype(f32)
    # Compilers may join the rounds: numbers so small that each sum is exact.
    x, y = (x * 1024).astype(i32).astype(f32), (y * 1024).astype(i32).astype(f32)
    expected = y + f32(rounds) * a * x
    return VulkanCase(
        {0: Buffer(x), 1: Buffer(np.append(y, np.full(24, 7, f32)))},
        (Run("saxpy", (32, 1, 1)),),
        lambda memory: differences("y", memory[1], np.append(expected, np.full(24, 7, f32))),
        struct.pack("<fI", a, count),
        {0: 32, 1: rounds},
    )


def matmul() -> VulkanCase:
    """Shared memory and barriers in groups of two dimensions."""
    n = 40
    a, b = _random().integers(-8, 9, (2, n, n)).astype(f32)
    return VulkanCase(
        {0: Buffer(a), 1: Buffer(b), 2: Buffer(np.zeros((n, n), f32))},
        (Run("matmul", (n // 8, n // 8, 1)),),
        lambda memory: differences("c", memory[2], a @ b),
        struct.pack("<I", n),
    )


def scan() -> VulkanCase:
    """Barriers in a loop; shared memory as long as a specialization constant says."""
    group, groups = 192, 5
    data = _random().integers(0, 1 << 20, (groups, group)).astype(u32)
    return VulkanCase(
        {0: Buffer(data)},
        (Run("scan", (groups, 1, 1)),),
        lambda memory: differences("sums", memory[0], np.cumsum(data, 1, u32) - data),
        constants={0: group},
    )


def atomics() -> VulkanCase:
    """All atomics on buffers, and adding in shared memory."""
    count = 64 * 12
    data = _random().integers(0, 1 << 32, count, dtype=np.uint64).astype(u32)
    start = np.array([0, 0xFFFFFFFF, 0, 0, 0xFFFFFFFF, 0, 0, 0, 0, 0, 0], u32)

    def judge(memory: Memory) -> list[str]:
        signed = data.view(i32)
        expected = [
            data.sum(dtype=u32),
            np.bitwise_and.reduce(data | 0xF0),
            np.bitwise_or.reduce(data & 0xFFFF),
            np.bitwise_xor.reduce(data),
            data.min(),
            data.max(),
            u32(int(min(0, signed.min())) & 0xFFFFFFFF),
            u32(max(0, signed.max())),
            u32(count),
        ]
        found = differences("totals", memory[1][:9], np.array(expected, u32))
        counts = np.bincount(data & 31, minlength=32).astype(u32)
        found += differences("histogram", memory[2], counts)
        found += differences("tickets", np.sort(memory[3]), np.arange(count, dtype=u32))
        locked, swapped = memory[1][9:]
        if locked != swapped or locked not in data | 1:
            found.append(f"locked: {locked} and {swapped}")
        return found

    return VulkanCase(
        {
            0: Buffer(data),
            1: Buffer(start),
            2: Buffer(np.zeros(32, u32)),
            3: Buffer(np.zeros(count, u32)),
        },
        (Run("atomics", (12, 1, 1)),),
        judge,
    )


def storage_images() -> VulkanCase:
    """Texels loaded and stored with conversion, and atomics on an image."""
    height, width = 18, 27
    picture = _random().integers(0, 256, (height, width, 4)).astype(np.uint8)

    def judge(memory: Memory) -> list[str]:
        inverted = picture.copy()
        inverted[..., :3] = 255 - picture[..., :3]
        found = differences("picture", memory[0], inverted)
        doubled = picture.transpose(1, 0, 2).astype(np.float64) / 255 * 2
        found += inexact("turned", memory[1], doubled, 2)
        counted = np.zeros((4, 5), u32)
        for y in range(height):
            for x in range(width):
                counted[y & 3, x & 3] += picture[y, x, 0]
        counted[:, 4] = width - 1
        return found + differences("counted", memory[2][..., 0], counted)

    return VulkanCase(
        {
            0: Image(picture, Texels.RGBA8),
            1: Image(np.zeros((width, height, 4), f32), Texels.RGBA32F),
            2: Image(np.zeros((4, 5, 1), u32), Texels.R32UI),
        },
        (Run("invert_image", (4, 5, 1)),),
        judge,
        accuracy="stores equal, floats 2 ulp",
    )


def _bilinear(image: Array, places: Array, outside: Callable[[Array, Array], Array]) -> Array:
    """Samples between the four texels around each place."""
    height, width = image.shape[:2]
    at = places.astype(np.float64) * (width, height) - 0.5
    low = np.floor(at).astype(int)
    share = (at - low)[:, :, None]
    total = np.zeros((len(places), 4))
    for dy in (0, 1):
        for dx in (0, 1):
            wx = share[:, 0] if dx else 1 - share[:, 0]
            wy = share[:, 1] if dy else 1 - share[:, 1]
            total += wx * wy * outside(low[:, 0] + dx, low[:, 1] + dy)
    return total


def textures() -> VulkanCase:
    """Linear filters that repeat, nearest ones with a border, exact fetches, gathers."""
    count, height, width = 192, 16, 32
    # Places have eight bits below a texel, so that no answer depends on how a GPU rounds them.
    steps = _random().integers(-1 << 11, 1 << 12, (count, 2)) * 2 + 1
    places = (steps / (256 * width, 256 * height)).astype(f32)
    smooth = _random().integers(0, 256, (height, width, 4)).astype(np.uint8)
    framed = _random().random((height, width, 4)).astype(f32)

    def repeated(x: Array, y: Array) -> Array:
        texels: Array = smooth[y % height, x % width] / 255
        return texels

    def judge(memory: Memory) -> list[str]:
        got = memory[3].reshape(4, count, 4)
        found = inexact("linear", got[0], _bilinear(smooth, places, repeated), 0, 2**-8)
        x, y = (np.floor(places[:, n] * size).astype(int) for n, size in ((0, width), (1, height)))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        nearest = framed[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        nearest[~inside] = 1
        found += differences("border", got[1], nearest)
        i = np.arange(count)
        found += differences("fetch", got[2], framed[i // 3 % height, i % width])
        low = np.floor(places * (width, height) - 0.5).astype(int)
        order = ((0, 1), (1, 1), (1, 0), (0, 0))
        around = [repeated(low[:, 0] + dx, low[:, 1] + dy)[:, 1] for dx, dy in order]
        return found + inexact("gather", got[3], np.stack(around, 1), 2)

    return VulkanCase(
        {
            0: Texture(smooth, Texels.RGBA8, Filter.LINEAR, Outside.REPEAT),
            1: Texture(framed, Texels.RGBA32F, Filter.NEAREST, Outside.BORDER),
            2: Buffer(places),
            3: Buffer(np.zeros((4, count, 4), f32)),
        },
        (Run("sample_texture", (count // 64, 1, 1)),),
        judge,
        accuracy="filtered 1/256, else 2 ulp",
    )


def tiled_image() -> VulkanCase:
    """A tiled image written by one step, sampled and loaded by the next."""
    height, width = 45, 70
    groups = ((width + 7) // 8, (height + 7) // 8, 1)

    def judge(memory: Memory) -> list[str]:
        y, x = np.indices((height, width))
        pattern = np.stack([x, y, x ^ y, np.ones_like(x)], 2) * 0.5
        found = differences("sampled", memory[2][0], pattern.astype(f32))
        return found + differences("loaded", memory[2][1], np.zeros_like(memory[2][1]))

    return VulkanCase(
        {
            0: Tiled(1, Texels.RGBA16F, width, height),
            2: Buffer(np.ones((2, height, width, 4), f32)),
        },
        (Run("tiled_write", groups), Run("tiled_read", groups)),
        judge,
    )


def indirect() -> VulkanCase:
    """A step counts the groups of the next, which tell where they are."""
    wanted, local = (3, 5, 2), (4, 2, 2)
    total = int(np.prod(wanted))

    def judge(memory: Memory) -> list[str]:
        expected = np.full((total * 16 + 16, 4), 9, u32)
        for group in range(total):
            place = (group % 3, group // 3 % 5, group // 15)
            for n in range(16):
                here = (n % 4, n // 4 % 2, n // 8)
                ids = [g * s + h for g, s, h in zip(place, local, here, strict=True)]
                expected[group * 16 + n] = [*ids, group * 16 + n + total]
        return differences("seen", memory[1], expected)

    return VulkanCase(
        {0: Buffer(np.ones(7, u32)), 1: Buffer(np.full((total * 16 + 16, 4), 9, u32))},
        (Run("plan", (1, 1, 1)), Indirect("count_groups", 0, 16)),
        judge,
        struct.pack("<3I", *wanted),
    )


def subgroups() -> VulkanCase:
    """Reductions, scans, ballots, shuffles and votes, whatever the subgroup's size is."""
    count = 64 * 6
    data = _random().integers(0, 1000, count).astype(u32)

    def judge(memory: Memory) -> list[str]:
        told = memory[1]
        found: list[str] = []
        keys = np.arange(count) // 64 * 64 + told[:, 0]
        for key in np.unique(keys):
            members = np.flatnonzero(keys == key)
            lane = told[members, 1].astype(int)
            if sorted(lane) != list(range(len(members))):
                return [f"lanes of subgroup {key}: {lane}"]
            members = members[np.argsort(lane)]
            found += differences(f"subgroup {key}", told[members][:, 3:], _know(data[members]))
        return found[:3]

    return VulkanCase(
        {0: Buffer(data), 1: Buffer(np.zeros((count, 16), u32))},
        (Run("subgroups", (6, 1, 1)),),
        judge,
    )


def _know(x: Array) -> Array:
    """Columns 3 to 15 of what a subgroup's members, with the numbers ``x``, tell."""
    size = len(x)
    lane = np.arange(size)
    before = [x[:n].max(initial=0) for n in range(size)]
    bits = (x & 2) >> 1
    odd = int(((x & 1).astype(np.uint64) << lane.astype(np.uint64)).sum())
    chosen = (x & 4) != 0
    first = int(np.argmax(chosen))
    columns = [
        np.full(size, x.sum()),
        np.cumsum(x),
        before,
        np.full(size, x.min()),
        np.full(size, odd & 0xFFFFFFFF),
        np.cumsum(bits) - bits,
        x[lane ^ 3],
        np.full(size, x[0]),
        x[lane ^ 1],
        np.bitwise_xor.reduce(x.reshape(-1, 4), 1).repeat(4),
        np.full(size, int((x > 5).all()) | int((x < 5).any()) << 1),
        np.where(chosen, chosen.sum(), 0),
        np.where(chosen, np.where(lane == first, 1, 2), 0),
    ]
    return np.stack([np.asarray(column).astype(u32) for column in columns], 1)


def private_sort() -> VulkanCase:
    """Private arrays with computed indices, and loops that diverge."""
    data = _random().integers(-1000, 1000, (96, 16)).astype(i32)
    return VulkanCase(
        {0: Buffer(data)},
        (Run("private_sort", (3, 1, 1)),),
        lambda memory: differences("sorted", memory[0], np.sort(data, 1)),
    )


def uniforms() -> VulkanCase:
    """Rows of a uniform buffer, chosen at run time."""
    count = 64
    turn = _random().integers(-4, 5, (4, 4, 4)).astype(f32)
    shift, points = (_random().integers(-9, 9, (n, 4)).astype(f32) for n in (4, count))
    which = _random().integers(0, 4, count).astype(u32)

    def judge(memory: Memory) -> list[str]:
        # Matrices stand column by column.
        expected = np.einsum("icr,ic->ir", turn[which], points) + shift[which]
        return differences("points", memory[2], expected.astype(f32))

    table = np.concatenate([turn.ravel(), shift.ravel()])
    return VulkanCase(
        {0: Buffer(table, "uniform"), 1: Buffer(which), 2: Buffer(points)},
        (Run("uniforms", (count // 16, 1, 1)),),
        judge,
    )


VULKAN_CASES: dict[str, Callable[[], VulkanCase]] = {
    case.__name__: case
    for case in (
        saxpy,
        matmul,
        scan,
        atomics,
        storage_images,
        textures,
        tiled_image,
        indirect,
        subgroups,
        private_sort,
        uniforms,
        wide_types,
        narrow_types,
    )
}
