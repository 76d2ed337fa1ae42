"""Cases of floating-point arithmetic. References are computed in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus.accuracy import inexact
from tests.eu_corpus.case import Buffer, Case, Scalar, Size

Array = NDArray[Any]
Memory = Sequence[Array | None]
f32, f64 = np.float32, np.float64


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def of(memory: Memory, number: int) -> Array:
    """The memory of argument ``number``, which has some."""
    array = memory[number]
    assert array is not None
    return array


def vadd(size: Size) -> Case:
    """Vector add."""
    n = {Size.SMALL: 1024, Size.LARGE: 1 << 22}[size]
    random = _random(1)
    a, b = random.random(n, dtype=f32), random.random(n, dtype=f32)

    def judge(memory: Memory) -> list[str]:
        return inexact("c", of(memory, 2), a + b, 0)

    return Case("vadd", (n,), (256,), (Buffer(a), Buffer(b), Buffer(np.zeros(n, f32))), judge)


def saxpy(size: Size) -> Case:
    """alpha x + y, fused or not."""
    n = {Size.SMALL: 1024, Size.LARGE: 1 << 22}[size]
    random = _random(2)
    y, x, alpha = random.random(n, dtype=f32), random.random(n, dtype=f32), f32(2.7182817)
    exact = x.astype(f64) * f64(alpha) + y

    def judge(memory: Memory) -> list[str]:
        return inexact("y", of(memory, 0), exact, 1)

    arguments = (Buffer(y), Buffer(x), Scalar(alpha))
    return Case("saxpy", (n,), (256,), arguments, judge, accuracy="1 ulp")


def mandelbrot(size: Size) -> Case:
    """Escape times. A last place decides some pixels, so a few may differ."""
    width = {Size.SMALL: 32, Size.LARGE: 512}[size]
    rounds = {Size.SMALL: 40, Size.LARGE: 256}[size]
    left, top, step = f32(-2.0), f32(-1.5), f32(3.0 / width)

    def fma(a: Array, b: Array | np.generic, c: Array | np.generic) -> Array:
        return (a.astype(f64) * np.asarray(b, f64) + np.asarray(c, f64)).astype(f32)

    def judge(memory: Memory) -> list[str]:
        x, y = np.meshgrid(np.arange(width, dtype=f32), np.arange(width, dtype=f32))
        cr, ci = fma(x, step, left), fma(y, step, top)
        zr, zi = np.zeros_like(cr), np.zeros_like(ci)
        count = np.zeros(cr.shape, np.uint32)
        inside = np.ones(cr.shape, bool)
        with np.errstate(all="ignore"):
            for _ in range(rounds):
                squared = zi * zi
                inside &= fma(zr, zr, squared) < 4.0
                real = fma(zr, zr, cr - squared)
                zi = fma(f32(2.0) * zr, zi, ci)
                zr = real
                count += inside
        wrong = np.count_nonzero(of(memory, 0).reshape(width, width) != count)
        return [f"{wrong} pixels differ"] if wrong > width * width // 100 else []

    arguments = (
        Buffer(np.zeros(width * width, np.uint32)),
        Scalar(np.int32(width)),
        Scalar(np.int32(rounds)),
        Scalar(left),
        Scalar(top),
        Scalar(step),
    )
    grid = (width, width)
    return Case("mandelbrot", grid, (16, 16), arguments, judge, accuracy="99 % of the pixels")


def matmul(size: Size) -> Case:
    """Tiled product of square matrices with local memory."""
    n = {Size.SMALL: 32, Size.LARGE: 512}[size]
    random = _random(3)
    a, b = random.random((n, n), dtype=f32), random.random((n, n), dtype=f32)
    exact = a.astype(f64) @ b.astype(f64)

    def judge(memory: Memory) -> list[str]:
        return inexact("c", of(memory, 2), exact, n / 2)

    arguments = (Buffer(a), Buffer(b), Buffer(np.zeros((n, n), f32)), Scalar(np.int32(n)))
    return Case("matmul", (n, n), (16, 16), arguments, judge, accuracy="n/2 ulp")


def stencil(size: Size) -> Case:
    """Five points; the edge stays."""
    width = {Size.SMALL: 48, Size.LARGE: 1024}[size]
    height = width * 2 // 3 if size is Size.SMALL else width
    data = _random(4).random((height, width), dtype=f32)
    wide = data.astype(f64)
    exact = np.zeros_like(wide)
    total = wide[1:-1, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] + wide[:-2, 1:-1] + wide[2:, 1:-1]
    exact[1:-1, 1:-1] = f64(f32(0.2)) * total

    def judge(memory: Memory) -> list[str]:
        return inexact("out", of(memory, 1), exact, 4)

    arguments = (
        Buffer(data),
        Buffer(np.zeros_like(data)),
        Scalar(np.int32(width)),
        Scalar(np.int32(height)),
    )
    return Case("stencil", (width, height), (16, 16), arguments, judge, accuracy="4 ulp")


def nbody(size: Size) -> Case:
    """Accelerations of all by all."""
    n = {Size.SMALL: 64, Size.LARGE: 4096}[size]
    bodies = _random(5).random((n, 4), dtype=f32)

    def judge(memory: Memory) -> list[str]:
        wide = bodies.astype(f64)
        exact = np.zeros((n, 4))
        largest = np.zeros((n, 1))
        for first in range(0, n, 256):
            d = wide[None, :, :3] - wide[first : first + 256, None, :3]
            inverse = 1 / np.sqrt((d * d).sum(2) + f64(f32(0.01)))
            parts = d * (wide[None, :, 3] * inverse**3)[..., None]
            exact[first : first + 256, :3] = parts.sum(1)
            largest[first : first + 256, 0] = np.abs(parts).sum((1, 2))
        # Terms cancel: the error is measured against their sum without signs.
        error = np.abs(of(memory, 1).reshape(n, 4) - exact) / largest
        return [f"relative error {error.max()}"] if error.max() > 2e-5 else []

    arguments = (Buffer(bodies), Buffer(np.zeros((n, 4), f32)), Scalar(np.int32(n)))
    local = (min(n, 256),)
    return Case("nbody", (n,), local, arguments, judge, accuracy="2e-5 of the terms' sum")


def doubles(size: Size) -> Case:
    """Double precision: fused, divided, rooted, compared, converted."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 20}[size]
    random = _random(6)
    x, y = random.random(n) * 100, random.random(n) * 10 + 0.1
    x[:4] = [0.0, 1.0, 4.0, 1e300]

    def judge(memory: Memory) -> list[str]:
        got = of(memory, 2).reshape(5, n)
        fused = (x.astype(np.longdouble) * y + 1.5).astype(f64)
        with np.errstate(all="ignore"):
            whole = np.trunc(x * 1e6)
            last = np.where(x < 1e10, whole + y.astype(f32).astype(f64), 0.0)
        return [
            *inexact("fma", got[0], fused, 1),
            # Mesa multiplies by the reciprocal.
            *inexact("quotient", got[1], x / y, 1),
            *inexact("root", got[2], np.sqrt(x), 0),
            *inexact("choice", got[3], np.where(x < y, x - y, np.floor(x * 10.0)), 0),
            *inexact("converted", got[4][4:], last[4:], 0),
        ]

    arguments = (Buffer(x), Buffer(y), Buffer(np.zeros(5 * n)), Scalar(np.int32(n)))
    needs = frozenset({"fp64"})
    accuracy = "equal; 1 ulp"
    return Case("doubles", (n,), (64,), arguments, judge, needs=needs, accuracy=accuracy)


