"""Cases of integer arithmetic and conversions: every answer is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus.accuracy import differences
from tests.eu_corpus.case import Buffer, Case, Scalar, Size
from tests.eu_corpus.cases_float import of

Array = NDArray[Any]
Memory = Sequence[Array | None]
i32, u32, i64, u64 = np.int32, np.uint32, np.int64, np.uint64


def _rows(memory: Memory, number: int, expected: dict[str, Array]) -> list[str]:
    """Compare an argument's memory, row by row, with named rows."""
    got = of(memory, number).reshape(len(expected), -1)
    found = []
    for row, (name, wanted) in enumerate(expected.items()):
        found += differences(name, got[row], wanted.astype(got.dtype))
    return found


def intloop(size: Size) -> Case:
    """Rounds of xorshift."""
    n, rounds = {Size.SMALL: (512, 20), Size.LARGE: (1 << 20, 100)}[size]
    data = np.random.default_rng(20).integers(1, 2**31, n).astype(u32)

    def judge(memory: Memory) -> list[str]:
        x = data.copy()
        for k in range(rounds):
            x ^= x << u32(13)
            x ^= x >> u32(17)
            x ^= x << u32(5)
            x += u32(k)
        return differences("out", of(memory, 1), x)

    arguments = (Buffer(data), Buffer(np.zeros(n, u32)), Scalar(i32(rounds)))
    return Case("intloop", (n,), (256,), arguments, judge)


def sha256(size: Size) -> Case:
    """Digests of padded blocks, against hashlib."""
    n = {Size.SMALL: 64, Size.LARGE: 1 << 16}[size]
    messages = np.random.default_rng(21).integers(0, 256, (n, 40), dtype=np.uint8)
    blocks = np.zeros((n, 64), np.uint8)
    blocks[:, :40] = messages
    blocks[:, 40] = 0x80
    blocks[:, 56:] = np.frombuffer((40 * 8).to_bytes(8, "big"), np.uint8)
    words = blocks.view(">u4").astype(u32)

    def judge(memory: Memory) -> list[str]:
        joined = b"".join(hashlib.sha256(message.tobytes()).digest() for message in messages)
        expected = np.frombuffer(joined, ">u4").astype(u32)
        return differences("digests", of(memory, 1), expected)

    arguments = (Buffer(words), Buffer(np.zeros((n, 8), u32)))
    return Case("sha256", (n,), (64,), arguments, judge)


def integers(size: Size) -> Case:
    """32-bit division, high products, bit counts, shifts."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    random = np.random.default_rng(22)
    x = random.integers(-(2**31), 2**31, n).astype(i32)
    y = random.integers(-(2**31), 2**31, n).astype(i32)
    y[::3] = random.integers(1, 50, y[::3].size)
    x[:6] = [0, -1, -(2**31), 2**31 - 1, 1, 100]
    y[:6] = [1, 1, 3, -1, -(2**31), 7]
    y[y == 0] = 1

    def judge(memory: Memory) -> list[str]:
        a, b = x.astype(i64), y.astype(i64)
        u, v = a & 0xFFFFFFFF, b & 0xFFFFFFFF
        quotient = (np.abs(a) // np.abs(b)) * np.sign(a) * np.sign(b)
        seven = (np.abs(a) // 7) * np.sign(a)
        thousand = a - (np.abs(a) // 1000) * np.sign(a) * 1000
        shift = v & 31
        bits = np.array([bin(int(value)).count("1") for value in u])
        leading = np.array([32 - int(value).bit_length() for value in u])
        with np.errstate(over="ignore"):
            wrapped = (x * y).astype(i64)
        return _rows(
            memory,
            2,
            {
                "quotient": quotient,
                "rest": a - quotient * b,
                "unsigned quotient": u // v,
                "unsigned rest": u % v,
                "high product": (a * b) >> 32,
                "unsigned high product": ((u.astype(u64) * v.astype(u64)) >> u64(32)).astype(i64),
                "leading zeros": leading,
                "bits": bits,
                "rotated": ((u << shift) | (u >> ((32 - shift) & 31))) & 0xFFFFFFFF,
                "shifted": wrapped + (a >> shift) + (u >> shift),
                "by constants": seven + u // 10 + thousand,
                "extremes": np.maximum(a, b) ^ np.minimum(a, b),
            },
        )

    arguments = (Buffer(x), Buffer(y), Buffer(np.zeros(12 * n, i32)), Scalar(i32(n)))
    return Case("integers", (n,), (64,), arguments, judge)


def long_integers(size: Size) -> Case:
    """64-bit arithmetic."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 19}[size]
    random = np.random.default_rng(23)
    x = random.integers(-(2**63), 2**63 - 1, n, dtype=i64)
    y = random.integers(-(2**63), 2**63 - 1, n, dtype=i64)
    y[::2] >>= random.integers(0, 60, y[::2].size)
    y[y == 0] = 3
    x[:3], y[:3] = [-(2**63), 2**63 - 1, -1], [5, -7, 2]

    def judge(memory: Memory) -> list[str]:
        def row(values: list[int]) -> Array:
            return np.array([value & (2**64 - 1) for value in values], u64).view(i64)

        pairs = [(int(a), int(b)) for a, b in zip(x, y, strict=True)]
        m = 2**64 - 1
        quotients = [abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) for a, b in pairs]
        shifts = [
            ((a << (b & 63)) & m) ^ ((a >> (b & 63)) & m) ^ ((a & m) >> (b & 63)) for a, b in pairs
        ]
        return _rows(
            memory,
            2,
            {
                "sum": row([a + b for a, b in pairs]),
                "product": row([a * b for a, b in pairs]),
                "quotient": row(quotients),
                "unsigned rest": row([(a & m) % (b & m) for a, b in pairs]),
                "shifts": row(shifts),
                "high product": row([(a * b) >> 64 for a, b in pairs]),
                "choice": row([a - b if a < b else int((a & m) > (b & m)) for a, b in pairs]),
                "bits": row([bin(a & m).count("1") + 64 - (b & m).bit_length() for a, b in pairs]),
            },
        )

    arguments = (Buffer(x), Buffer(y), Buffer(np.zeros(8 * n, i64)), Scalar(i32(n)))
    return Case("long_integers", (n,), (64,), arguments, judge)


