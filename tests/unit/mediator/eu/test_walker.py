"""What GPGPU_WALKER and MEDIA_OBJECT ask for, by the state that came before them."""

from __future__ import annotations

import struct

import pytest

from mediator.gen9.eu.payload import Order
from mediator.softgpu.eu.dispatch.job import KernelJob
from mediator.softgpu.eu.dispatch.media_state import Base, Descriptor
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import ABSENT, CommandBench
from tests.unit.mediator.command_bench import make_bench as make_command_bench
from tests.unit.mediator.eu import media_commands as mc
from tests.unit.mediator.eu.fake_kernels import FakeKernels
from tests.unit.mediator.soft_gpu_fixture import Clock

DYNAMIC, INDIRECT = 0x50000, 0x60000
KERNEL_BASE = 0x70000
DISPATCH = (0x2500, 0x2504, 0x2508)
PREDICATE_RESULT = 0x2418
INVOCATIONS = 0x2290


class WalkerBench:
    """A render command streamer with fake programs."""

    def __init__(self) -> None:
        self.commands: CommandBench = make_command_bench("RCS")
        self.kernels = FakeKernels()
        self.clock = Clock()
        self.commands.host.units = ExecutionUnits(self.kernels, now=self.clock)

    def put(self, address: int, data: bytes) -> None:
        self.commands.memory.write(address, data)

    def run(self, *commands: list[int]) -> Stop:
        return self.commands.batch([dword for command in commands for dword in command])

    def prepare(self, data: bytes = b"", constants: bytes = b"") -> Stop:
        """Bases, front end, one descriptor, constants."""
        self.put(DYNAMIC + 0x40, data or mc.descriptor())
        self.put(DYNAMIC + 0x400, constants)
        return self.run(
            mc.base_address(dynamic=DYNAMIC, indirect=INDIRECT, instruction=KERNEL_BASE),
            mc.front_end(scratch=0x4000, scratch_code=2),
            mc.descriptor_load(0x40, max(32, len(data))),
            *([mc.curbe_load(0x400, len(constants))] if constants else []),
        )

    @property
    def job(self) -> KernelJob:
        [job] = self.kernels.jobs
        return job

    @property
    def reason(self) -> str:
        [hang] = self.commands.host.hangs
        return hang.reason


@pytest.fixture
def bench() -> WalkerBench:
    return WalkerBench()


def test_a_walker_starts_what_the_state_says(bench: WalkerBench) -> None:
    data = mc.descriptor(
        kernel=0x1_0000_0340,
        threads=6,
        own=2,
        shared=3,
        slm_code=3,
        barrier=True,
        samplers=0x120 | 4,
        table=0x60 | 3,
        flags=1 << 16 | 1 << 19,
        rounding=3,
    )
    assert bench.prepare(data, bytes(range(256))) is Stop.RING_EMPTY
    walk = mc.walker(
        (4, 3, 2), simd_code=0, width=3, height=2, right=0x7, bottom=0xF, start=(1, 2, 1)
    )
    assert bench.run(walk) is Stop.RING_EMPTY
    job = bench.job
    assert job.kernel == KERNEL_BASE + 0x1_0000_0340
    assert job.descriptor == Descriptor(
        kernel=0x1_0000_0340,
        alternate_float=True,
        single_program_flow=False,
        keeps_denormals=True,
        rounding=3,
        samplers=0x120,
        binding_table=0x60,
        constant_offset=0,
        own_length=2,
        shared_length=3,
        threads=6,
        slm_bytes=4096,
        barrier=True,
    )
    assert job.bases.dynamic == Base(DYNAMIC, 0xFFFFF000)
    assert (job.front_end.scratch_base, job.front_end.scratch_bytes) == (0x4000, 4096)
    assert job.front_end.threads == 168
    assert (job.shape.simd, job.shape.width, job.shape.height, job.shape.depth) == (8, 3, 2, 1)
    assert (job.shape.right, job.shape.bottom) == (7, 15)
    assert (job.constants.shared, job.constants.own) == (3, 2)
    assert job.constants.order is Order.SHARED_FIRST
    assert job.constants.data == bytes(range(256))
    assert bench.kernels.ended == [(x, 2, 1) for x in (1, 2, 3)]


