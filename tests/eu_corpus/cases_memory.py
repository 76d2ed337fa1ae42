"""Cases of memory: what work items are told, vectors, transposition, images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus.accuracy import differences, inexact
from tests.eu_corpus.case import Buffer, Case, Image, PixelFormat, Scalar, Size
from tests.eu_corpus.cases_float import of

Array = NDArray[Any]
Memory = Sequence[Array | None]
i32, u32 = np.int32, np.uint32


def transpose(size: Size) -> Case:
    """Tiles through local memory."""
    width, height = {Size.SMALL: (48, 32), Size.LARGE: (2048, 1024)}[size]
    data = np.arange(width * height, dtype=u32).reshape(height, width)

    def judge(memory: Memory) -> list[str]:
        return differences("out", of(memory, 1), data.T)

    arguments = (
        Buffer(data),
        Buffer(np.zeros((width, height), u32)),
        Scalar(i32(width)),
        Scalar(i32(height)),
    )
    return Case("transpose", (width, height), (16, 16), arguments, judge)


def work_items(size: Size) -> Case:
    """Ids, sizes and offsets in three dimensions, with groups of no full thread."""
    sizes = {Size.SMALL: (12, 6, 4), Size.LARGE: (96, 60, 40)}[size]
    local, offset = (6, 3, 2), (5, 0, 7)
    total = int(np.prod(sizes))

    def judge(memory: Memory) -> list[str]:
        z, y, x = np.indices(sizes[::-1]).reshape(3, -1)

        def packed(values: Sequence[Array | int]) -> Array:
            return np.broadcast_to(values[0] | values[1] << 8 | values[2] << 16, total)

        at = (x, y, z)
        pairs = list(zip(at, local, strict=True))
        groups = [whole // part for whole, part in zip(sizes, local, strict=True)]
        columns = [
            *(position + start for position, start in zip(at, offset, strict=True)),
            packed([position % part for position, part in pairs]),
            packed([position // part for position, part in pairs]),
            packed(local),
            packed(groups),
            np.full(total, 3),
        ]
        return differences("out", of(memory, 0).reshape(total, 8), np.stack(columns, 1))

    out = Buffer(np.zeros(total * 8, u32))
    return Case("work_items", sizes, local, (out,), judge, offset=offset)


def vectors(size: Size) -> Case:
    """Vector loads and stores at addresses that are not aligned to the vector."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 18}[size]
    data = np.random.default_rng(50).integers(-(2**30), 2**30, 4 * n + 16).astype(i32)

    def judge(memory: Memory) -> list[str]:
        i = np.arange(n)
        a = data[4 * i[:, None] + np.arange(4)]
        b = data[3 * i[:, None] + 1 + np.arange(3)]
        c = data[8 * (i[:, None] // 2) + np.arange(8)]
        wxyz = a[:, [3, 0, 1, 2]]
        four = wxyz + np.concatenate([b, c[:, 7:8]], 1)
        three = np.stack([a[:, 0], b[:, 1], c[:, 3]], 1)
        two = c[:, [1, 5]] - a[:, [2, 3]]
        expected = np.concatenate([four.ravel(), three.ravel(), two.ravel()])
        return differences("out", of(memory, 1), expected)

    arguments = (Buffer(data), Buffer(np.zeros(9 * n, i32)), Scalar(i32(n)))
    return Case("vectors", (n,), (64,), arguments, judge)


def guarded(size: Size) -> Case:
    """Groups of 5 x 7: the last thread of each is partly empty."""
    width, height = {Size.SMALL: (20, 14), Size.LARGE: (1000, 700)}[size]
    data = np.random.default_rng(51).integers(-1000, 1000, width * height).astype(i32)

    def judge(memory: Memory) -> list[str]:
        local = np.tile(np.arange(width, dtype=i32) % 5, height)
        return differences("out", of(memory, 1), data * i32(3) + local)

    arguments = (Buffer(data), Buffer(np.full(data.size, 77, i32)), Scalar(i32(3)))
    return Case("guarded", (width, height), (5, 7), arguments, judge)


def images(size: Size) -> Case:
    """Bytes that are read as fractions, border included, and written back."""
    width, height = {Size.SMALL: (32, 24), Size.LARGE: (512, 512)}[size]
    data = np.random.default_rng(52).integers(0, 256, (height, width, 4)).astype(np.uint8)

    def judge(memory: Memory) -> list[str]:
        expected = np.zeros_like(data)
        expected[1:, 1:] = data[:-1, :-1, ::-1]
        return differences("out", of(memory, 1), expected)

    arguments = (
        Image(data, PixelFormat.UNORM8),
        Image(np.zeros_like(data), PixelFormat.UNORM8),
    )
    needs = frozenset({"images"})
    return Case("images", (width, height), (16, 8), arguments, judge, needs=needs)


def image_filter(size: Size) -> Case:
    """A float image, twice as large by linear filtering."""
    width, height = {Size.SMALL: (16, 12), Size.LARGE: (256, 256)}[size]
    data = np.random.default_rng(53).random((height, width, 4), dtype=np.float32)

    def judge(memory: Memory) -> list[str]:
        def places(count: int) -> tuple[Array, Array, Array]:
            at = (np.arange(2 * count) + 0.5) / 2 - 0.5
            low = np.floor(at).astype(int)
            return low.clip(0, count - 1), (low + 1).clip(0, count - 1), at - low

        x0, x1, fx = places(width)
        y0, y1, fy = places(height)
        wide = data.astype(np.float64)
        fx, fy = fx[None, :, None], fy[:, None, None]
        upper = wide[y0][:, x0] * (1 - fx) + wide[y0][:, x1] * fx
        lower = wide[y1][:, x0] * (1 - fx) + wide[y1][:, x1] * fx
        exact = upper * (1 - fy) + lower * fy
        # Hardware filters with weights of eight bits; these fractions are quarters.
        return inexact("out", of(memory, 1).reshape(exact.shape), exact, 4, 1e-6)

    arguments = (
        Image(data, PixelFormat.FLOAT),
        Buffer(np.zeros((2 * height, 2 * width, 4), np.float32)),
    )
    needs = frozenset({"images"})
    grid = (2 * width, 2 * height)
    return Case("image_filter", grid, (16, 8), arguments, judge, needs=needs, accuracy="1e-6")


def image_integers(size: Size) -> Case:
    """Integer channels, without a sampler, and the image's own size."""
    width, height = {Size.SMALL: (32, 16), Size.LARGE: (512, 512)}[size]
    data = np.random.default_rng(54).integers(0, 2**30, (height, width, 4)).astype(u32)

    def judge(memory: Memory) -> list[str]:
        expected = data * u32(3)
        expected[..., 0] += np.arange(width, dtype=u32)[None, :]
        expected[..., 1] += np.arange(height, dtype=u32)[:, None]
        expected[..., 2] += u32(width)
        expected[..., 3] += u32(7)
        return differences("out", of(memory, 1), expected)

    arguments = (
        Image(data, PixelFormat.UINT32),
        Image(np.zeros_like(data), PixelFormat.UINT32),
    )
    needs = frozenset({"images"})
    return Case("image_integers", (width, height), (16, 8), arguments, judge, needs=needs)
