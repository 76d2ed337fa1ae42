"""Parts of the software GPU one by one: its door, interrupts, fences, late lists, dice."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.softgpu import hidden_state
from mediator.softgpu.answers import Answers
from mediator.softgpu.context_clock import ContextClock
from mediator.softgpu.fences import decode, runs
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.lateness import Lateness
from mediator.softgpu.register_image import RegisterImage
from mediator.softgpu.strictness import AT_OLD_TAIL, KIND, Strictness, strict
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.unit.mediator.soft_gpu_fixture import Bench, Clock, make_bench

MASTER, MASTER_ENABLE = 0x44200, 1 << 31
IMR, IIR, IER = 0x44304, 0x44308, 0x4430C
REGISTERS, ENTRIES = 2 << 20, 8 << 20
HWSTAM = 0x2098
PAGE = 4096


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def make_gpu(clock: Clock | None = None) -> SoftGpu:
    return SoftGpu(GuestMemory(), Interrupts((1, 1, 0, 0, 0)), clock=clock or Clock())


# -- the door ------------------------------------------------------------------------------------


def test_registers_end_where_they_end() -> None:
    """Behind them nothing, up to the GGTT's entries; an access lies in one of the three."""
    gpu = make_gpu()
    last = REGISTERS - 4
    gpu.write(HWSTAM, (5).to_bytes(4, "little"))
    before = gpu.registers.reads
    assert gpu.read(HWSTAM, 4) == (5).to_bytes(4, "little")
    assert gpu.read(last, 4) == bytes(4)
    assert gpu.registers.reads == before + 2
    for offset, count in ((last, 8), (REGISTERS, 4), (ENTRIES - 8, 8)):
        gpu.write(offset, b"\xff" * count)
        assert gpu.read(offset, count) == bytes(count)
    assert gpu.registers.reads == before + 2
    assert gpu.counters.ggtt_writes == 0
    gpu.write(ENTRIES, b"12345678")
    gpu.write(2 * ENTRIES - 8, b"abcdefgh")
    assert gpu.read(ENTRIES, 8) == b"12345678"
    assert gpu.read(2 * ENTRIES - 8, 8) == b"abcdefgh"
    assert gpu.ggtt.entry(0xF_FFFF) == int.from_bytes(b"abcdefgh", "little")
    assert gpu.counters.ggtt_writes == 2


@pytest.mark.parametrize("seconds", [0, 1, 3, 5726, 5727, 100_000])
def test_time_is_in_36_bits_of_12_mhz(seconds: int) -> None:
    clock = Clock(seconds * 10**9 + 84)
    gpu = make_gpu(clock)
    ticks = (seconds * 12_000_000 + 1) % (1 << 36)
    assert gpu.timestamp() == ticks
    for facts in ENGINES:
        assert gpu.read32(facts.mmio_base + 0x358) == ticks & 0xFFFF_FFFF
        assert gpu.read32(facts.mmio_base + 0x35C) == ticks >> 32


def test_engines_that_cannot_all_start_stop(bench: Bench) -> None:
    engines = list(bench.gpu.engines.values())

    def refuse() -> None:
        raise RuntimeError

    engines[2].start = refuse  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.gpu.start()
    assert all(engine._thread is None for engine in engines)


def test_what_is_known_of_memory_goes_with_a_stop(bench: Bench) -> None:
    address = bench.driver.ggtt_map(bench.driver.ram.allocate())
    bench.gpu.ggtt.page(address)
    assert bench.gpu.ggtt._pages
    bench.gpu.stop()
    assert not bench.gpu.ggtt._pages
    assert all(engine.abandon for engine in bench.gpu.engines.values())


def test_memory_is_not_switched_under_a_command(bench: Bench) -> None:
    engine = bench.gpu.engines["vecs0"]

    class Condition:
        """Of an engine whose command does not end."""

        looks = 0

        def wait_for(self, *_: object) -> bool:
            self.looks += 1
            return False

    engine._changed = condition = Condition()  # type: ignore[assignment]
    engine.executing = True
    assert engine.idle
    with pytest.raises(RuntimeError, match="vecs0: busy"):
        bench.gpu.attach_memory(GuestMemory())
    assert condition.looks > 1, "it was waited for"


