"""Where operands stand and which channels write: regions, indirection, align16, predicates, masks,
architecture registers.
"""

from __future__ import annotations

import numpy as np
import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.execution import prepare
from mediator.softgpu.eu.interpreter.numpy_ops import NumpyOps
from mediator.softgpu.eu.interpreter.threads import ALL, Threads
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Predicate,
    Region,
    Source,
)
from tests.unit.mediator.eu_instruction_bench import (
    NULL,
    SCALAR,
    Operandum,
    execute,
    grf,
    instruction,
    operate,
    started,
    to,
)


def _move(threads: Threads, destination: object, source: object, **fields: object) -> None:
    execute(
        threads,
        instruction(Opcode.MOV, destination=destination, sources=(source,), **fields),
        base=0x4000,
    )


def _numbered(count: int = 1) -> Threads:
    """Every byte of r10 to r29 differs from its neighbours."""
    threads = started(count)
    for thread in range(count):
        threads.grf[Type.UW][thread, 160:480] = np.arange(320) + 1000 * thread
    return threads


@pytest.mark.parametrize(
    "region",
    [
        Region(8, 8, 1),
        Region(0, 1, 0),
        Region(4, 4, 1),
        Region(2, 1, 0),
        Region(4, 1, 0),
        Region(16, 8, 2),
        Region(8, 4, 2),
        Region(8, 2, 4),
        Region(1, 1, 0),
        Region(0, 4, 1),
        Region(1, 4, 0),
        Region(32, 8, 4),
        Region(2, 2, 1),
        Region(1, 2, 1),
        Region(1, 8, 1),
    ],
    ids=str,
)
def test_regions(region: Region) -> None:
    for width in (1, 2, 4, 8, 16):
        threads = _numbered(2)
        _move(threads, to(60, Type.UW), grf(10, Type.UW, region, sub=3), width=width)
        for thread in range(2):
            wanted = []
            for channel in range(width):
                row, column = divmod(channel, region.width)
                element = 3 + row * (region.vertical or 0) + column * region.horizontal
                wanted.append(element + 1000 * thread)
            assert threads.grf[Type.UW][thread, 960 : 960 + width].tolist() == wanted


