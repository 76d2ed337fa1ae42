"""The private part of a context: the hardware gets what it has saved, and nothing of the guest's.

What is planted is MI_LOAD_REGISTER_IMM of registers that no guest may write; what must not be
found is that command anywhere in the shadow context, from which the hardware restores.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from mediator.gen9.context_image import LAYOUTS, STATE_OFFSET, ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.physical.partition import PAGE
from mediator.workload.private_part import NOWHERE
from tests.unit.mediator.workload_bench import HAS_RUN, LRCA, SLAB_IOVA, Bench, store

RCS0, BCS0 = ENGINES[0], ENGINES[1]
FACTS = {facts.name: facts for facts in ENGINES}
LOAD = 0x22 << 23 | 1
PLANTED = [LOAD, 0x2230, 0xBAD0_BAD0]
"""ELSP: nobody but the mediator submits."""
END = {name: LAYOUTS[facts.engine_class].end + 1 for name, facts in FACTS.items()}
"""First dword of a state page that is private."""


@pytest.fixture(params=["rcs0", "bcs0"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(engine: str) -> Iterator[Bench]:
    made = Bench(facts=FACTS[engine])
    made.emit(store(1))
    yield made
    made.close()


@pytest.fixture
def rcs() -> Iterator[Bench]:
    made = Bench(facts=RCS0)
    made.emit(store(1))
    yield made
    made.close()


def private_dwords(engine: str) -> list[int]:
    """Dwords of the image, counted from its state page, that are private: some of each page."""
    own = [END[engine], END[engine] + 7, PAGE // 4 - 3]
    pages = FACTS[engine].context_pages - 2
    return own + [n * PAGE // 4 + at for n in range(1, pages + 1) for at in (0, 0x155, 0x3FD)]


def plant(bench: Bench, at: int) -> None:
    bench.put(LRCA + STATE_OFFSET + 4 * at, PLANTED)


def image(bench: Bench, engine: str) -> bytes:
    """What the hardware restores from: all pages of the shadow but the status page."""
    slab, slot = bench.slab, bench.slot
    return slab.bytes[slot.state : slot.base + FACTS[engine].context_pages * PAGE]


def saves(bench: Bench, at: int, value: int) -> None:
    """The hardware runs the shadow and saves ``value`` into a private dword."""
    bench.slab.u32[(bench.slot.state >> 2) + at] = value
    bench.runs_to(bench.tail)


def guest(bench: Bench, at: int) -> int:
    return bench.vgpu.ggtt.read_u32(LRCA + STATE_OFFSET + 4 * at)


def rejections(bench: Bench) -> list[str]:
    return [str(reason) for reason in bench.vgpu.rejected]


@pytest.mark.parametrize("control", ["never ran", "has run"])
def test_no_private_dword_comes_from_the_guest(bench: Bench, engine: str, control: str) -> None:
    if control == "has run":
        bench.set(ImageIndex.CONTEXT_CONTROL, HAS_RUN)
    for at in private_dwords(engine):
        plant(bench, at)
    bench.build()
    assert PLANTED[2].to_bytes(4, "little") not in image(bench, engine)
    golden = bench.vgpu.golden(engine)[END[engine] :].tobytes() + bench.vgpu.golden_pages(engine)
    assert image(bench, engine)[4 * END[engine] :] == golden
    assert rejections(bench) == (["context"] if control == "has run" else [])


@pytest.mark.parametrize("number", [0, 1])
def test_planted_dwords_reach_no_later_run(bench: Bench, engine: str, number: int) -> None:
    """Neither the shadow that lies ready, which is used for the same state page, nor another."""
    bench.build()
    for at in private_dwords(engine):
        saves(bench, at, 0x600D_0000 + at)
        plant(bench, at)
        bench.emit(store(2))
        bench.slot = bench.works.slots[number]
        bench.build(bench.slot)
        assert PLANTED[2].to_bytes(4, "little") not in image(bench, engine)
    assert set(rejections(bench)) <= {"context"}
    assert number == 0 or rejections(bench)


def test_what_the_hardware_saved_comes_back_to_it(bench: Bench, engine: str) -> None:
    bench.build()
    for at in private_dwords(engine):
        saves(bench, at, 0x600D_0000 + at)
        assert guest(bench, at) == 0x600D_0000 + at
    before = image(bench, engine)
    bench.emit(store(2))
    bench.build(bench.works.slots[1])
    bench.slot = bench.works.slots[1]
    assert image(bench, engine)[4 * END[engine] :] == before[4 * END[engine] :]
    assert rejections(bench) == []


def test_a_copy_of_a_saved_image_may_run_as_another_context(bench: Bench, engine: str) -> None:
    """As i915 begins every context: with the image that the first one left behind."""
    bench.build()
    for at in private_dwords(engine):
        saves(bench, at, 0x600D_0000 + at)
    other = LRCA + 0x8_0000
    size, memory = FACTS[engine].context_pages * PAGE, bench.vgpu.ggtt.memory
    memory[other : other + size] = memory[LRCA : LRCA + size]
    for at in private_dwords(engine):  # the first goes on, and what it left is no context's last
        saves(bench, at, 0x700D_0000 + at)
    bench.element.descriptor = other | bench.element.descriptor & 0xFFF
    bench.build(bench.works.slots[1])
    assert rejections(bench) == []
    slab, slot = bench.slab, bench.works.slots[1]
    for at in private_dwords(engine):
        assert slab.u32[(slot.state >> 2) + at] == 0x600D_0000 + at


def test_one_dword_of_another_save_is_no_saved_image(rcs: Bench) -> None:
    """The part is known as a whole: pages of two saves make no third."""
    rcs.build()
    first, second = 0x400, 0x800
    saves(rcs, first, 1)
    saves(rcs, second, 2)
    rcs.put(LRCA + STATE_OFFSET + 4 * first, [0])
    rcs.build(rcs.works.slots[1])
    assert rejections(rcs) == ["context"]


def test_only_the_status_page_is_mapped_to_the_guest(rcs: Bench) -> None:
    rcs.build()
    entries = memoryview(rcs.vgpu.hardware_ggtt[rcs.slot.ggtt // PAGE]).cast("Q").tolist()
    assert len(entries) == RCS0.context_pages
    assert entries[0] == LRCA | 1
    own = range(SLAB_IOVA + rcs.slot.state, SLAB_IOVA + rcs.slot.state + 21 * PAGE, PAGE)
    assert entries[1:] == [page | 1 for page in own]


def test_a_page_that_is_gone_costs_its_context_its_state_and_no_more(rcs: Bench) -> None:
    rcs.build()
    saves(rcs, 0x400, 1)
    rcs.vgpu.ggtt.gone.add(LRCA + 5 * PAGE)
    rcs.emit(store(2))
    rcs.slot = rcs.works.slots[1]
    rcs.build(rcs.slot)
    assert rejections(rcs) == ["context"]
    saves(rcs, 5 * PAGE // 4, 3)
    assert rejections(rcs) == ["context", "context"]
    assert not rcs.slot.warm


def test_a_context_whose_save_is_inhibited_gets_nothing_back(rcs: Bench) -> None:
    rcs.set(ImageIndex.CONTEXT_CONTROL, HAS_RUN | 1 << 2)
    rcs.build()
    saves(rcs, 0x400, 0x600D)
    assert guest(rcs, 0x400) == 0
    assert not rcs.slot.warm


def test_private_pages_follow_the_guests_entries(rcs: Bench) -> None:
    """A context whose pages are others now gets them there."""
    rcs.build()
    saves(rcs, 0x400, 1)
    moved = LRCA + 0x8_0000
    physical = rcs.vgpu.ggtt.physical
    rcs.put(moved + 2 * PAGE, PLANTED)

    def elsewhere(address: int) -> int | None:
        page = address & -PAGE
        return physical(moved + 2 * PAGE if page == LRCA + 2 * PAGE else address)

    rcs.vgpu.ggtt.physical = elsewhere  # type: ignore[method-assign]
    rcs.emit(store(2))
    rcs.build()
    saves(rcs, 0x401, 2)
    at = moved + 2 * PAGE
    assert bytes(rcs.vgpu.ggtt.memory[at : at + 8]) == struct.pack("<2I", 1, 2)


def test_nowhere_is_no_address_of_a_guest() -> None:
    assert NOWHERE >> 39