# -- interrupts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_each_event_is_held_twice(seed: int) -> None:
    """Against a count of each: what is masked is lost, a third one too."""
    chance = random.Random(seed)
    gpu = make_gpu()
    counts: Counter[int] = Counter()
    masked, enabled, master, latched = 0xFFFF_FFFF, 0, 0, 0
    engines = {0: gpu.engines["rcs0"], 16: gpu.engines["bcs0"]}
    for engine in engines.values():
        gpu.write32(engine.mmio_base + 0xA8, 0)
    for _ in range(300):
        bits = chance.getrandbits(32) & chance.getrandbits(32)
        match chance.randrange(8):
            case 0:
                masked = bits & chance.getrandbits(32)
                gpu.write32(IMR, masked)
            case 1:
                enabled = bits
                gpu.write32(IER, enabled)
            case 2:
                master = MASTER_ENABLE * chance.randrange(2)
                gpu.write32(MASTER, master | 0x7FFF_FFFF)
            case 3 | 4:
                gpu.write32(IIR, bits)
                for bit in range(32):
                    if bits >> bit & 1 and counts[bit]:
                        counts[bit] -= 1
            case _:
                shift = chance.choice((0, 16))
                bit = chance.randrange(4)
                engines[shift].notify(bit)
                if not masked >> bit + shift & 1:
                    counts[bit + shift] = min(counts[bit + shift] + 1, 2)
                    latched += 1
        shown = sum(1 << bit for bit in range(32) if counts[bit])
        active = shown & enabled
        status = bool(active & 0xFFFF) | bool(active >> 16) << 1
        assert gpu.read32(IIR) == shown
        assert gpu.read32(MASTER) == master | status
        assert gpu.interrupts._level == bool(master and status)
        assert gpu.counters.interrupts == latched


def test_a_ring_masks_its_own_events() -> None:
    gpu = make_gpu()
    gpu.write32(IMR, 0)
    for name, shift in (("rcs0", 0), ("bcs0", 16)):
        engine = gpu.engines[name]
        for bit in range(12):
            gpu.write32(engine.mmio_base + 0xA8, 1 << bit + shift)
            engine.notify(bit)
            assert gpu.read32(IIR) == 0
            gpu.write32(engine.mmio_base + 0xA8, 0xFFFF_FFFF ^ 1 << bit + shift)
            engine.notify(bit)
            assert gpu.read32(IIR) == 1 << bit + shift
            gpu.write32(IIR, 1 << bit + shift)


# -- fences --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "fence"),
    [
        (0x1000_0001, 0x1000_0003, (0x1000_0000, 0x1000_1000, 512, False)),
        (0x1000_0003, 0x1000_0000, (0x1000_0000, 0x1000_1000, 128, True)),
        (0x1000_0003, 0x1000_0FFF, (0x1000_0000, 0x1000_1000, 1 << 19, True)),
        (0x1000_0FFF, 0x1FFF_F00B, (0x1000_0000, 0x2000_0000, 1536, True)),
        (0x1000_0002, 0x1000_0000, None),
        (0x1000_0001, 0x1000_0000, None),
        (0x1000_0001, 0x1000_0002, None),
        (0x1000_0001, 0x0FFF_F003, None),
        (0x1000_0001, 0x0FFF_E003, None),
    ],
)
def test_what_a_pair_of_registers_means(
    low: int, high: int, fence: tuple[int, int, int, bool] | None
) -> None:
    found = decode(low, high)
    assert (found and (found.start, found.end, found.pitch, found.tiled_y)) == fence


