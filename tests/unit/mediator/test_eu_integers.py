"""Integer instructions against Python's integers, at the ends of every type's range."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.threads import ALL
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import Condition, Destination, File, Immediate
from tests.unit.mediator.eu_instruction_bench import Operandum, operate, started
from tests.unit.mediator.eu_numbers import INTEGERS, clamped, edges, limits, wrapped

_SHORT = (Type.UB, Type.B, Type.UW, Type.W, Type.UD, Type.D)
_QUICK = {
    (Type.UB, Type.B),
    (Type.UW, Type.W),
    (Type.D, Type.D),
    (Type.UD, Type.UD),
    (Type.UD, Type.D),
    (Type.W, Type.UD),
    (Type.Q, Type.Q),
    (Type.UQ, Type.UQ),
    (Type.Q, Type.D),
}
_PAIRS = [
    pytest.param(
        kinds,
        id="-".join(kind.mnemonic for kind in kinds),
        marks=() if kinds in _QUICK else pytest.mark.modes,
    )
    for kinds in [*product(_SHORT, _SHORT), (Type.Q, Type.Q), (Type.UQ, Type.UQ), (Type.Q, Type.D)]
]
"""Every mixture of types; a few of them in the quick run."""


def _pairs(first: Type, second: Type) -> tuple[list[int], list[int]]:
    """Every edge of one with every edge of the other."""
    both = list(product(edges(first), edges(second)))
    return [a for a, _ in both], [b for _, b in both]


def _check(
    opcode: Opcode,
    kinds: tuple[Type, Type],
    target: Type,
    expected: Callable[[int, int], int],
    *,
    saturate: bool = False,
) -> None:
    a, b = _pairs(*kinds)
    got = operate(
        opcode, target, Operandum(kinds[0], a), Operandum(kinds[1], b), saturate=saturate
    ).list()
    fit = clamped if saturate else wrapped
    wanted = [fit(expected(x, y), target) for x, y in zip(a, b, strict=True)]
    wrong = [(x, y, z, w) for x, y, z, w in zip(a, b, got, wanted, strict=True) if z != w]
    assert not wrong, f"{opcode} {kinds} -> {target}: {wrong[:3]}"


@pytest.mark.parametrize("kinds", _PAIRS)
def test_sums_and_products_of_every_mixture(kinds: tuple[Type, Type]) -> None:
    wide = max(kind.size for kind in kinds) == 8
    for target in (Type.Q, Type.UQ) if wide else INTEGERS:
        _check(Opcode.ADD, kinds, target, lambda a, b: a + b)
        _check(Opcode.MUL, kinds, target, lambda a, b: a * b)
        if not wide:
            _check(Opcode.AVG, kinds, target, lambda a, b: a + b + 1 >> 1)


@pytest.mark.parametrize("kinds", _PAIRS)
def test_saturation_clamps_the_exact_result(kinds: tuple[Type, Type]) -> None:
    wide = max(kind.size for kind in kinds) == 8
    if wide:
        target = kinds[0]
        _check(Opcode.ADD, kinds, target, lambda a, b: a + b, saturate=True)
        return
    for target in _SHORT:
        _check(Opcode.ADD, kinds, target, lambda a, b: a + b, saturate=True)
        _check(Opcode.MUL, kinds, target, lambda a, b: a * b, saturate=True)


@pytest.mark.parametrize("kind", _SHORT)
def test_modifiers_of_a_source(kind: Type) -> None:
    values = edges(kind)
    for negate, absolute in product((False, True), repeat=2):
        sources = Operandum(kind, values, negate, absolute), Operandum(Type.W, [1] * len(values))

        def meant(value: int, *, negate: bool = negate, absolute: bool = absolute) -> int:
            value = abs(value) if absolute else value
            return -value if negate else value

        added = operate(Opcode.ADD, Type.Q, *sources).list()
        assert added == [meant(value) + 1 for value in values]
        moved = operate(Opcode.MOV, Type.Q, sources[0]).list()
        assert moved == [meant(value) for value in values]
        narrow = operate(Opcode.MOV, Type.W, sources[0], saturate=True).list()
        assert narrow == [clamped(meant(value), Type.W) for value in values]


@pytest.mark.parametrize("kind", INTEGERS)
def test_moves_between_integers(kind: Type) -> None:
    values = edges(kind)
    for target in INTEGERS:
        moved = operate(Opcode.MOV, target, Operandum(kind, values)).list()
        assert moved == [wrapped(value, target) for value in values]
        moved = operate(Opcode.MOV, target, Operandum(kind, values), saturate=True).list()
        assert moved == [clamped(value, target) for value in values]


_RELATIONS: dict[Condition, Callable[[int, int], bool]] = {
    Condition.EQUAL: lambda a, b: a == b,
    Condition.NOT_EQUAL: lambda a, b: a != b,
    Condition.GREATER: lambda a, b: a > b,
    Condition.GREATER_EQUAL: lambda a, b: a >= b,
    Condition.LESS: lambda a, b: a < b,
    Condition.LESS_EQUAL: lambda a, b: a <= b,
}


@pytest.mark.parametrize("kinds", _PAIRS)
def test_comparisons_are_of_numbers(kinds: tuple[Type, Type]) -> None:
    a, b = _pairs(*kinds)
    sources = Operandum(kinds[0], a), Operandum(kinds[1], b)
    for condition, relation in _RELATIONS.items():
        wanted = [relation(x, y) for x, y in zip(a, b, strict=True)]
        for opcode in (Opcode.CMP, Opcode.CMPN):
            found = operate(opcode, Type.D, *sources, condition=condition)
            assert found.flag_list() == wanted
            assert found.list() == [-1 if each else 0 for each in wanted]
        target = Type.Q if max(kind.size for kind in kinds) == 8 else Type.D
        chosen = operate(Opcode.SEL, target, *sources, condition=condition)
        picked = [x if w else y for x, y, w in zip(a, b, wanted, strict=True)]
        assert chosen.list() == [wrapped(each, target) for each in picked]
        assert not chosen.flags.any(), "a minimum writes no flag"


def test_a_negated_unsigned_source_compares_as_a_negative_number() -> None:
    found = operate(
        Opcode.CMP,
        Type.D,
        Operandum(Type.UD, [5, 0xFFFFFFFF, 0], negate=True),
        Operandum(Type.D, [-5, 1, 0]),
        condition=Condition.LESS_EQUAL,
    )
    assert found.flag_list() == [True, True, True]


@pytest.mark.parametrize("condition", _RELATIONS)
def test_flags_follow_the_result_after_conversion(condition: Condition) -> None:
    relation = _RELATIONS[condition]
    a, b = _pairs(Type.D, Type.D)
    for target, saturate in product((Type.D, Type.W), (False, True)):
        found = operate(
            Opcode.ADD,
            target,
            Operandum(Type.D, a),
            Operandum(Type.D, b),
            condition=condition,
            saturate=saturate,
        )
        fit = clamped if saturate else wrapped
        sums = [fit(x + y, target) for x, y in zip(a, b, strict=True)]
        assert found.list() == sums
        assert found.flag_list() == [relation(each, 0) for each in sums]


def test_the_overflow_condition() -> None:
    a, b = _pairs(Type.D, Type.D)
    found = operate(
        Opcode.ADD, Type.D, Operandum(Type.D, a), Operandum(Type.D, b), condition=Condition.OVERFLOW
    )
    low, high = limits(Type.D)
    assert found.flag_list() == [not low <= x + y <= high for x, y in zip(a, b, strict=True)]


# Logic and shifts


@pytest.mark.parametrize("kind", INTEGERS)
def test_logic(kind: Type) -> None:
    a, b = _pairs(kind, kind)
    first, second = Operandum(kind, a), Operandum(kind, b)
    inverted = Operandum(kind, b, negate=True)
    for opcode, function in (
        (Opcode.AND, int.__and__),
        (Opcode.OR, int.__or__),
        (Opcode.XOR, int.__xor__),
    ):
        got = operate(opcode, kind, first, second).list()
        assert got == [function(x, y) for x, y in zip(a, b, strict=True)]
        compared = operate(opcode, kind, first, inverted, condition=Condition.EQUAL)
        wanted = [wrapped(function(x, ~y), kind) for x, y in zip(a, b, strict=True)]
        assert compared.list() == wanted
        assert compared.flag_list() == [each == 0 for each in wanted]
    got = operate(Opcode.NOT, kind, first).list()
    assert got == [wrapped(~x, kind) for x in a]
    got = operate(Opcode.NOT, kind, Operandum(kind, a, negate=True)).list()
    assert got == a


@pytest.mark.parametrize("kind", INTEGERS)
def test_shifts_take_the_count_modulo_32_or_64(kind: Type) -> None:
    counts = [0, 1, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 255, -1]
    both = list(product(edges(kind), counts))
    a, n = [x for x, _ in both], [y for _, y in both]
    bits = 8 * kind.size
    modulus = 64 if bits == 64 else 32
    sources = Operandum(kind, a), Operandum(Type.D, n)
    got = operate(Opcode.SHL, kind, *sources).list()
    assert got == [wrapped(x << y % modulus, kind) for x, y in both]
    got = operate(Opcode.SHR, kind, *sources).list()
    mask = (1 << modulus) - 1  # sources are widened by their type before bits come in
    assert got == [wrapped((x & mask) >> y % modulus, kind) for x, y in both]
    signed = {1: Type.B, 2: Type.W, 4: Type.D, 8: Type.Q}[kind.size]
    got = operate(Opcode.ASR, kind, *sources).list()
    assert got == [wrapped(wrapped(x, signed) >> y % modulus, kind) for x, y in both]


def test_a_shift_into_64_bits() -> None:
    a = edges(Type.D)
    for count in (0, 2, 31, 32, 40, 63, 64):
        sources = Operandum(Type.D, a), Operandum(Type.D, [count] * len(a))
        got = operate(Opcode.SHL, Type.Q, *sources).list()
        assert got == [wrapped(x << count % 64, Type.Q) for x in a]


def test_a_saturated_shift() -> None:
    a = edges(Type.D)
    sources = Operandum(Type.D, a), Operandum(Type.D, [4] * len(a))
    got = operate(Opcode.SHL, Type.D, *sources, saturate=True).list()
    assert got == [clamped(x << 4, Type.D) for x in a]


# Bit fields


@pytest.mark.parametrize("kind", [Type.D, Type.UD])
def test_bit_fields(kind: Type) -> None:
    values = [*edges(kind), wrapped(0x12345678, kind), wrapped(0xFEDCBA98, kind)]
    lanes = list(product([0, 1, 4, 8, 31, 32, 33], [0, 1, 5, 24, 31, 32], values))
    width, offset, value = ([each[n] for each in lanes] for n in range(3))
    sources = Operandum(kind, width), Operandum(kind, offset), Operandum(kind, value)

    def extracted(size: int, first: int, bits: int) -> int:
        size, first = size % 32, first % 32
        field = format(bits & 0xFFFFFFFF, "032b")[::-1][first : first + size][::-1]
        if not field:
            return 0
        if kind is Type.D and field[0] == "1":
            return int(field, 2) - (1 << len(field))
        return int(field, 2)

    assert operate(Opcode.BFE, kind, *sources).list() == [extracted(*each) for each in lanes]
    masks = operate(Opcode.BFI1, Type.UD, *sources[:2]).list()
    assert masks == [((1 << w % 32) - 1 << o % 32) & 0xFFFFFFFF for w, o, _ in lanes]
    merged = operate(Opcode.BFI2, kind, sources[2], sources[0], sources[1]).list()

    def inserted(mask: int, value: int) -> int:
        return value * (mask & -mask) & mask

    assert merged == [wrapped(inserted(v, w) | ~v & o, kind) for w, o, v in lanes]


def test_bit_counts() -> None:
    values = [*edges(Type.UD), 0x12345678, 0x80, 1 << 16]
    text = [format(value, "032b") for value in values]
    source = Operandum(Type.UD, values)
    assert operate(Opcode.BFREV, Type.UD, source).list() == [int(t[::-1], 2) for t in text]
    assert operate(Opcode.CBIT, Type.UD, source).list() == [t.count("1") for t in text]
    assert operate(Opcode.LZD, Type.UD, source).list() == [(t + "1").index("1") for t in text]
    highest = [t.index("1") if "1" in t else 0xFFFFFFFF for t in text]
    assert operate(Opcode.FBH, Type.UD, source).list() == highest
    lowest = [t[::-1].index("1") if "1" in t else 0xFFFFFFFF for t in text]
    assert operate(Opcode.FBL, Type.UD, source).list() == lowest


def test_the_highest_bit_of_a_signed_number() -> None:
    values = edges(Type.D)
    text = [format(value & 0xFFFFFFFF, "032b") for value in values]
    other = [{"0": "1", "1": "0"}[t[0]] for t in text]
    wanted = [t.index(o) if o in t else 0xFFFFFFFF for t, o in zip(text, other, strict=True)]
    assert operate(Opcode.FBH, Type.UD, Operandum(Type.D, values)).list() == wanted


def test_bits_of_bytes_are_counted_as_they_stand() -> None:
    got = operate(Opcode.CBIT, Type.UD, Operandum(Type.B, [-1, -128, 127])).list()
    assert got == [8, 1, 7]


# The accumulator


def test_the_carry_and_the_borrow() -> None:
    a, b = _pairs(Type.UD, Type.UD)
    sources = Operandum(Type.UD, a), Operandum(Type.UD, b)
    for opcode, exact in ((Opcode.ADDC, int.__add__), (Opcode.SUBB, int.__sub__)):
        found = operate(opcode, Type.UD, *sources, write_accumulator=True)
        wanted = [exact(x, y) for x, y in zip(a, b, strict=True)]
        assert found.list() == [each & 0xFFFFFFFF for each in wanted]
        carries = found.threads.blocks["acc"][:, :32].copy().view("<u4").reshape(-1)
        assert carries.tolist()[: len(a)] == [int(not 0 <= each < 1 << 32) for each in wanted]


@pytest.mark.parametrize("kind", [Type.D, Type.UD])
def test_a_product_of_32_bits_in_two_steps(kind: Type) -> None:
    """As compilers do it: the low word of b into the accumulator, then mach."""
    a, b = _pairs(kind, kind)
    threads = started(-(-len(a) // 8))
    first = Operandum(kind, a)
    low = Operandum(Type.UW, [y & 0xFFFF for y in b])
    accumulator = Destination(File.ARF, 0x20 * 32, kind, 1)
    operate(Opcode.MUL, kind, first, low, threads=threads, destination=accumulator)
    found = operate(
        Opcode.MACH, kind, first, Operandum(kind, b), threads=threads, write_accumulator=True
    )
    products = [x * y for x, y in zip(a, b, strict=True)]
    assert found.list() == [wrapped(each >> 32, kind) for each in products]
    acc = threads.blocks["acc"][:, :32].copy().view("<u4").reshape(-1)[: len(a)]
    assert acc.tolist() == [each & 0xFFFFFFFF for each in products]


def test_sums_of_products_keep_66_bits() -> None:
    big = 0x7FFFFFFF
    threads = started(1)
    source = Operandum(Type.D, [big, -big - 1, 3])
    total = [0, 0, 0]
    for _ in range(5):
        found = operate(Opcode.MAC, Type.D, source, source, threads=threads, write_accumulator=True)
        total = [t + x * x for t, x in zip(total, source.lanes, strict=True)]
        assert found.list() == [wrapped(int(each), Type.D) for each in total]
    low = threads.blocks["acc"][0, :32].copy().view("<u4").tolist()
    high = threads.blocks["acc_high"][0].tolist()
    both = [(high[n] << 32) + low[n] for n in range(3)]
    signed_66 = [(int(t) + (1 << 65)) % (1 << 66) - (1 << 65) for t in total]
    assert both == signed_66
    assert int(total[0]) >= 1 << 64, "which 64 bits would not hold with a sign"


def test_word_accumulators_hold_33_bits() -> None:
    threads = started(1)
    source = Operandum(Type.W, [-32768, 32767, 2])
    for _ in range(3):
        found = operate(Opcode.MAC, Type.W, source, source, threads=threads, write_accumulator=True)
    totals = [3 * int(x) ** 2 for x in source.lanes]
    assert found.list() == [wrapped(each, Type.W) for each in totals]
    low = threads.blocks["acc"][0, :16].copy().view("<u2").tolist()
    high = threads.blocks["acc_high"][0].tolist()
    assert [(high[n] << 16) + low[n] for n in range(3)] == totals


def test_an_instruction_may_leave_its_result_in_the_accumulator_too() -> None:
    values = [7, -7, 1 << 20]
    found = operate(
        Opcode.ADD,
        Type.D,
        Operandum(Type.D, values),
        Operandum(Type.D, values),
        write_accumulator=True,
    )
    acc = found.threads.blocks["acc"][0, :12].copy().view("<i4").tolist()
    assert acc == found.list() == [14, -14, 1 << 21]


# Vectors and division


def test_sums_of_differences() -> None:
    a, b = [0, 255, 3, 9, 200, 1, 7, 7], [255, 0, 4, 2, 100, 1, 9, 0]
    pairs = [abs(x - y) for x, y in zip(a, b, strict=True)]
    wanted = [pairs[n // 2 * 2] + pairs[n // 2 * 2 + 1] for n in range(8)]
    sources = Operandum(Type.UB, a), Operandum(Type.UB, b)
    threads = started(1)
    first = operate(Opcode.SAD2, Type.UW, *sources, threads=threads, write_accumulator=True)
    assert first.list() == wanted
    assert operate(Opcode.SADA2, Type.UW, *sources, threads=threads).list() == [
        2 * each for each in wanted
    ]


@pytest.mark.parametrize("kind", [Type.D, Type.UD])
def test_integer_division(kind: Type) -> None:
    a, b = _pairs(kind, kind)
    sources = Operandum(kind, a), Operandum(kind, b)
    low, high = limits(kind)

    def divided(x: int, y: int) -> tuple[int, int]:
        if y == 0:
            end = high if x >= 0 else low
            return end, end
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return wrapped(quotient, kind), wrapped(x - y * quotient, kind)

    wanted = [divided(x, y) for x, y in zip(a, b, strict=True)]
    quotients, rests = [q for q, _ in wanted], [r for _, r in wanted]
    got = operate(Opcode.MATH, kind, *sources, function=MathFunction.IQOT).list()
    assert got == quotients
    assert operate(Opcode.MATH, kind, *sources, function=MathFunction.IREM).list() == rests
    both = operate(Opcode.MATH, kind, *sources, function=MathFunction.IDIVREM)
    assert both.list() == quotients
    assert both.second.tolist() == rests


def test_what_means_nothing_is_refused() -> None:
    integers = Operandum(Type.D, [1]), Operandum(Type.D, [2])
    floats = Operandum(Type.F, [1.0]), Operandum(Type.F, [2.0])
    for opcode in (Opcode.SMOV, Opcode.ILLEGAL, Opcode.NOP, Opcode.DP4, Opcode.FRC, Opcode.SAD2):
        with pytest.raises(IllegalOperation):
            operate(opcode, Type.D, *integers)
    for opcode in (Opcode.AND, Opcode.SHL, Opcode.BFREV, Opcode.ADDC, Opcode.AVG, Opcode.MACH):
        with pytest.raises(IllegalOperation):
            operate(opcode, Type.F, *floats)
    with pytest.raises(IllegalOperation, match="floats and integers"):
        operate(Opcode.ADD, Type.F, integers[0], floats[0])
    with pytest.raises(IllegalOperation, match="comparison"):
        operate(Opcode.CMP, Type.D, *integers)


def test_immediates() -> None:
    source = Operandum(Type.D, [1, 2, 3])
    assert operate(Opcode.ADD, Type.D, source, Immediate(Type.W, 0xFFFF)).list() == [0, 1, 2]
    assert operate(Opcode.ADD, Type.D, source, Immediate(Type.UW, 0xFFFF)).list() == [
        65536,
        65537,
        65538,
    ]
    threads = started(1)
    found = operate(Opcode.MOV, Type.W, source, threads=threads)
    assert found.list() == [1, 2, 3]
    assert threads.flag_lanes(ALL, 0, 8).any() == 0