def test_rows_and_planes_begin_at_the_start(bench: WalkerBench) -> None:
    bench.prepare()
    bench.run(mc.walker((4, 3, 3), start=(2, 1, 1)))
    expected = [(x, y, z) for z in (1, 2) for y in (1, 2) for x in (2, 3)]
    assert bench.kernels.ended == expected


@pytest.mark.parametrize("groups", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_no_groups_are_no_work(bench: WalkerBench, groups: tuple[int, int, int]) -> None:
    bench.prepare()
    assert bench.run(mc.walker(groups)) is Stop.RING_EMPTY
    assert bench.kernels.begun == []


def test_constants_are_read_when_they_are_loaded(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(own=1), b"\x11" * 32)
    bench.put(DYNAMIC + 0x40, bytes(32))
    bench.put(DYNAMIC + 0x400, b"\x22" * 32)
    bench.run(mc.walker((1, 1, 1)))
    assert bench.job.constants.data == b"\x11" * 32
    assert bench.job.descriptor.own_length == 1


def test_state_is_kept_from_one_batch_to_the_next(bench: WalkerBench) -> None:
    """A base that a command does not change stays, as do its neighbours."""
    bench.prepare(mc.descriptor(kernel=0x80))
    bench.run(mc.base_address(surface=0x1_2345_6000, size=None))
    bench.run(mc.walker((1, 1, 1)))
    assert bench.job.bases.surface.address == 0x1_2345_6000
    assert bench.job.bases.instruction == Base(KERNEL_BASE, 0xFFFFF000)
    assert bench.job.kernel == KERNEL_BASE + 0x80


def test_constants_that_were_not_loaded_are_zero(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(own=2, offset=1), b"\x11" * 64)
    bench.run(mc.walker((1, 1, 1)))
    assert bench.job.constants.data == b"\x11" * 32


def test_indirect_data_is_read_by_the_walker(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(own=1, shared=2), b"\x11" * 32)
    bench.put(INDIRECT + 0x80, bytes(range(96)))
    bench.run(mc.walker((1, 1, 1), indirect=(0x80, 96)))
    assert bench.job.constants.data == bytes(range(96))
    assert bench.job.constants.order is Order.OWN_FIRST


def test_dimensions_may_be_in_registers(bench: WalkerBench) -> None:
    bench.prepare()
    bench.commands.host.registers.update(zip(DISPATCH, (2, 1, 3), strict=True))
    bench.run(mc.walker((9, 9, 9), flags=1 << 10))
    assert bench.kernels.ended == [(x, 0, z) for z in range(3) for x in range(2)]


@pytest.mark.parametrize(("result", "runs"), [(0, False), (1, True), (2, False)])
def test_a_predicated_walker_looks_at_the_predicate(
    bench: WalkerBench, result: int, runs: bool
) -> None:
    bench.prepare()
    bench.commands.host.registers[PREDICATE_RESULT] = result
    assert bench.run(mc.walker((1, 1, 1), flags=1 << 8)) is Stop.RING_EMPTY
    assert bool(bench.kernels.jobs) is runs


def test_channels_that_were_dispatched_are_counted(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(threads=3))
    bench.commands.host.registers[INVOCATIONS] = 0xFFFF_FFFF
    bench.run(mc.walker((5, 1, 1), width=3, right=0x0F))
    registers = bench.commands.host.registers
    assert registers[INVOCATIONS] | registers[INVOCATIONS + 4] << 32 == 0xFFFF_FFFF + 5 * 36


def test_a_media_object_is_one_thread(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(own=1), b"\x11" * 32)
    bench.put(INDIRECT + 0x40, b"\x33" * 40)
    bench.run(mc.media_object([7, 8], indirect=(0x40, 40)))
    job = bench.job
    inline = struct.pack("<2I", 7, 8).ljust(32, b"\0")
    expected = b"\x11" * 32 + inline + (b"\x33" * 40).ljust(64, b"\0")
    assert job.constants.data == expected
    assert (job.constants.shared, job.constants.own) == (0, 4)
    assert (job.shape.threads, job.grid.count, job.gpgpu) == (1, 1, False)
    assert bench.kernels.ended == [(0, 0, 0)]


@pytest.mark.parametrize(
    ("data", "command", "words"),
    [
        (mc.descriptor(), mc.walker((1, 1, 1), index=1), "descriptor 1 was not loaded"),
        (mc.descriptor(), mc.walker((1, 1, 1), index=63), "descriptor 63 was not loaded"),
        (mc.descriptor(), mc.walker((1, 1, 1), simd_code=3), "SIMD size code 3"),
        (mc.descriptor(threads=0), mc.walker((1, 1, 1)), "no threads"),
        (mc.descriptor(slm_code=8), mc.walker((1, 1, 1)), "SLM size code 8"),
        (mc.descriptor(slm_code=31), mc.walker((1, 1, 1)), "SLM size code 31"),
        (mc.descriptor(threads=65), mc.walker((1, 1, 1), width=13, height=5), "65 threads"),
        (mc.descriptor(), mc.walker((1, 1, 1), width=64, height=64, depth=64), "262144 threads"),
        (mc.descriptor(threads=2, barrier=True), mc.walker((1, 1, 1)), "walk in groups of 2"),
        (mc.descriptor(own=100, shared=28), mc.walker((1, 1, 1)), "128 registers of constants"),
        (mc.descriptor(own=0xFFFF), mc.walker((1, 1, 1)), "registers of constants"),
        (mc.descriptor(), [0x7105_0000, 0], "of 2 dwords"),
        (mc.descriptor(), [0x7100_0002, 0, 0, 0], "of 4 dwords"),
        (mc.descriptor(), mc.media_object([0] * 8 * 128), "128 registers"),
        (mc.descriptor(), [0x7001_0001, 0, 0], "loads nothing"),
        (mc.descriptor(), mc.curbe_load(0, 0x1FFFF), "65024 are the most"),
        (mc.descriptor(), mc.descriptor_load(0, 4096), "2048 are the most"),
    ],
)
def test_state_that_makes_no_sense_hangs(
    bench: WalkerBench, data: bytes, command: list[int], words: str
) -> None:
    assert bench.prepare(data) is Stop.RING_EMPTY
    assert bench.run(command) is Stop.HUNG
    assert words in bench.reason
    assert bench.kernels.begun == []
    assert bench.commands.host.counters.illegal == 1


def test_more_threads_than_the_front_end_allows_hang(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(threads=8))
    assert bench.run(mc.front_end(threads=4), mc.walker((1, 1, 1), width=8)) is Stop.HUNG
    assert "8 threads in a group, 4 allowed" in bench.reason


@pytest.mark.parametrize(
    "commands",
    [
        [mc.base_address(dynamic=ABSENT), mc.curbe_load(0, 64)],
        [mc.base_address(dynamic=ABSENT), mc.descriptor_load(0)],
        [mc.base_address(indirect=ABSENT), mc.walker((1, 1, 1), indirect=(0, 64))],
        [mc.base_address(indirect=ABSENT), mc.media_object(indirect=(0, 64))],
    ],
)
def test_state_that_cannot_be_read_is_a_page_fault(
    bench: WalkerBench, commands: list[list[int]]
) -> None:
    bench.prepare()
    assert bench.run(*commands) is Stop.HUNG
    [hang] = bench.commands.host.hangs
    assert hang.fault is not None
    assert hang.fault.address == ABSENT


def test_a_descriptor_may_be_any_of_those_loaded(bench: WalkerBench) -> None:
    table = b"".join(mc.descriptor(kernel=64 * n) for n in range(1, 65))
    bench.prepare(table)
    bench.run(mc.walker((1, 1, 1), index=63))
    assert bench.job.kernel == KERNEL_BASE + 64 * 64


def test_no_threads_in_a_work_around_batch(bench: WalkerBench) -> None:
    bench.prepare()
    bench.commands.context.workaround = True
    assert bench.run(mc.walker((1, 1, 1))) is Stop.HUNG
    assert "work-around" in bench.reason


ABSURD = (mc.ALL, mc.ALL, mc.ALL)


@pytest.mark.parametrize("flag", ["abandon", "attention"])
def test_an_absurd_walker_can_be_left_and_gone_on_with(bench: WalkerBench, flag: str) -> None:
    """2^96 groups: what is asked for while one runs is heard before many more do."""
    bench.prepare()
    bench.clock.tick = 100_000  # a slice has some forty groups

    def act(_group: object) -> None:
        if len(bench.kernels.begun) == 5:
            setattr(bench.commands.host, flag, True)

    bench.kernels.act = act
    stop = bench.run(mc.walker(ABSURD))
    for _ in range(10):
        if stop is not Stop.QUANTUM or bench.commands.host.abandon:
            break
        stop = bench.commands.again()
    assert stop in (Stop.ATTENTION, Stop.QUANTUM)
    done = len(bench.kernels.begun)
    setattr(bench.commands.host, flag, False)
    bench.kernels.act = lambda _group: None
    assert done < 100
    bench.commands.again()
    assert bench.kernels.begun[:done] == [(n, 0, 0) for n in range(done)]
    assert bench.kernels.begun[done] == (done, 0, 0), "none is left out, none runs twice"


def test_a_program_that_takes_several_slices_to_read(bench: WalkerBench) -> None:
    """Between two the engine looks at its lists; one that waits is not kept waiting."""
    bench.prepare()
    bench.kernels.unready = 3
    host = bench.commands.host
    assert bench.run(mc.walker((2, 1, 1))) is Stop.QUANTUM
    host.attention = True
    assert bench.commands.again() is Stop.ATTENTION
    assert bench.commands.context.interrupted is not None
    host.attention = False
    assert bench.commands.again() is Stop.QUANTUM
    assert bench.commands.again() is Stop.RING_EMPTY
    assert bench.kernels.begun == [(0, 0, 0), (1, 0, 0)]


def test_arbitration_off_keeps_a_walker_on(bench: WalkerBench) -> None:
    bench.prepare()
    bench.commands.host.attention = True
    bench.commands.context.arbitration = False
    assert bench.run(mc.walker((3, 1, 1))) is Stop.RING_EMPTY
    assert len(bench.kernels.ended) == 3


def test_a_context_that_stands_elsewhere_begins_anew(bench: WalkerBench) -> None:
    """As after a reset that takes the ring back: the walker is not gone on with."""
    bench.prepare()
    bench.kernels.rounds = lambda _group: 1
    head = bench.commands.context.ring.head
    assert bench.run(mc.walker((2, 1, 1))) is Stop.QUANTUM
    context = bench.commands.context
    assert context.interrupted is not None
    context.ring.head, context.batch.active = head, False
    bench.kernels.rounds = lambda _group: 0
    while bench.commands.again() is Stop.QUANTUM:
        pass
    assert bench.kernels.begun == [(0, 0, 0), (0, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize("what", [mc.walker((1, 1, 1)), mc.media_object()])
def test_what_starts_threads_uses_up_a_quantum(bench: WalkerBench, what: list[int]) -> None:
    """However few threads there are, it is more than a command: each is started once."""
    bench.prepare()
    assert bench.run(*[what] * 100) is Stop.QUANTUM
    runs = 1
    while bench.commands.again(quantum=512) is Stop.QUANTUM:
        runs += 1
        assert len(bench.kernels.jobs) <= 16 + 8 * runs
    assert len(bench.kernels.jobs) == 100
    assert bench.commands.host.hangs == []
