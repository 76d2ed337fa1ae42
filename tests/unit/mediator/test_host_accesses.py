"""The register accesses by which the mediator drives the hardware, one by one and in order.

As Linux i915 makes them on Gen9 (gt/intel_engine_cs.c, gt/intel_reset.c, gt/intel_gt_irq.c). The
software GPU forgives an access too few; hardware need not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mediator.gen9.engines import ENGINES
from mediator.gen9.identity import KABY_LAKE_GT2, Identity
from mediator.physical.compute_work import ComputeWork
from mediator.physical.gpu import DmaSpace
from mediator.physical.host import HostGpu
from mediator.physical.soft import SoftDmaSpace

ALL = 0xFFFF_FFFF
BANKS = (0x44300, 0x44310, 0x44320, 0x44330, 0x44440, 0x44460, 0x444E0, 0xC4000)
MASTER, IMR, IIR, IER = 0x44200, 4, 8, 12
BASES = {"rcs0": 0x2000, "bcs0": 0x22000, "vcs0": 0x12000, "vecs0": 0x1A000}
RESET_BITS = {"rcs0": 2, "bcs0": 8, "vcs0": 4, "vecs0": 16}
SHIFTS = {"rcs0": 0, "bcs0": 16, "vcs0": 0, "vecs0": 0}

Access = tuple[str, int, int]


class Recorder:
    """Registers that hold what a test puts there, and a list of what was done to them."""

    identity: Identity = KABY_LAKE_GT2

    def __init__(self) -> None:
        self.interrupt_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.values: dict[int, int] = {}
        self.done: list[Access] = []
        self.entries: list[tuple[int, bytes]] = []

    def read32(self, offset: int) -> int:
        self.done.append(("read", offset, 0))
        return self.values.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        self.done.append(("write", offset, value))

    def write_ggtt(self, page: int, entries: bytes | bytearray | memoryview) -> None:
        self.entries.append((page, bytes(entries)))

    def create_space(self) -> DmaSpace:
        return SoftDmaSpace()

    @property
    def compute_work(self) -> ComputeWork:
        return ComputeWork()

    def attach_space(self, space: DmaSpace) -> None:
        self.done.append(("attach", 0, 0))

    def reset(self) -> None:
        self.done.append(("reset", 0, 0))

    def close(self) -> None:
        os.close(self.interrupt_fd)

    def take(self) -> list[Access]:
        done, self.done = self.done, []
        return done


@pytest.fixture
def gpu() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.close()


@pytest.fixture
def host(gpu: Recorder) -> Iterator[HostGpu]:
    made = HostGpu(gpu)
    yield made
    made.close()


def writes(*pairs: tuple[int, int]) -> list[Access]:
    return [("write", offset, value) for offset, value in pairs]


def initialised(name: str, status: int) -> list[Access]:
    base = BASES[name]
    return [
        *writes(
            (base + 0x3A0, 0xFFFF_0505),  # both pointers of the status buffer
            (base + 0x98, ALL),
            (base + 0x29C, 0x8000_8000),  # execution lists
            (base + 0x9C, 0x0100_0000),  # the ring goes on
            (base + 0x80, status),
            (base + 0xB4, ALL),
            (base + 0xB0, ALL),
            (base + 0xB4, ALL - 1),
            (base + 0xA8, ALL & ~(0x108 << SHIFTS[name])),
        ),
        ("read", base + 0x80, 0),
    ]


@pytest.mark.parametrize("name", BASES)
def test_an_engine_is_initialised(gpu: Recorder, host: HostGpu, name: str) -> None:
    engine = host.engines[name]
    engine.initialise()
    assert gpu.take() == initialised(name, engine._status_address)


@pytest.mark.parametrize("name", BASES)
def test_a_list_is_submitted(gpu: Recorder, host: HostGpu, name: str) -> None:
    port = BASES[name] + 0x230
    host.engines[name].submit(0x1122_3344_5566_7788, 0x99AA_BBCC_DDEE_FF00)
    assert gpu.take() == writes(
        (port, 0x99AA_BBCC), (port, 0xDDEE_FF00), (port, 0x1122_3344), (port, 0x5566_7788)
    )
    host.engines[name].submit(5 << 32 | 1)
    assert gpu.take() == writes((port, 0), (port, 0), (port, 5), (port, 1))


def _stand(gpu: Recorder, base: int) -> None:
    gpu.values |= {base + 0x9C: 1 << 9, base + 0xD0: 1 << 1}


@pytest.mark.parametrize("name", BASES)
def test_a_ring_is_stopped_and_resumed(gpu: Recorder, host: HostGpu, name: str) -> None:
    engine, base = host.engines[name], BASES[name]
    _stand(gpu, base)
    assert engine.stop()
    assert gpu.take() == [*writes((base + 0x9C, 0x0100_0100)), ("read", base + 0x9C, 0)]
    engine.resume()
    assert gpu.take() == writes((base + 0x9C, 0x0100_0000))


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("fault", ["none", "own", "other"])
def test_an_engine_is_reset(gpu: Recorder, host: HostGpu, name: str, fault: str) -> None:
    engine, base = host.engines[name], BASES[name]
    _stand(gpu, base)
    own = engine.facts.fault_id
    gpu.values[0x4094] = {"none": own << 12, "own": own << 12 | 1, "other": (own ^ 1) << 12 | 1}[
        fault
    ]
    assert engine.reset()
    once: list[Access] = [("write", 0x941C, RESET_BITS[name]), ("read", 0x941C, 0)]
    assert gpu.take() == [
        ("write", base + 0x9C, 0x0100_0100),
        ("read", base + 0x9C, 0),
        ("read", base + 0xD0, 0),
        ("write", base + 0xD0, 0x0001_0001),
        ("read", base + 0xD0, 0),
        *(2 * once),
        ("write", base + 0xD0, 0x0001_0000),
        ("read", 0x4094, 0),
        *(writes((0x4094, 0)) if fault == "own" else []),
        *initialised(name, engine._status_address),
    ]


def test_a_catastrophic_error_is_cleared_before_a_reset(gpu: Recorder, host: HostGpu) -> None:
    engine, base = host.engines["rcs0"], BASES["rcs0"]
    _stand(gpu, base)
    gpu.values[base + 0xD0] = 1 << 2
    real = gpu.write32

    def clear(offset: int, value: int) -> None:
        real(offset, value)
        if (offset, value) == (base + 0xD0, 0x0004_0004):
            gpu.values[base + 0xD0] = 0

    gpu.write32 = clear  # type: ignore[method-assign]
    engine._write32 = clear
    assert engine.reset()
    done = gpu.take()
    at = done.index(("write", base + 0xD0, 0x0004_0004))
    assert ("write", base + 0xD0, 0x0001_0001) not in done
    assert done[at + 1] == ("read", base + 0xD0, 0)


@pytest.mark.parametrize("name", BASES)
def test_an_engine_that_hangs_says_so(gpu: Recorder, host: HostGpu, name: str) -> None:
    engine, base = host.engines[name], BASES[name]
    own = engine.facts.fault_id
    assert not engine.hung()
    assert gpu.take() == [("read", base + 0xB0, 0), ("read", 0x4094, 0)]
    for offset, value, hangs in (
        (base + 0xB0, 1, True),
        (base + 0xB0, 2, False),
        (0x4094, own << 12 | 1, True),
        (0x4094, own << 12, False),
        (0x4094, (own ^ 4) << 12 | 1, False),
    ):
        gpu.values = {offset: value}
        assert engine.hung() is hangs, (hex(offset), value)


def test_the_mask_is_written_when_it_is_another(gpu: Recorder, host: HostGpu) -> None:
    engine = host.engines["bcs0"]
    open_events = 0x108 << 16
    engine.set_user_mask(ALL)
    assert gpu.take() == []
    engine.set_user_mask(0)
    assert gpu.take() == writes((0x22000 + 0xA8, 0))
    engine.set_user_mask(open_events)
    assert gpu.take() == []
    engine.set_user_mask(5 | open_events)
    assert gpu.take() == writes((0x22000 + 0xA8, 5))


# -- the GPU as a whole ----------------------------------------------------------------------------


def _without_engines(host: HostGpu) -> None:
    for engine in host.engines.values():
        engine.require_reset = lambda e=engine: host.gpu.done.append(  # type: ignore
            ("engine reset", e.facts.mmio_base, 0)
        )
        engine.record_golden = lambda e=engine: host.gpu.done.append(  # type: ignore
            ("golden", e.facts.mmio_base, 0)
        )


CLOSED = writes(
    (MASTER, 0),
    *(
        access
        for bank in BANKS
        for access in ((bank + IMR, ALL), (bank + IER, 0), (bank + IIR, ALL), (bank + IIR, ALL))
    ),
)
EVENTS = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 11
BOTH = EVENTS << 16 | EVENTS
OPENED: list[Access] = [
    *writes(
        (0x44300 + IER, BOTH),
        (0x44300 + IMR, ALL & ~BOTH),
        (0x44310 + IER, EVENTS),
        (0x44310 + IMR, ALL & ~EVENTS),
        (0x44330 + IER, EVENTS),
        (0x44330 + IMR, ALL & ~EVENTS),
        (MASTER, 1 << 31),
    ),
    ("read", MASTER, 0),
]


def test_the_gpu_is_brought_up(gpu: Recorder, host: HostGpu) -> None:
    gpu.values |= {0x0D84: 1, 0x0D88: 1, 0x130044: 1}
    _without_engines(host)
    host.slab.bytes[:4] = b"\xff" * 4
    space = gpu.create_space()
    host.initialise(space)
    ratio = KABY_LAKE_GT2.maximum_mhz // 50 * 3
    engines = [
        each
        for facts in ENGINES
        for each in (("engine reset", facts.mmio_base, 0), ("golden", facts.mmio_base, 0))
    ]
    assert gpu.take() == [
        ("attach", 0, 0),
        ("reset", 0, 0),
        ("write", 0x101008, 1),
        *(("write", 0xA278, 0x0001_0001), ("read", 0x0D84, 0)),
        *(("write", 0xA188, 0x0001_0001), ("read", 0x130044, 0)),
        *(("write", 0xA270, 0x0001_0001), ("read", 0x0D88, 0)),
        ("write", 0xA008, ratio << 23),
        *CLOSED,
        *engines,
        *OPENED,
    ]
    assert gpu.entries == [(host.slab.ggtt // 4096, bytes(host.slab.entries()))]
    assert host.slab.bytes[:4] == bytes(4)
    space.close()


@pytest.mark.parametrize(
    ("status", "latched", "events"),
    [
        (0, {}, {}),
        (1 << 0, {0x44308: 0x0101_0100}, {"rcs0": 0x100, "bcs0": 0x101}),
        (1 << 1, {0x44308: 0x0800_0000}, {"bcs0": 0x800}),
        (1 << 2, {0x44318: 0x8001}, {"vcs0": 0x8001}),
        (1 << 6, {0x44338: 0x1_0001}, {"vecs0": 1}),
        (1 << 6 | 1 << 2, {0x44338: 2, 0x44318: 4, 0x44308: 8}, {"vecs0": 2, "vcs0": 4}),
        (1 << 4 | 1 << 30, {0x44308: 8, 0x44328: 1}, {}),
    ],
)
def test_interrupts_are_taken(
    gpu: Recorder, host: HostGpu, status: int, latched: dict[int, int], events: dict[str, int]
) -> None:
    os.eventfd_write(gpu.interrupt_fd, 3)
    gpu.values = latched | {MASTER: status}
    assert host.take_interrupts() == events
    done = gpu.take()
    sources = {0x44308: 0b11, 0x44318: 0b1100, 0x44338: 1 << 6}
    looked = [iir for iir, bits in sources.items() if status & bits]
    assert done[:2] == [("write", MASTER, 0), ("read", MASTER, 0)]
    assert done[-1] == ("write", MASTER, 1 << 31)
    assert done[2:-1] == [
        each for iir in looked for each in (("read", iir, 0), ("write", iir, latched.get(iir, 0)))
    ]
    with pytest.raises(BlockingIOError):
        os.eventfd_read(gpu.interrupt_fd)


def test_frequencies(gpu: Recorder, host: HostGpu) -> None:
    assert host.requested_mhz == 1150.0
    for ratio, mhz in ((0, 0), (69, 1150), (21, 350), (1, 50 / 3)):
        gpu.values[0xA01C] = ratio << 23 | 0x7F_FFFF
        assert host.frequency_mhz == pytest.approx(mhz)


def test_pages_of_the_engines_follow_each_other(host: HostGpu) -> None:
    """Status page, ring, context: 24 pages of the render engine, 4 of the others."""
    starts = [host.engines[name]._status_address - host.slab.ggtt for name in BASES]
    assert starts == [0, 24 * 4096, 28 * 4096, 32 * 4096]
    assert host.slab.size == 36 * 4096
    for engine in host.engines.values():
        assert engine._ring_address == engine._status_address + 4096
        assert engine._descriptor == (
            0xF_FFFF << 32 | engine._status_address + 8192 | 1 | 4 | 1 << 8 | 3 << 3
        )


def test_private_pages_are_those_behind_the_register_state_page(host: HostGpu) -> None:
    for name, pages in (("rcs0", 20), ("bcs0", 0), ("vcs0", 0), ("vecs0", 0)):
        engine = host.engines[name]
        start = engine._status_address - host.slab.ggtt + 4 * 4096
        assert len(engine._private) == pages * 4096
        if pages:
            host.slab.bytes[start], host.slab.bytes[start + pages * 4096 - 1] = 7, 9
            assert (engine._private[0], engine._private[-1]) == (7, 9)


@pytest.mark.parametrize(("pointer", "index", "seen"), [(0, 5, 1), (5, 5, 0), (1, 4, 3), (4, 0, 4)])
def test_status_entries_are_taken_in_order(
    host: HostGpu, pointer: int, index: int, seen: int
) -> None:
    engine = host.engines["vcs0"]
    for number in range(6):
        engine._status[16 + 2 * number] = 100 + number
        engine._status[17 + 2 * number] = 200 + number
    engine._status[0x7C // 4] = pointer
    engine._read_index = index
    order = [(index + 1 + n) % 6 for n in range(seen)]
    assert engine.events() == [(100 + n, 200 + n) for n in order]
    assert engine.events() == []
    engine._status[0x7C // 4] = 6
    assert engine.events() == []
    assert engine.hung()
    engine._forget_events()
    assert engine._status[0x7C // 4] == engine._read_index == 5