def test_a_strided_destination_keeps_what_lies_between() -> None:
    threads = _numbered()
    threads.grf[Type.UB][0, 1920:2048] = 0xAA
    _move(threads, to(60, Type.UB, stride=4, sub=1), grf(10, Type.UW))
    found = threads.grf[Type.UB][0, 1920:1952].tolist()
    assert found == [n // 4 if n % 4 == 1 else 0xAA for n in range(32)]


def test_source_and_destination_may_overlap() -> None:
    threads = _numbered()
    _move(threads, to(10, Type.UW, sub=1), grf(10, Type.UW), width=16)
    assert threads.grf[Type.UW][0, 161:177].tolist() == list(range(16))


def test_threads_that_are_not_there_stay_as_they_are() -> None:
    threads = _numbered(4)
    what = instruction(
        Opcode.ADD, destination=to(60, Type.UW), sources=(grf(10, Type.UW), grf(11, Type.UW))
    )
    rows = np.array([1, 3])
    prepare(what, Surroundings())(threads, rows, NumpyOps())
    got = threads.grf[Type.UW][:, 960:968]
    assert got[[0, 2]].any() == 0
    assert got[3].tolist() == [2 * n + 16 + 6000 for n in range(8)]
    odd = grf(10, Type.UW, Region(1, 4, 0))
    what = instruction(Opcode.MOV, destination=to(60, Type.UW, stride=2), sources=(odd,))
    prepare(what, Surroundings())(threads, rows, NumpyOps())
    assert threads.grf[Type.UW][1, 960:976:2].tolist() == [1000] * 4 + [1001] * 4


# Indirection


def test_one_address_for_a_region() -> None:
    threads = _numbered(2)
    threads.blocks["a0"][:, 3] = [320 + 64, 320 + 6]
    source = IndirectSource(3, -2, Type.UW, Region(8, 8, 1))
    _move(threads, to(60, Type.UW), source)
    assert threads.grf[Type.UW][0, 960:968].tolist() == list(range(31, 39))
    assert threads.grf[Type.UW][1, 960:968].tolist() == list(range(1002, 1010))


def test_an_address_for_each_channel() -> None:
    threads = _numbered()
    lanes = [7, 0, 3, 3, 15, 9, 1, 4]
    threads.blocks["a0"][0, :8] = [320 + 2 * lane for lane in lanes]
    _move(threads, to(60, Type.UW), IndirectSource(0, 0, Type.UW, Region(None, 1, 0)))
    assert threads.grf[Type.UW][0, 960:968].tolist() == lanes
    rows = IndirectSource(0, 0, Type.UW, Region(None, 4, 1))
    _move(threads, to(60, Type.UW), rows)
    assert threads.grf[Type.UW][0, 960:968].tolist() == [7, 8, 9, 10, 0, 1, 2, 3]


def test_addresses_wrap_within_the_registers() -> None:
    threads = started(1)
    threads.grf[Type.UB][0, 4095] = 0x12
    threads.grf[Type.UB][0, 0] = 0x34
    for address in (4095, 8191, 0xFFFF):
        threads.blocks["a0"][0, 0] = address
        source = IndirectSource(0, 0, Type.UW, Region(0, 1, 0))
        _move(threads, to(60, Type.UW), source, width=1)
        assert threads.grf[Type.UW][0, 960] == 0x3412
        _move(threads, IndirectDestination(0, 0, Type.UW, 1), Immediate(Type.UW, 0x3412), width=1)
        assert threads.grf[Type.UB][0, 4095] == 0x12


def test_an_indirect_destination() -> None:
    threads = _numbered(2)
    threads.blocks["a0"][:, 1] = [1920, 2048]
    target = IndirectDestination(1, 4, Type.UW, 2)
    threads.flags[:] = 0b10110101
    _move(threads, target, grf(10, Type.UW), predicate=Predicate(1, False))
    for thread, first in ((0, 962), (1, 1026)):
        got = threads.grf[Type.UW][thread, first : first + 16 : 2].tolist()
        wanted = [n + 1000 * thread if 0b10110101 >> n & 1 else 0 for n in range(8)]
        assert got == wanted


# Align16


def test_swizzles_and_write_masks() -> None:
    threads = _numbered()
    threads.grf[Type.D][0, 80:96] = np.arange(16)
    source = Source(File.GRF, 320, Type.D, Region(4, 4, 1), swizzle=(3, 0, 0, 2))
    target = Destination(File.GRF, 1920, Type.D, 1, write_mask=0b0111)
    threads.grf[Type.D][0, 480:496] = -1
    _move(threads, target, source, align16=True)
    assert threads.grf[Type.D][0, 480:488].tolist() == [3, 0, 0, -1, 7, 4, 4, -1]


def test_swizzles_of_64_bits_count_elements() -> None:
    threads = started(1)
    threads.grf[Type.Q][0, 40:48] = np.arange(8)
    source = Source(File.GRF, 320, Type.Q, Region(4, 4, 1), swizzle=(1, 0, 3, 2))
    _move(threads, to(60, Type.Q), source, align16=True, width=8)
    assert threads.grf[Type.Q][0, 240:248].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


# Enabled channels


def test_channels_flags_and_masks_of_the_second_half() -> None:
    threads = started(1)
    threads.active[0, :16] = False
    threads.flags[0] = 0x0F0F_FFFF
    source = Immediate(Type.UW, 7)
    _move(threads, to(60, Type.UW), source, channel=16, width=16, predicate=Predicate(1, False))
    got = threads.grf[Type.UW][0, 960:976].tolist()
    assert got == [7 if n % 8 < 4 else 0 for n in range(16)]
    compared = instruction(
        Opcode.CMP,
        destination=NULL,
        sources=(grf(60, Type.UW), Immediate(Type.UW, 7)),
        condition=Condition.EQUAL,
        channel=16,
        width=16,
        flag=32,
    )
    execute(threads, compared)
    assert int(threads.flags[0]) == 0x0F0F_FFFF | 0x0F0F << 48


def test_inactive_channels_keep_destination_and_flags() -> None:
    threads = started(1)
    threads.active[0] = [n % 2 == 0 for n in range(32)]
    threads.flags[0] = 0xFF
    source = Operandum(Type.D, [1, 2, 3, 4, 5, 6, 7, 8])
    found = operate(Opcode.ADD, Type.D, source, source, threads=threads, condition=Condition.EQUAL)
    assert found.list() == [2, 0, 6, 0, 10, 0, 14, 0]
    assert int(threads.flags[0]) == 0xAA
    found = operate(Opcode.ADD, Type.D, source, source, threads=threads, no_mask=True)
    assert found.list() == [2, 4, 6, 8, 10, 12, 14, 16]


def test_selection_by_predicate_writes_all_active_channels() -> None:
    threads = started(1)
    threads.flags[0] = 0b0110
    source = Operandum(Type.F, [1.0] * 8), Operandum(Type.F, [2.0] * 8)
    found = operate(Opcode.SEL, Type.F, *source, threads=threads, predicate=Predicate(1, False))
    assert found.list() == [2.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    found = operate(Opcode.SEL, Type.F, *source, threads=threads, predicate=Predicate(1, True))
    assert found.list() == [1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("inverse", [False, True])
def test_predicates_of_groups(inverse: bool) -> None:
    random = np.random.default_rng(3)
    for control, (size, every) in {
        4: (2, False),
        5: (2, True),
        6: (4, False),
        7: (4, True),
        8: (8, False),
        9: (8, True),
        10: (16, False),
        11: (16, True),
        12: (32, False),
        13: (32, True),
    }.items():
        for flag in (0, 32):
            for bits in (0, 0xFFFFFFFF, *(int(x) for x in random.integers(0, 1 << 32, 6))):
                threads = started(1)
                threads.flags[0] = bits << flag
                what = Predicate(control, inverse)
                source = Immediate(Type.UW, 1)
                _move(threads, to(60, Type.UW), source, width=32, flag=flag, predicate=what)
                wanted = []
                for channel in range(32):
                    group = bits >> channel // size * size & ((1 << size) - 1)
                    holds = group == (1 << size) - 1 if every else group != 0
                    wanted.append(int(holds != inverse))
                assert threads.grf[Type.UW][0, 960:992].tolist() == wanted


def test_predicates_of_both_flag_registers() -> None:
    threads = started(1)
    threads.flags[0] = 0b0011 | 0b0101 << 32
    for control, wanted in ((2, [1, 1, 1, 0]), (3, [1, 0, 0, 0])):
        threads.grf[Type.UW][:] = 0
        source = Immediate(Type.UW, 1)
        _move(threads, to(60, Type.UW), source, width=4, predicate=Predicate(control, False))
        assert threads.grf[Type.UW][0, 960:964].tolist() == wanted


def test_predicates_of_align16() -> None:
    threads = started(1)
    threads.flags[0] = 0b0100_1111
    for control, wanted in (
        (2, [1, 1, 1, 1, 0, 0, 0, 0]),
        (4, [1, 1, 1, 1, 1, 1, 1, 1]),
        (6, [1] * 8),
        (7, [1, 1, 1, 1, 0, 0, 0, 0]),
    ):
        threads.grf[Type.UW][:] = 0
        target = Destination(File.GRF, 1920, Type.UW, 1)
        source = Immediate(Type.UW, 1)
        _move(threads, target, source, align16=True, predicate=Predicate(control, False))
        assert threads.grf[Type.UW][0, 960:968].tolist() == wanted
    with pytest.raises(IllegalOperation):
        _move(threads, target, source, align16=True, predicate=Predicate(12, False))
    with pytest.raises(IllegalOperation):
        _move(threads, target, source, predicate=Predicate(15, False))


# Architecture registers


def _arf(number: int, kind: Type, sub: int = 0, region: Region = SCALAR) -> Source:
    return Source(File.ARF, 32 * number + sub * kind.size, kind, region)


def _to_arf(number: int, kind: Type, sub: int = 0) -> Destination:
    return Destination(File.ARF, 32 * number + sub * kind.size, kind, 1)


def test_flags_as_numbers() -> None:
    threads = started(1)
    _move(threads, _to_arf(0x30, Type.UD), Immediate(Type.UD, 0x12345678), width=1)
    _move(threads, _to_arf(0x31, Type.UW, 1), Immediate(Type.UW, 0xABCD), width=1)
    assert int(threads.flags[0]) == 0xABCD_0000_1234_5678
    _move(threads, to(60, Type.UW), _arf(0x30, Type.UW, 1), width=1)
    assert threads.grf[Type.UW][0, 960] == 0x1234


def test_address_control_and_notification_registers() -> None:
    threads = started(1)
    _move(threads, _to_arf(0x10, Type.UW, 4), Immediate(Type.UW, 99), width=8)
    assert threads.blocks["a0"][0].tolist() == [0] * 4 + [99] * 8 + [0] * 4
    control = instruction(
        Opcode.OR,
        destination=_to_arf(0x80, Type.UD),
        sources=(_arf(0x80, Type.UD), Immediate(Type.UD, 0x4C0)),
        width=1,
        no_mask=True,
    )
    execute(threads, control)
    assert threads.blocks["cr0"][0, 0] == 0x4C0
    _move(threads, _to_arf(0x90, Type.UD), Immediate(Type.UD, 5), width=1)
    assert threads.blocks["n0"][0, 0] == 5


def test_registers_that_are_computed() -> None:
    threads = started(2)
    threads.active[1, 5:] = False
    _move(threads, to(60, Type.UD), _arf(0x40, Type.UD), width=1)
    assert threads.grf[Type.UD][:, 480].tolist() == [0xFFFFFFFF, 0x1F]
    _move(threads, to(60, Type.UD), _arf(0xA0, Type.UD), width=1, offset=0x80)
    assert threads.grf[Type.UD][0, 480] == 0x4080
    what = instruction(
        Opcode.MOV,
        destination=to(60, Type.UD),
        sources=(_arf(0xC0, Type.UD, region=Region(2, 2, 1)),),
        width=2,
    )
    prepare(what, Surroundings(clock=lambda: 0x1_2345_6789))(threads, ALL, NumpyOps())
    assert threads.grf[Type.UD][0, 480:482].tolist() == [0x23456789, 1]
    _move(threads, to(60, Type.UD), _arf(0x00, Type.UD), width=8)
    assert threads.grf[Type.UD][0, 480:488].tolist() == [0] * 8


def test_registers_that_take_no_writes() -> None:
    threads = started(1)
    before = threads.bytes.copy()
    for number in (0x00, 0x40, 0x70, 0xC0):
        _move(threads, _to_arf(number, Type.UD), Immediate(Type.UD, 1), width=1)
    assert (threads.bytes == before).all()
    with pytest.raises(IllegalOperation, match="ip"):
        _move(threads, _to_arf(0xA0, Type.UD), Immediate(Type.UD, 1), width=1)


def test_accumulators_as_operands() -> None:
    threads = _numbered()
    threads.grf[Type.F][0, 80:96] = np.arange(16)
    _move(threads, _to_arf(0x20, Type.F), grf(10, Type.F), width=16)
    _move(threads, to(60, Type.F), _arf(0x21, Type.F, region=Region(8, 8, 1)))
    assert threads.grf[Type.F][0, 480:488].tolist() == list(range(8, 16))
    _move(threads, _to_arf(0x20, Type.D), Immediate(Type.D, 0xFFFFFFFE), width=8)
    assert threads.blocks["acc_high"][0, :8].tolist() == [-1] * 8
    _move(threads, to(60, Type.D), _arf(0x20, Type.D, region=Region(8, 8, 1)))
    assert threads.grf[Type.D][0, 480:488].tolist() == [-2] * 8


def test_floats_of_the_second_half_have_an_accumulator_of_their_own() -> None:
    threads = started(1)
    for channel, value in ((0, 1.0), (8, 2.0)):
        source = Operandum(Type.F, [value] * 8)
        operate(
            Opcode.MUL,
            Type.F,
            source,
            source,
            threads=threads,
            channel=channel,
            write_accumulator=True,
        )
    acc = threads.blocks["acc"][0, :64].copy().view(np.float32)
    assert acc.tolist() == [1.0] * 8 + [4.0] * 8


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        (to(127, Type.D, sub=4), Immediate(Type.D, 0)),
        (to(60, Type.D), grf(127, Type.D, sub=4)),
        (to(60, Type.D), Source(File.GRF, 321, Type.D, Region(8, 8, 1))),
        (Destination(File.GRF, 1921, Type.D, 1), Immediate(Type.D, 0)),
        (to(60, Type.D), _arf(0x90, Type.D, sub=4, region=Region(8, 8, 1))),
        (_to_arf(0x31, Type.UD), grf(10, Type.UD)),
    ],
)
def test_operands_beyond_the_registers_are_refused(destination: object, source: object) -> None:
    with pytest.raises(IllegalOperation):
        _move(started(1), destination, source, width=8)


def test_a_selection_of_integers_as_floats_leaves_the_accumulator_alone() -> None:
    threads = started(1)
    threads.blocks["acc"] = 0x55
    source = Operandum(Type.W, [1, 2, 3]), Operandum(Type.W, [4, 5, 6])
    found = operate(Opcode.SEL, Type.DF, *source, threads=threads, write_accumulator=True)
    assert found.list() == [1.0, 2.0, 3.0]
    assert (threads.blocks["acc"] == 0x55).all()
