"""Float instructions against exact fractions, in every rounding mode and with denormals flushed."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mediator.gen9.eu.control_register import IEEE, FloatMode, Rounding
from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import Condition, Immediate, Region
from tests.unit.mediator.eu_instruction_bench import (
    Operandum,
    execute,
    grf,
    instruction,
    operate,
    started,
    to,
)
from tests.unit.mediator.eu_numbers import (
    FLOATS,
    INTEGERS,
    bits_of,
    clamped,
    edges,
    float_edges,
    is_denormal,
    same,
    to_float,
)

_FLUSHING = FloatMode(Rounding.EVEN, keep_df=False, keep_f=False, keep_hf=False)
_MODES = [
    *(pytest.param(FloatMode(rounding), id=rounding.name.lower()) for rounding in Rounding),
    pytest.param(_FLUSHING, id="flush"),
]
_KINDS_AND_MODES = [
    pytest.param(
        kind,
        mode,
        id=f"{kind.mnemonic}-{'flush' if mode is _FLUSHING else mode.rounding.name.lower()}",
        marks=() if kind is Type.F and mode.rounding is not Rounding.DOWN else pytest.mark.modes,
    )
    for kind in (Type.F, Type.DF)
    for mode in [*map(FloatMode, Rounding), _FLUSHING]
]


def _taken(value: float, kind: Type, mode: FloatMode) -> float:
    if not mode.keeps(kind) and is_denormal(value, kind):
        return math.copysign(0.0, value)
    return value


def _rounded(exact: Fraction, kind: Type, mode: FloatMode, zero: float) -> float:
    return _taken(to_float(exact, kind, mode.rounding, zero), kind, mode)


def _sum(a: float, b: float, kind: Type, mode: FloatMode) -> float:
    a, b = _taken(a, kind, mode), _taken(b, kind, mode)
    if not (math.isfinite(a) and math.isfinite(b)):
        return a + b
    zero = -0.0 if mode.rounding is Rounding.DOWN else 0.0
    if a == b == 0 and math.copysign(1, a) == math.copysign(1, b):
        zero = a
    return _rounded(Fraction(a) + Fraction(b), kind, mode, zero)


def _product(a: float, b: float, kind: Type, mode: FloatMode) -> float:
    a, b = _taken(a, kind, mode), _taken(b, kind, mode)
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b
    zero = math.copysign(1, a) * math.copysign(1, b) * 0.0
    return _rounded(Fraction(a) * Fraction(b), kind, mode, zero)


def _fma(a: float, b: float, c: float, kind: Type, mode: FloatMode) -> float:
    a, b, c = (_taken(each, kind, mode) for each in (a, b, c))
    if not all(math.isfinite(each) for each in (a, b, c)):
        product_ = math.copysign(1, a) * math.copysign(1, b) * math.inf
        if math.isnan(a * b) or (not math.isfinite(a * b) and math.isinf(a) | math.isinf(b)):
            return a * b + c
        return c if not math.isnan(product_) else math.nan
    zero = -0.0 if mode.rounding is Rounding.DOWN else 0.0
    if (a == 0 or b == 0) and c == 0:
        sign = math.copysign(1, a) * math.copysign(1, b)
        zero = c if sign == math.copysign(1, c) else zero
    return _rounded(Fraction(a) * Fraction(b) + Fraction(c), kind, mode, zero)


def _agree(got: list[float], wanted: list[float], lanes: list[tuple[float, ...]]) -> None:
    wrong = [
        (each, found, expected)
        for each, found, expected in zip(lanes, got, wanted, strict=True)
        if not same(found, expected)
    ]
    assert not wrong, wrong[:4]


def _columns(lanes: list[tuple[float, ...]], kind: Type) -> list[Operandum]:
    return [Operandum(kind, [each[n] for each in lanes]) for n in range(len(lanes[0]))]


@pytest.mark.parametrize(("kind", "mode"), _KINDS_AND_MODES)
def test_sums_and_products(kind: Type, mode: FloatMode) -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(kind), repeat=2))
    columns = _columns(lanes, kind)
    got = operate(Opcode.ADD, kind, *columns, mode=mode).list()
    _agree(got, [_sum(a, b, kind, mode) for a, b in lanes], lanes)
    got = operate(Opcode.MUL, kind, *columns, mode=mode).list()
    _agree(got, [_product(a, b, kind, mode) for a, b in lanes], lanes)


@pytest.mark.parametrize(("kind", "mode"), _KINDS_AND_MODES)
def test_multiply_add_rounds_once(kind: Type, mode: FloatMode) -> None:
    some = float_edges(kind)[::4]
    lanes: list[tuple[float, ...]] = list(product(some, repeat=3))
    random = np.random.default_rng(11)
    exponents = random.integers(-30, 30, (3, 100))
    near = random.uniform(1, 2, (3, 100)) * 2.0**exponents
    dtype = np.float32 if kind is Type.F else np.float64
    a, b = (near[n].astype(dtype).astype(float) for n in range(2))
    c = (-a * b * (1 + near[2] * 1e-8)).astype(dtype).astype(float)
    lanes += list(zip(a.tolist(), b.tolist(), c.tolist(), strict=True))
    # mad is source 0 + source 1 * source 2.
    columns = _columns([(c, a, b) for a, b, c in lanes], kind)
    got = operate(Opcode.MAD, kind, *columns, mode=mode).list()
    _agree(got, [_fma(a, b, c, kind, mode) for a, b, c in lanes], lanes)
    if mode is IEEE or mode == FloatMode():
        macro = operate(Opcode.MADM, kind, *columns, mode=mode).list()
        _agree(macro, got, lanes)


@pytest.mark.modes
@pytest.mark.parametrize("mode", _MODES)
def test_half_floats_compute_as_floats_and_round_once(mode: FloatMode) -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(Type.HF), repeat=2))
    columns = _columns(lanes, Type.HF)
    for opcode, function in ((Opcode.ADD, _sum), (Opcode.MUL, _product)):
        got = operate(opcode, Type.HF, *columns, mode=mode).list()
        wanted = [function(a, b, Type.HF, mode) for a, b in lanes]
        if mode.rounding is not Rounding.EVEN:
            # Twice in one direction is once, but for what the first rounding made inexact.
            got = [each for each in got if not math.isnan(each)]
            wanted = [each for each in wanted if not math.isnan(each)]
        _agree(got, wanted, [()] * len(got))


@pytest.mark.parametrize("mode", _MODES)
def test_conversions_between_floats(mode: FloatMode) -> None:
    for kind, target in product(FLOATS, FLOATS):
        values = float_edges(kind)
        got = operate(Opcode.MOV, target, Operandum(kind, values), mode=mode).list()
        if kind is target:
            _agree(got, values, [(each,) for each in values])
            continue
        wanted = []
        for value in values:
            taken = _taken(value, kind, mode)
            if not math.isfinite(taken) or target.size > kind.size:
                wanted.append(taken)
            else:
                wanted.append(_rounded(Fraction(taken), target, mode, taken))
        _agree(got, wanted, [(each,) for each in values])


def test_floats_to_integers_truncate_and_clamp() -> None:
    for kind, target in product(FLOATS, INTEGERS):
        values = [*float_edges(kind), -1.5, 1.99, -0.99, 1e4, -1e4, 127.5, 255.5, 32767.75]
        values = [each if not math.isfinite(each) else _exact(each, kind) for each in values]
        got = operate(Opcode.MOV, target, Operandum(kind, values)).list()
        wanted = []
        for value in values:
            if math.isnan(value):
                wanted.append(0)
            elif math.isinf(value):
                wanted.append(clamped(1 << 80 if value > 0 else -(1 << 80), target))
            else:
                wanted.append(clamped(math.trunc(value), target))
        assert got == wanted, (kind, target)


def _exact(value: float, kind: Type) -> float:
    return to_float(Fraction(value), kind, zero=value)


@pytest.mark.parametrize("mode", _MODES)
def test_integers_to_floats_round_once(mode: FloatMode) -> None:
    for kind, target in product(INTEGERS, FLOATS):
        values = [*edges(kind), *(each for each in _ODD if each in _range(kind))]
        got = operate(Opcode.MOV, target, Operandum(kind, values), mode=mode).list()
        wanted = [to_float(Fraction(each), target, mode.rounding) for each in values]
        _agree(got, wanted, [(each,) for each in values])


_ODD = [16777217, 33554431, -16777217, (1 << 53) + 1, (1 << 62) + (1 << 38) + 1, 65519, 65520, 2049]


def _range(kind: Type) -> range:
    bits = 8 * kind.size
    return range(1 << bits) if kind.mnemonic[0] == "u" else range(-(1 << bits - 1), 1 << bits - 1)


def test_a_raw_move_keeps_the_bits_of_a_nan() -> None:
    threads = started(1)
    raw = [0x7FA00001, 0xFFC12345, 0x7F800001, 1, 0x80000000, 0, 0, 0]
    threads.grf[Type.UD][0, 80:88] = raw
    execute(
        threads,
        instruction(Opcode.MOV, destination=to(20, Type.F), sources=(grf(10, Type.F),)),
        _FLUSHING,
    )
    assert threads.grf[Type.UD][0, 160:168].tolist() == raw
    negated = grf(10, Type.F, negate=True, absolute=True)
    execute(threads, instruction(Opcode.MOV, destination=to(20, Type.F), sources=(negated,)))
    assert threads.grf[Type.UD][0, 160:168].tolist() == [each | 1 << 31 for each in raw]


@pytest.mark.parametrize("kind", FLOATS)
def test_saturation_is_to_zero_and_one(kind: Type) -> None:
    values = float_edges(kind)
    got = operate(Opcode.MOV, kind, Operandum(kind, values), saturate=True).list()
    wanted = [0.0 if math.isnan(each) else max(0.0, min(1.0, each)) for each in values]
    assert got == wanted


# Comparisons


@pytest.mark.parametrize("kind", FLOATS)
def test_comparisons_of_floats(kind: Type) -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(kind), repeat=2))
    columns = _columns(lanes, kind)
    relations: dict[Condition, Callable[[float, float], bool]] = {
        Condition.EQUAL: lambda a, b: a == b,
        Condition.NOT_EQUAL: lambda a, b: a != b,
        Condition.GREATER: lambda a, b: a > b,
        Condition.GREATER_EQUAL: lambda a, b: a >= b,
        Condition.LESS: lambda a, b: a < b,
        Condition.LESS_EQUAL: lambda a, b: a <= b,
        Condition.UNORDERED: lambda a, b: math.isnan(a) or math.isnan(b),
    }
    for condition, relation in relations.items():
        wanted = [relation(a, b) for a, b in lanes]
        found = operate(Opcode.CMP, Type.D, *columns, condition=condition)
        assert found.flag_list() == wanted
        assert found.list() == [-1 if each else 0 for each in wanted]
        prefers = condition in (Condition.LESS, Condition.GREATER_EQUAL)
        wanted = [w or (prefers and math.isnan(b)) for w, (_, b) in zip(wanted, lanes, strict=True)]
        assert operate(Opcode.CMPN, Type.D, *columns, condition=condition).flag_list() == wanted


def test_denormals_compare_as_zeros_when_they_are_flushed() -> None:
    tiny = 2.0**-149
    columns = _columns([(tiny, 0.0), (-tiny, tiny), (tiny, tiny)], Type.F)
    equal = operate(Opcode.CMP, Type.D, *columns, condition=Condition.EQUAL, mode=_FLUSHING)
    assert equal.flag_list() == [True, True, True]
    equal = operate(Opcode.CMP, Type.D, *columns, condition=Condition.EQUAL)
    assert equal.flag_list() == [False, False, True]


@pytest.mark.parametrize("kind", FLOATS)
def test_minimum_and_maximum_prefer_numbers(kind: Type) -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(kind), repeat=2))
    columns = _columns(lanes, kind)
    for condition, choose in ((Condition.LESS, min), (Condition.GREATER_EQUAL, max)):
        got = operate(Opcode.SEL, kind, *columns, condition=condition).list()
        for (a, b), found in zip(lanes, got, strict=True):
            if math.isnan(b):
                assert same(found, a)
            elif math.isnan(a):
                assert same(found, b)
            else:
                assert found == choose(a, b)


def test_conditional_select() -> None:
    third = [-1.0, 0.0, -0.0, 2.0, math.nan, math.inf]
    columns = Operandum(Type.F, [1.0] * 6), Operandum(Type.F, [2.0] * 6), Operandum(Type.F, third)
    found = operate(Opcode.CSEL, Type.F, *columns, condition=Condition.GREATER_EQUAL)
    assert found.list() == [2.0, 1.0, 1.0, 1.0, 2.0, 1.0]
    assert not found.flags.any()
    with pytest.raises(IllegalOperation):
        operate(Opcode.CSEL, Type.F, *columns)


def test_flags_of_float_results() -> None:
    columns = _columns([(1.0, -1.0), (1.0, math.nan), (3.0, -1.0), (-3.0, 1.0)], Type.F)
    for condition, wanted in {
        Condition.EQUAL: [True, False, False, False],
        Condition.NOT_EQUAL: [False, True, True, True],
        Condition.GREATER: [False, False, True, False],
        Condition.LESS: [False, False, False, True],
        Condition.UNORDERED: [False, True, False, False],
    }.items():
        assert operate(Opcode.ADD, Type.F, *columns, condition=condition).flag_list() == wanted
    huge = _columns([(3e38, 3e38), (1.0, 1.0)], Type.F)
    found = operate(Opcode.ADD, Type.F, *huge, condition=Condition.OVERFLOW)
    assert found.flag_list() == [True, False]


# Rounding to integers, interpolation, dot products


@pytest.mark.parametrize("kind", FLOATS)
def test_rounding_to_integers(kind: Type) -> None:
    values = [*float_edges(kind), 0.49, -0.5, -1.5, 2.5, 3.5, -2.25, 1000.5]
    values = [_exact(each, kind) if math.isfinite(each) else each for each in values]
    source = Operandum(kind, values)
    finite = [math.isfinite(each) for each in values]
    for opcode, function in (
        (Opcode.RNDD, math.floor),
        (Opcode.RNDU, math.ceil),
        (Opcode.RNDZ, math.trunc),
        (Opcode.RNDE, round),
    ):
        wanted = [
            math.copysign(float(function(each)), each) if ok else each
            for each, ok in zip(values, finite, strict=True)
        ]
        _agree(operate(opcode, kind, source).list(), wanted, [(each,) for each in values])
    got = operate(Opcode.FRC, kind, source).list()
    for value, found in zip(values, got, strict=True):
        if math.isfinite(value):
            assert found == to_float(Fraction(value) - math.floor(value), kind)
        else:
            assert math.isnan(found)


def test_interpolation() -> None:
    lanes: list[tuple[float, ...]] = [(0.0, 3.0, 7.0), (1.0, 3.0, 7.0), (0.25, 4.0, 8.0)]
    assert operate(Opcode.LRP, Type.F, *_columns(lanes, Type.F)).list() == [7.0, 3.0, 7.0]


def test_dot_products() -> None:
    a, b = [1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 2.0, 8.0], [5.0, 6.0, 7.0, 8.0, 1.0, 4.0, -3.0, 0.25]
    columns = Operandum(Type.F, a), Operandum(Type.F, b)
    terms = [x * y for x, y in zip(a, b, strict=True)]
    for opcode, count in ((Opcode.DP2, 2), (Opcode.DP3, 3), (Opcode.DP4, 4)):
        wanted = [sum(terms[n // 4 * 4 : n // 4 * 4 + count]) for n in range(8)]
        assert operate(opcode, Type.F, *columns).list() == wanted
    wanted = [sum(terms[n // 4 * 4 : n // 4 * 4 + 3]) + b[n // 4 * 4 + 3] for n in range(8)]
    assert operate(Opcode.DPH, Type.F, *columns).list() == wanted


def test_planes_and_lines() -> None:
    threads = started(1)
    threads.grf[Type.F][0, 80:84] = [2.0, 3.0, 100.0, 0.5]
    u, v = np.arange(16, dtype=np.float32), np.arange(16, dtype=np.float32) * 10
    for turn in range(2):
        threads.grf[Type.F][0, 160 + 16 * turn : 168 + 16 * turn] = u[8 * turn : 8 * turn + 8]
        threads.grf[Type.F][0, 168 + 16 * turn : 176 + 16 * turn] = v[8 * turn : 8 * turn + 8]
    corner = grf(10, Type.F, Region(0, 1, 0))
    execute(
        threads,
        instruction(
            Opcode.PLN, destination=to(40, Type.F), sources=(corner, grf(20, Type.F)), width=16
        ),
    )
    assert threads.grf[Type.F][0, 320:336].tolist() == (2 * u + 3 * v + 0.5).tolist()
    execute(
        threads,
        instruction(Opcode.LINE, destination=to(40, Type.F), sources=(corner, grf(20, Type.F))),
    )
    assert threads.grf[Type.F][0, 320:328].tolist() == (2 * u[:8] + 0.5).tolist()


def test_multiply_accumulate_of_floats() -> None:
    threads = started(1)
    source = Operandum(Type.F, [1.5, -2.0, 3.0])
    operate(Opcode.MUL, Type.F, source, source, threads=threads, write_accumulator=True)
    found = operate(Opcode.MAC, Type.F, source, source, threads=threads)
    assert found.list() == [4.5, 8.0, 18.0]


# Functions


def _ulps(got: float, exact: float) -> float:
    if math.isnan(exact) or math.isinf(exact) or exact == 0:
        return 0.0 if same(got, exact) else math.inf
    return abs(got - exact) / float(np.spacing(np.float32(abs(exact))))


@pytest.mark.parametrize(
    ("function", "exact", "ulp"),
    [
        (MathFunction.INV, lambda x: 1 / x if x else math.copysign(math.inf, x), 0.5),
        (MathFunction.SQRT, lambda x: math.sqrt(x) if x >= 0 else math.nan, 0.5),
        (MathFunction.RSQ, lambda x: _reciprocal_root(x), 0.51),
        (MathFunction.LOG, lambda x: _log(x), 0.51),
        (MathFunction.EXP, lambda x: _exp(x), 0.51),
        (MathFunction.SIN, lambda x: math.sin(x) if math.isfinite(x) else math.nan, 0.51),
        (MathFunction.COS, lambda x: math.cos(x) if math.isfinite(x) else math.nan, 0.51),
    ],
    ids=lambda value: value.mnemonic if isinstance(value, MathFunction) else "",
)
def test_functions_of_one_number(function: MathFunction, exact: object, ulp: float) -> None:
    assert callable(exact)
    random = np.random.default_rng(5).uniform(-20, 20, 200).astype(np.float32).astype(float)
    values = [*float_edges(Type.F), *random.tolist()]
    got = operate(Opcode.MATH, Type.F, Operandum(Type.F, values), function=function).list()
    for value, found in zip(values, got, strict=True):
        wanted = float(exact(value))
        if math.isfinite(wanted):
            wanted = wanted if abs(wanted) < 3.5e38 else math.copysign(math.inf, wanted)
        if abs(wanted) < 2.0**-126 and wanted:
            assert abs(found - wanted) <= 2.0**-149
        else:
            assert _ulps(found, wanted) <= ulp, (value, found, wanted)


def _reciprocal_root(x: float) -> float:
    if x == 0:
        return math.copysign(math.inf, x)
    return 1 / math.sqrt(x) if x > 0 else math.nan


def _log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log2(x) if x > 0 else math.nan


def _exp(x: float) -> float:
    return math.inf if x > 1000 else 2.0**x if x > -1000 else 0.0 if x == x else math.nan


def test_quotients_and_powers() -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(Type.F), repeat=2))
    columns = _columns(lanes, Type.F)
    got = operate(Opcode.MATH, Type.F, *columns, function=MathFunction.FDIV).list()
    wanted = []
    for a, b in lanes:
        if not (math.isfinite(a) and math.isfinite(b) and b):
            with np.errstate(all="ignore"):
                wanted.append(float(np.float64(a) / np.float64(b)))
        else:
            zero = math.copysign(1, a) * math.copysign(1, b) * 0.0
            wanted.append(to_float(Fraction(a) / Fraction(b), Type.F, zero=zero))
    _agree(got, wanted, lanes)
    powers: list[tuple[float, ...]] = [(2.0, 0.5), (-2.0, 3.0), (0.0, 0.0), (9.0, -0.5)]
    powers += [(-8.0, 0.5), (0.0, -1.0), (math.inf, 0.0), (1.0, math.nan)]
    got = operate(Opcode.MATH, Type.F, *_columns(powers, Type.F), function=MathFunction.POW).list()
    expected = [math.sqrt(2), -8.0, 1.0, 1 / 3, math.nan, math.inf, 1.0, 1.0]
    for found, power in zip(got, expected, strict=True):
        assert _ulps(found, power) <= 0.5 or same(found, power)


@pytest.mark.parametrize("kind", [Type.F, Type.DF])
def test_macros_give_the_final_result_and_say_so(kind: Type) -> None:
    lanes: list[tuple[float, ...]] = list(product(float_edges(kind)[::2], repeat=2))
    columns = _columns(lanes, kind)
    found = operate(Opcode.MATH, kind, *columns, function=MathFunction.INVM)
    assert found.flags.all(), "early out: no correction is to follow"
    for (a, b), quotient in zip(lanes, found.list(), strict=True):
        if math.isfinite(a) and math.isfinite(b) and a and b:
            assert same(quotient, to_float(Fraction(a) / Fraction(b), kind))
    roots = operate(Opcode.MATH, kind, columns[0], function=MathFunction.RSQTM)
    assert roots.flags.all()
    for (a, _), root in zip(lanes, roots.list(), strict=True):
        if a >= 0 and math.isfinite(a):
            below, above = math.nextafter(root, 0), math.nextafter(root, math.inf)
            middle = (Fraction(root) + Fraction(above)) / 2
            assert kind is Type.F or Fraction(a) <= middle**2
            assert kind is Type.F or Fraction(a) >= ((Fraction(root) + Fraction(below)) / 2) ** 2
        elif a < 0:
            assert math.isnan(root)


def test_the_alternate_mode_has_no_infinities() -> None:
    mode = FloatMode(alternate=True)
    columns = _columns([(3e38, 3e38), (-3e38, -3e38), (math.inf, -math.inf)], Type.F)
    most = float(np.finfo(np.float32).max)
    assert operate(Opcode.ADD, Type.F, *columns, mode=mode).list() == [most, -most, 0.0]


def test_packed_immediates() -> None:
    threads = started(1)
    numbers = Immediate(Packed.V, 0x76543210), Immediate(Packed.V, 0x89ABCDEF)
    for immediate, wanted in (
        (numbers[0], list(range(8))),
        (numbers[1], [-1, -2, -3, -4, -5, -6, -7, -8]),
        (Immediate(Packed.UV, 0x89ABCDEF), [15, 14, 13, 12, 11, 10, 9, 8]),
    ):
        execute(threads, instruction(Opcode.MOV, destination=to(20, Type.W), sources=(immediate,)))
        assert threads.grf[Type.W][0, 320:328].tolist() == wanted
    # 1.0, -0.5, 0, 31: three bits of exponent (bias 3), four of fraction.
    quarters = Immediate(Packed.VF, 0x7F00A030)
    execute(threads, instruction(Opcode.MOV, destination=to(20, Type.F), sources=(quarters,)))
    assert threads.grf[Type.F][0, 160:168].tolist() == [1.0, -0.5, 0.0, 31.0] * 2
    assert bits_of(1.0, Type.F) == 0x3F800000