def test_an_access_through_fences_is_as_its_bytes_one_by_one(bench: Bench) -> None:
    """Before, in, between and behind them."""
    chance = random.Random(5)
    base = bench.driver.ggtt_map(bench.driver.ram.allocate(12), 12)
    bench.gpu.ggtt.write(base, chance.randbytes(12 * PAGE))
    for number, (page, count, pitch, tiled_y) in {3: (8, 2, 256, 1), 1: (2, 4, 1024, 0)}.items():
        start = base + page * PAGE
        for offset, value in (
            (8 * number + 4, start + (count - 1) * PAGE | pitch // 128 - 1),
            (8 * number, start | tiled_y << 1 | 1),
        ):
            bench.gpu.write32(0x10_0000 + offset, value)
    assert set(bench.gpu.fences) == {1, 3}
    for _ in range(60):
        at = chance.randrange(12 * PAGE)
        count = min(chance.choice((1, 16, 17, 700, 9000)), 12 * PAGE - at)
        pieces = list(runs(bench.gpu, base + at, count))
        assert sum(length for _, length in pieces) == count
        bytes_of = [address + n for address, length in pieces for n in range(length)]
        sample = chance.sample(range(count), min(count, 40))
        for n in sample:
            assert [(bytes_of[n], 1)] == list(runs(bench.gpu, base + at + n, 1))
    whole = bench.gpu.read_aperture(base, 12 * PAGE)
    assert Counter(whole) == Counter(bench.gpu.ggtt.read(base, 12 * PAGE))
    assert whole[: 2 * PAGE] == bench.gpu.ggtt.read(base, 2 * PAGE)
    bench.gpu.write_aperture(base + PAGE, whole[PAGE : 11 * PAGE][::-1])
    assert bench.gpu.read_aperture(base + PAGE, 10 * PAGE) == whole[PAGE : 11 * PAGE][::-1]


# -- what is late --------------------------------------------------------------------------------


def test_a_list_that_is_never_late() -> None:
    late = Lateness(None, "rcs0")
    assert not late.anywhere
    for busy in (False, True):
        late.submitted(busy=busy)
        assert (late.left, late.limit(512)) == (0, 512)


def test_a_list_is_late_by_what_was_drawn() -> None:
    asked: list[str] = []
    delays = [5, 100, AT_OLD_TAIL, 7]

    def draw(name: str) -> int:
        asked.append(name)
        return delays.pop(0)

    late = Lateness(draw, "vcs0")
    assert late.anywhere
    late.submitted(busy=False)
    assert (late.left, asked) == (0, [])
    late.submitted(busy=True)
    assert (late.left, late.limit(512)) == (5, 5)
    late.drained()
    assert late.left == 5, "it is not the tail that is waited for"
    late.count(3)
    assert late.left == 2
    late.count(3)
    assert (late.left, late.limit(512)) == (0, 512)
    late.submitted(busy=True)
    assert (late.left, late.limit(512)) == (100, 64)
    late.submitted(busy=False)
    assert late.left == 0
    late.submitted(busy=True)
    assert late.left == 2000
    late.drained()
    assert late.left == 0
    late.submitted(busy=True)
    late.drained()
    assert late.left == 7
    late.forget()
    assert late.left == 0
    assert asked == ["vcs0"] * 4


def test_answers() -> None:
    at_once = Answers(None)
    at_once.ask(4)
    assert at_once.there(4)
    assert not at_once.late
    looks = [2, 0, 1]
    late = Answers(lambda: looks.pop(0))
    assert late.late
    for offset in (4, 8, 12):
        late.ask(offset)
    assert [late.there(4) for _ in range(4)] == [False, False, True, True]
    assert [late.there(8) for _ in range(2)] == [True, True]
    assert [late.there(12) for _ in range(2)] == [False, True]
    assert late.there(16)


def test_the_dice_are_as_bad_as_they_say() -> None:
    """Lists at once, soon, late and at the old tail; answers after up to six looks."""
    delays, looks = Counter[int](), Counter[int]()
    chosen = strict(7)
    assert chosen.list_delay is not None
    assert chosen.answer_looks is not None
    for _ in range(6000):
        delays[chosen.list_delay("rcs0")] += 1
        looks[chosen.answer_looks()] += 1
    assert set(looks) == set(range(7))
    assert (min(delays), max(delays)) == (-1, 200)
    assert 2700 < delays[-1] < 3300
    assert 1100 < delays[0] < 1400, "1/6 for a longest of 0, 1/30 for one of 4"
    assert all(170 < delays[n] < 250 for n in range(1, 5))
    assert all(delays[n] < 40 for n in range(5, 200))
    knobs = ("needs_forcewake", "ring_reads_on", "stale_translations", "image_as_commands")
    for knob in (*knobs, "inhibit_keeps_state", "idle_keeps_ring", "preemption_levels"):
        assert getattr(chosen, knob)
        assert not getattr(KIND, knob)
    assert chosen.bcs_unprotected
    assert KIND.bcs_unprotected


def test_a_clock_of_contexts() -> None:
    now = [100]
    clock = ContextClock(lambda: now[0], lambda span: span // 10)
    assert (clock.counted, clock.loaded_at_ns) == (0, 0)
    clock.set(0xFFFF_FFFE)
    now[0] = 140
    assert clock.active_ns == 40
    assert clock.read() == 2
    clock.load()
    assert clock.active_ns == 0
    assert clock.read() == 0xFFFF_FFFE


# -- the page of registers -----------------------------------------------------------------------


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_a_page_of_registers_goes_there_and_back(facts: object) -> None:
    """All but the time of the engine and its last header, which are for who reads the image."""
    engine = next(each for each in ENGINES if each is facts)
    page = RegisterImage(engine)
    chance = random.Random(3)
    values = [chance.getrandbits(16) for _ in range(REGISTERS // 4)]
    hidden = bytes(range(4 * (1024 - hidden_state.FIRST))) if engine.context_pages == 2 else b""
    saved = page.save(0x1000, values, hidden)
    assert page.first == 0x41
    assert len(saved) == 4 * (1024 - page.first)
    assert saved.endswith(hidden)
    image = [0] * page.first + memoryview(saved).cast("I").tolist()
    found = [0] * len(values)
    page.restore(image, found)
    changed = {4 * at for at, value in enumerate(found) if value}
    assert changed == {offset for offset in page.offsets if values[offset >> 2]}
    assert all(found[offset >> 2] == values[offset >> 2] for offset in page.offsets)
    for index in (ImageIndex.TIMESTAMP, ImageIndex.IPEHR):
        at = image[index - 1]
        assert image[index] == values[at >> 2]
        assert found[at >> 2] == 0
        assert page.load(at, 5, found)
        assert found[at >> 2] == 0
    by_command = [0] * len(values)
    for offset in page.offsets:
        assert page.load(offset, 0xFFFF_0000 | values[offset >> 2], by_command)
        assert by_command[offset >> 2] & 0xFFFF == values[offset >> 2]
    assert not page.load(engine.mmio_base + 0x98, 5, by_command)


def test_masked_registers_take_what_their_upper_half_names() -> None:
    page = RegisterImage(ENGINES[0])
    values = [0] * (REGISTERS // 4)
    mode = ENGINES[0].mmio_base + 0x9C
    for written, expected in (
        (0xFFFF_00FF, 0x00FF),
        (0x0F0F_0000, 0x00F0),
        (0x8000_FFFF, 0x80F0),
        (0x0000_FFFF, 0x80F0),
    ):
        assert page.load(mode, written, values)
        assert values[mode >> 2] == expected


def test_few_pages_are_remembered() -> None:
    page = RegisterImage(ENGINES[1])
    values = [0] * (REGISTERS // 4)
    for number in range(200):
        page.save(number * PAGE, values, b"")
        assert 0 < len(page._saved) <= 64
    assert (200 - 1) * PAGE in page._saved


def test_time_that_an_image_does_not_load_is_that_of_the_engine() -> None:
    """The pair of dwords names another register: the engine's clock goes on."""
    for strictness in (KIND, Strictness(image_as_commands=True)):
        bench = make_bench(strictness)
        driver, name, base = bench.driver, "bcs0", 0x22000
        context, other = driver.create_context(name), driver.create_context(name)
        for each in (context, other):
            driver.submit(each)
            bench.run(name)
        bench.gpu.engines[name].clock.counted = 0x4321
        driver.ram.write_u32(context.value(ImageIndex.CTX_TIMESTAMP) - 4, base + 0x98, 0x77)
        driver.submit(context)
        bench.run(name)
        assert driver.read32(base + 0x3A8) == 0x4321
        assert driver.read32(base + 0x98) == 0x77