def small_integers(size: Size) -> Case:
    """Bytes and words, saturated and averaged."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    random = np.random.default_rng(24)
    x = random.integers(-128, 128, n).astype(np.int8)
    y = random.integers(-32768, 32768, n).astype(np.int16)

    def judge(memory: Memory) -> list[str]:
        a, b = x.astype(i64), y.astype(i64)
        low = y.astype(np.int8).astype(i64)
        wide = ((a * 256 + 32768) % 65536) - 32768
        ua, ub = a & 255, b & 255
        fours = np.stack(
            [np.abs(a), (ua + ub) >> 1, (ua + ub + 1) >> 1, np.clip(b, 0, 255)], 1
        ).astype(np.uint8)
        return [
            *differences("add_sat", of(memory, 2), np.clip(a + low, -128, 127).astype(np.int8)),
            *differences(
                "sub_sat", of(memory, 3), np.clip(b - wide, -32768, 32767).astype(np.int16)
            ),
            *differences("fours", of(memory, 4), fours),
        ]

    arguments = (
        Buffer(x),
        Buffer(y),
        Buffer(np.zeros(n, np.int8)),
        Buffer(np.zeros(n, np.int16)),
        Buffer(np.zeros((n, 4), np.uint8)),
    )
    return Case("small_integers", (n,), (64,), arguments, judge)


def conversions(size: Size) -> Case:
    """Between floats and integers, saturated, in each rounding mode."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 20}[size]
    random = np.random.default_rng(25)
    exponent = random.integers(-6, 36, n)
    x = ((random.random(n) - 0.5) * 2.0**exponent).astype(np.float32)
    special = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 3e9, -3e9, 5e9, 1e20, -1e20, np.inf, -np.inf]
    x[: len(special)] = special
    x[len(special)] = np.nan

    def judge(memory: Memory) -> list[str]:
        wide = x.astype(np.float64)
        known = np.nan_to_num(wide, nan=0.0, posinf=1e30, neginf=-1e30)
        bounded = np.clip(known, -1e9, 1e9)
        # clamp of NaN is undefined: its rows are not looked at.
        fine = ~np.isnan(wide)
        to_int = np.clip(np.trunc(known), -(2**31), 2**31 - 1).astype(i64)
        to_uint = np.clip(np.trunc(known), 0, 2**32 - 1).astype(i64)
        small = np.clip(np.trunc(known), -128, 127) + np.clip(np.trunc(known), 0, 65535)
        got = of(memory, 1).reshape(6, n)
        bits = x.view(i32)
        unsigned = bits.view(u32)
        back = of(memory, 2).reshape(4, n)
        nearest = bits.astype(np.float64).astype(np.float32)
        with np.errstate(all="ignore"):
            over = np.abs(nearest.astype(np.float64)) > np.abs(bits.astype(np.float64))
            toward_zero = np.where(over, np.nextafter(nearest, np.float32(0)), nearest)
            negated = (bits ^ i32(-(2**31))).view(np.float32) + np.isnan(x) + np.signbit(x)
        return [
            *differences("int_sat", got[0], to_int.astype(i32)),
            *differences("int_rte", got[1][fine], np.rint(bounded).astype(i32)[fine]),
            *differences("int_rtp", got[2][fine], np.ceil(bounded).astype(i32)[fine]),
            *differences("int_rtn", got[3][fine], np.floor(bounded).astype(i32)[fine]),
            *differences("uint_sat", got[4], to_uint.astype(u32).view(i32)),
            *differences("char_sat and ushort_sat", got[5], small.astype(i32)),
            *differences("float of int", back[0], nearest),
            *differences("float of uint", back[1], unsigned.astype(np.float64).astype(np.float32)),
            *differences("float_rtz", back[2], toward_zero),
            *differences("negated", back[3][fine], negated.astype(np.float32)[fine]),
        ]

    arguments = (
        Buffer(x),
        Buffer(np.zeros(6 * n, i32)),
        Buffer(np.zeros(4 * n, np.float32)),
        Scalar(i32(n)),
    )
    return Case("conversions", (n,), (64,), arguments, judge)
