"""Cases of control flow: lanes that part, loops, jumps, barriers, local memory, atomics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus.accuracy import differences
from tests.eu_corpus.case import Buffer, Case, Local, Scalar, Size
from tests.eu_corpus.cases_float import of

Array = NDArray[Any]
Memory = Sequence[Array | None]
i32, u32, i64, u64 = np.int32, np.uint32, np.int64, np.uint64
MASK = 0xFFFFFFFF


def _signed(value: int) -> int:
    return ((value + 2**31) & MASK) - 2**31


def collatz(size: Size) -> Case:
    """Steps of 3n + 1, a loop that each lane leaves on its own."""
    n, largest = {Size.SMALL: (256, 30), Size.LARGE: (1 << 20, 100_000)}[size]
    data = (np.arange(n, dtype=u32) % u32(largest)) + u32(1)

    def judge(memory: Memory) -> list[str]:
        value, steps = data.astype(u64), np.zeros(n, u32)
        while (active := value > 1).any():
            following = np.where(value & u64(1), u64(3) * value + u64(1), value >> u64(1))
            value = np.where(active, following & u64(MASK), value)
            steps += active
        return differences("out", of(memory, 1), steps)

    return Case("collatz", (n,), (64,), (Buffer(data), Buffer(np.zeros(n, u32))), judge)


def reduce(size: Size) -> Case:
    """Sums of groups by a tree in local memory."""
    groups = {Size.SMALL: 4, Size.LARGE: 4096}[size]
    data = np.random.default_rng(30).integers(-1000, 1000, groups * 256).astype(i32)

    def judge(memory: Memory) -> list[str]:
        return differences("out", of(memory, 1), data.reshape(groups, 256).sum(1).astype(i32))

    arguments = (Buffer(data), Buffer(np.zeros(groups, i32)), Local(256 * 4))
    return Case("reduce", (data.size,), (256,), arguments, judge)


def scan(size: Size) -> Case:
    """Prefix sums of groups, seventeen barriers."""
    groups = {Size.SMALL: 3, Size.LARGE: 4096}[size]
    data = np.random.default_rng(31).integers(-1000, 1000, groups * 256).astype(i32)

    def judge(memory: Memory) -> list[str]:
        sums = np.cumsum(data.reshape(groups, 256), 1, dtype=i32)
        return differences("out", of(memory, 1), sums)

    arguments = (Buffer(data), Buffer(np.zeros(data.size, i32)), Local(256 * 4))
    return Case("scan", (data.size,), (256,), arguments, judge)


def histogram(size: Size) -> Case:
    """Counts by local and global atomics."""
    items, each = {Size.SMALL: (256, 8), Size.LARGE: (1 << 16, 64)}[size]
    data = np.random.default_rng(32).integers(0, 256, items * each).astype(np.uint8)

    def judge(memory: Memory) -> list[str]:
        counts = np.bincount(data & 63, minlength=64).astype(u32)
        return differences("bins", of(memory, 1), counts)

    arguments = (Buffer(data), Buffer(np.zeros(64, u32)), Scalar(i32(each)))
    return Case("histogram", (items,), (128,), arguments, judge)


def bitonic(size: Size) -> Case:
    """Each group sorts 256 numbers in local memory."""
    groups = {Size.SMALL: 2, Size.LARGE: 4096}[size]
    data = np.random.default_rng(33).integers(0, 2**32, (groups, 256), dtype=u64).astype(u32)

    def judge(memory: Memory) -> list[str]:
        return differences("data", of(memory, 0), np.sort(data, 1))

    arguments = (Buffer(data), Local(256 * 4))
    return Case("bitonic", (groups * 128,), (128,), arguments, judge)


def switches(size: Size) -> Case:
    """A switch in a loop, with continue and return."""
    n = {Size.SMALL: 256, Size.LARGE: 1 << 18}[size]
    data = np.random.default_rng(34).integers(0, 40, n).astype(i32)

    def one(x: int) -> int:
        r = 0
        for k in range(x):
            if k == 7:
                continue
            choice = (x + k) & 7
            if choice == 0:
                r += 3
            elif choice == 1:
                r = _signed(r * 5)
            elif choice in (2, 3):
                r = (r - x if choice == 2 else r) ^ k
            elif choice == 4:
                if r > 1000:
                    return -r
                r += 1
            else:
                r += k
        return r

    def judge(memory: Memory) -> list[str]:
        answers = np.array([one(x) for x in range(40)], i32)
        return differences("out", of(memory, 1), answers[data])

    return Case("switches", (n,), (64,), (Buffer(data), Buffer(np.zeros(n, i32))), judge)


def divergent(size: Size) -> Case:
    """Nested loops with break and continue, then Euclid's algorithm."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 18}[size]
    random = np.random.default_rng(35)
    data = random.integers(0, 1 << 18, min(n, 4096)).astype(u32)
    data = np.resize(data, n)

    def one(x: int) -> int:
        y, total = x >> 8, 0
        for a in range(x & 15):
            if (a ^ y) & 1:
                for b in range(y & 7):
                    if b == a:
                        continue
                    total += a * b + 1
                    if total > 200:
                        break
            else:
                c = y & 31
                while True:
                    total ^= c
                    c = c - 3 if c > 3 else 0
                    if not c:
                        break
            if total == 77:
                break
        p, q = x | 1, (y & 1023) | 1
        while p != q:
            if p > q:
                p -= q * max(1, (p - q) // q)
            else:
                q -= p * max(1, (q - p) // p)
        return (total * 65536 + p) & MASK

    def judge(memory: Memory) -> list[str]:
        answers = {int(x): one(int(x)) for x in np.unique(data)}
        expected = np.array([answers[int(x)] for x in data], u32)
        return differences("out", of(memory, 1), expected)

    return Case("divergent", (n,), (64,), (Buffer(data), Buffer(np.zeros(n, u32))), judge)


def private_array(size: Size) -> Case:
    """An array of each work item in scratch memory."""
    n, rounds = {Size.SMALL: (128, 16), Size.LARGE: (1 << 17, 64)}[size]
    data = np.random.default_rng(36).integers(0, 1 << 20, n).astype(i32)

    def judge(memory: Memory) -> list[str]:
        store = (data[:, None].astype(i64) + np.arange(64, dtype=i64) ** 2).astype(i32)
        x, items = data.copy(), np.arange(n)
        with np.errstate(over="ignore"):
            for k in range(rounds):
                at = x & 63
                store[items, at] += store[items, (at * 7 + k) & 63] ^ i32(k)
                x = store[items, (x >> 3) & 63] + i32(k)
            total = np.zeros(n, i32)
            for k in range(64):
                total = total * i32(31) + store[:, k]
        return differences("out", of(memory, 1), total)

    arguments = (Buffer(data), Buffer(np.zeros(n, i32)), Scalar(i32(rounds)))
    return Case("private_array", (n,), (64,), arguments, judge)


def atomics(size: Size) -> Case:
    """Every 32-bit atomic function of OpenCL 1.2."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 16}[size]
    data = np.random.default_rng(37).integers(-(2**31), 2**31, n).astype(i32)
    cells = np.zeros(16, i32)
    cells[6], cells[9] = -1, -1

    def judge(memory: Memory) -> list[str]:
        total = int(data.astype(i64).sum())
        x = data.view(u32)
        expected = cells.copy()
        expected[0], expected[1] = _signed(total), _signed(-total)
        expected[2], expected[3] = n, -n
        expected[4], expected[5] = min(0, int(data.min())), max(0, int(data.max()))
        expected[6] = ~int(np.bitwise_or.reduce(1 << (data & 7)))
        expected[7] = np.bitwise_or.reduce(u32(1) << (x & u32(31))).view(i32)
        expected[8] = np.bitwise_xor.reduce(data)
        expected[9] = x.min().view(i32)
        expected[10] = x.max().view(i32)
        expected[11] = int((data & 3).sum())
        expected[12], expected[13] = n, 5
        return [
            *differences("cells", of(memory, 1), expected),
            *differences("marks", of(memory, 2), np.ones(n, i32)),
        ]

    arguments = (Buffer(data), Buffer(cells), Buffer(np.zeros(n, i32)))
    return Case("atomics", (n,), (64,), arguments, judge)


def long_atomics(size: Size) -> Case:
    """64-bit atomic functions."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 16}[size]
    data = np.random.default_rng(38).integers(-(2**62), 2**62, n).astype(i64)

    def judge(memory: Memory) -> list[str]:
        expected = np.zeros(8, i64)
        with np.errstate(over="ignore"):
            expected[0] = data.sum()
        expected[1] = n
        expected[2], expected[3] = min(0, int(data.min())), max(0, int(data.max()))
        expected[4] = np.bitwise_xor.reduce(data)
        expected[5] = np.bitwise_or.reduce(data)
        return differences("cells", of(memory, 1), expected)

    needs = frozenset({"int64_atomics"})
    arguments = (Buffer(data), Buffer(np.zeros(8, i64)))
    return Case("long_atomics", (n,), (64,), arguments, judge, needs=needs)


def subgroups(size: Size) -> Case:
    """Reductions, scans, votes and broadcasts; whatever size the compiler chose."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 18}[size]
    data = np.random.default_rng(39).integers(0, 100, n).astype(i32)

    def judge(memory: Memory) -> list[str]:
        got = of(memory, 1).reshape(7, n)
        width = int(got[0, 0])
        if width < 8 or n % width or (got[0] != width).any():
            return [f"sub-group sizes {np.unique(got[0])}"]
        x = data.reshape(-1, width)

        def all_lanes(column: Any) -> Array:
            return np.repeat(column, width).astype(i32)

        votes = (x > 90).any(1) + 2 * (x > 5).all(1)
        return [
            *differences("sum", got[1], all_lanes(x.sum(1))),
            *differences("scan", got[2], np.cumsum(x, 1).ravel().astype(i32)),
            *differences("broadcast", got[3], all_lanes(x[:, 3])),
            *differences("votes", got[4], all_lanes(votes)),
            *differences("extremes", got[5], all_lanes(np.max(x, 1) - np.min(x, 1))),
            *differences("lanes", got[6], np.tile(np.arange(width, dtype=i32), n // width)),
        ]

    needs = frozenset({"subgroups"})
    arguments = (Buffer(data), Buffer(np.zeros(7 * n, i32)), Scalar(i32(n)))
    return Case("subgroups", (n,), (64,), arguments, judge, needs=needs)


def shuffle(size: Size) -> Case:
    """Intel's shuffles (indirect registers) and block reads."""
    n = {Size.SMALL: 128, Size.LARGE: 1 << 18}[size]
    data = np.random.default_rng(40).integers(0, 1000, n).astype(i32)

    def judge(memory: Memory) -> list[str]:
        got = of(memory, 1).reshape(4, n)
        width = int(got[0, 0])
        if width < 8 or n % width:
            return [f"sub-group size {width}"]
        x = data.reshape(-1, width)
        chosen = np.take_along_axis(x, (x + 5) & 7, 1)
        crossed = x[:, np.arange(width) ^ 3]
        return [
            *differences("shuffle", got[1], chosen.ravel()),
            *differences("shuffle_xor", got[2], crossed.ravel()),
            *differences("block_read", got[3], np.tile(data[:width], n // width)),
        ]

    needs = frozenset({"intel_subgroups"})
    arguments = (Buffer(data), Buffer(np.zeros(4 * n, i32)), Scalar(i32(n)))
    return Case("shuffle", (n,), (64,), arguments, judge, kernel="shuffle_lanes", needs=needs)