def halves(size: Size) -> Case:
    """Half precision."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    random = _random(7)
    x, y = (random.random((2, n)) * 16 + 0.5).astype(np.float16)
    wx, wy = x.astype(f64), y.astype(f64)

    def judge(memory: Memory) -> list[str]:
        got = of(memory, 2).reshape(5, n)
        return [
            *inexact("sum", got[0], wx + wy, 0.5),
            *inexact("product", got[1], wx * wy, 0.5),
            *inexact("fma", got[2], wx * wy + 1.0, 0.5),
            *inexact("difference", got[3], np.maximum(wx, wy) - np.minimum(wx, wy), 0.5),
            # y * 8 is exact; what converts to half converts from a float.
            *inexact("converted", got[4], wx * 0.5 + np.trunc(wy * 8.0), 0.5),
        ]

    arguments = (Buffer(x), Buffer(y), Buffer(np.zeros(5 * n, np.float16)), Scalar(np.int32(n)))
    needs = frozenset({"fp16"})
    return Case("halves", (n,), (64,), arguments, judge, needs=needs, accuracy="half an ulp")


def half_storage(size: Size) -> Case:
    """Halves that are loaded and stored alone."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    data = (_random(8).random(n) * 100 + 1).astype(np.float16)
    wide = data.astype(f32)

    def judge(memory: Memory) -> list[str]:
        exact = wide.astype(f64) * 1.25 + f64(f32(0.1))
        return [
            *inexact("loaded", of(memory, 2), wide, 0),
            *inexact("stored", of(memory, 1), exact, 0.502),
        ]

    arguments = (Buffer(data), Buffer(np.zeros(n, np.float16)), Buffer(np.zeros(n, f32)))
    return Case("half_storage", (n,), (64,), arguments, judge, accuracy="half an ulp")


def math_functions(size: Size) -> Case:
    """The functions of the OpenCL C library, within the accuracy it promises."""
    n = {Size.SMALL: 64, Size.LARGE: 1 << 19}[size]
    random = _random(9)
    x = (random.random(n, dtype=f32) - f32(0.5)) * f32(10)
    y = random.random(n, dtype=f32) * f32(9) + f32(0.3)
    wx, wy = x.astype(f64), y.astype(f64)

    def judge(memory: Memory) -> list[str]:
        got = of(memory, 2).reshape(12, n)
        whole = np.floor(x) + np.ceil(y) + np.rint(x) + np.trunc(y)
        rows: list[tuple[str, Array, float, float]] = [
            ("sin", np.sin(wx), 4, 0),
            ("cos", np.cos(wx), 4, 0),
            ("exp", np.exp(wx), 3, 0),
            ("log", np.log(wy), 3, 0),
            ("pow", np.power(wy, wx), 16, 0),
            ("atan2", np.arctan2(wx, wy), 6, 0),
            ("sqrt", np.sqrt(wy), 3, 0),
            ("quotient", wx / wy, 2.5, 0),
            ("fmod", np.fmod(wx, wy), 0, 0),
            ("tan", np.tan(wx), 5, 0),
            ("whole numbers", whole, 0, 0),
            # Each term within 3 ulp of itself; where they cancel, of the larger one.
            ("exp2 and log2", np.exp2(wx) + np.log2(wy), 7, 2e-6),
        ]
        found = []
        for row, (name, exact, ulp, absolute) in enumerate(rows):
            found += inexact(name, got[row], exact, ulp, absolute)
        return found

    arguments = (Buffer(x), Buffer(y), Buffer(np.zeros(12 * n, f32)), Scalar(np.int32(n)))
    accuracy = "OpenCL's ulp"
    return Case("math_functions", (n,), (64,), arguments, judge, accuracy=accuracy)


def fft(size: Size) -> Case:
    """Transforms of 256 points, one a group."""
    groups = {Size.SMALL: 4, Size.LARGE: 4096}[size]
    random = _random(10)
    data = random.random((groups, 256, 2), dtype=f32)
    angles = -2 * np.pi * np.arange(128) / 256
    twiddles = np.stack([np.cos(angles), np.sin(angles)], 1).astype(f32)

    def judge(memory: Memory) -> list[str]:
        wide = data.astype(f64)
        exact = np.fft.fft(wide[..., 0] + 1j * wide[..., 1])
        got = of(memory, 1).reshape(groups, 256, 2).astype(f64)
        error = np.abs(got[..., 0] + 1j * got[..., 1] - exact).max() / np.abs(exact).max()
        return [f"relative error {error}"] if not error < 1e-6 else []

    arguments = (Buffer(data), Buffer(np.zeros_like(data)), Buffer(twiddles))
    accuracy = "1e-6 of the largest"
    return Case("fft", (groups * 128,), (128,), arguments, judge, accuracy=accuracy)


def sparse(size: Size) -> Case:
    """A sparse matrix, rows of very different length, times a vector."""
    rows = {Size.SMALL: 256, Size.LARGE: 1 << 17}[size]
    random = _random(11)
    lengths = random.integers(0, 24, rows)
    lengths[::17] = 60
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = random.integers(0, rows, int(starts[-1])).astype(np.int32)
    values = random.random(columns.size, dtype=f32)
    vector = random.random(rows, dtype=f32)

    def judge(memory: Memory) -> list[str]:
        products = values.astype(f64) * vector[columns]
        sums = np.concatenate([[0.0], np.cumsum(products)])
        exact = sums[starts[1:]] - sums[starts[:-1]]
        return inexact("out", of(memory, 4), exact, 32, 1e-7)

    arguments = (
        Buffer(starts),
        Buffer(columns),
        Buffer(values),
        Buffer(vector),
        Buffer(np.zeros(rows, f32)),
    )
    return Case("sparse", (rows,), (64,), arguments, judge, accuracy="32 ulp")


def constants(size: Size) -> Case:
    """Constant memory, the program's own and an argument."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    indices = _random(12).integers(0, 1 << 30, n).astype(np.uint32)
    table = np.array([0.5, -1.25, 3.0, 7.75, 1e6, -0.0625, 12.0, 2.0], f32)
    more = np.arange(16, dtype=f32) * f32(0.25)

    def judge(memory: Memory) -> list[str]:
        expected = table[indices & 7] + more[(indices >> 3) & 15]
        return inexact("out", of(memory, 2), expected, 0)

    arguments = (Buffer(indices), Buffer(more), Buffer(np.zeros(n, f32)))
    return Case("constants", (n,), (64,), arguments, judge)
