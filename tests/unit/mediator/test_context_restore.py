"""The whole image of a context: what a save leaves in it, and what a restore does with it.

All that stands in an image has its effect, whether it is restored as a saved one or carried out
command by command.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mediator.gen9.context_image import LAYOUTS, ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.gen9.pipeline_state import STATE_COMMANDS
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import ENGINE_BASES, Context
from tests.gpu_driver.commands import load_register, store_dword
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

AS_COMMANDS = Strictness(image_as_commands=True)
MODES = pytest.mark.parametrize("strictness", [KIND, AS_COMMANDS], ids=["known", "commands"])
NAMES = list(ENGINE_BASES)
_FACTS = {facts.name: facts for facts in ENGINES}
PAGE = 4096
HWSTAM = 0x98
"""A register that no context keeps and no user batch may write."""
GPR0 = 0x600
BASE_ADDRESS = 0x6101_0011
BATCH_END = 0x0A << 23
ARB_ON, ARB_OFF = 0x08 << 23 | 1, 0x08 << 23
SET_PREDICATE = 0x01 << 23


def pages(engine: str) -> int:
    """Pages of an image from the register state page on."""
    return _FACTS[engine].context_pages - 1


def saved(bench: Bench, engine: str, dwords: Sequence[int] = ()) -> Context:
    """A context that has run ``dwords`` and has gone."""
    context = bench.driver.create_context(engine)
    run(bench, context, dwords)
    return context


def run(bench: Bench, context: Context, dwords: Sequence[int] = ()) -> None:
    bench.driver.emit(context, [*dwords, *bench.driver.breadcrumb(context.engine, 1)])
    bench.driver.submit(context)
    bench.run(context.engine)


def page(bench: Bench, context: Context, number: int) -> list[int]:
    """A page of the image; 1 is the register state page."""
    at = context.image + (number - 1) * PAGE
    return [bench.driver.ram.read_u32(at + 4 * n) for n in range(PAGE // 4)]


def put(bench: Bench, context: Context, number: int, index: int, *dwords: int) -> None:
    bench.driver.ram.write_u32(context.image + (number - 1) * PAGE + 4 * index, *dwords)


def base_address(page: int) -> list[int]:
    """STATE_BASE_ADDRESS of the General State base alone."""
    return [BASE_ADDRESS, page << 12 | 1, *[0] * 17]


def base(bench: Bench, context: Context) -> int:
    """The page of the General State base in the image."""
    return page(bench, context, 2)[1] >> 12


# -- what a save leaves --------------------------------------------------------------------------


@pytest.mark.parametrize("engine", NAMES)
def test_a_save_writes_every_page(engine: str) -> None:
    bench = make_bench()
    context = bench.driver.create_context(engine)
    for number in range(1, pages(engine) + 1):
        put(bench, context, number, 0x200, 0xDEAD_BEEF)
    run(bench, context)
    layout = LAYOUTS[_FACTS[engine].engine_class]
    state = page(bench, context, 1)
    assert state[layout.end] == BATCH_END
    for block in layout.blocks:
        assert state[block.index] == block.header
    for number in range(1, pages(engine) + 1):
        assert 0xDEAD_BEEF not in page(bench, context, number)
    assert page(bench, context, pages(engine))[-1] == SET_PREDICATE


def test_the_pages_of_a_render_image_hold_its_state_commands() -> None:
    bench = make_bench()
    context = saved(bench, "rcs0", base_address(0x12345))
    found = page(bench, context, 2)
    assert found[:3] == [BASE_ADDRESS, 0x1234_5001, 0]
    at = 0
    for key, length in STATE_COMMANDS.items():
        assert found[at] >> 16 == key
        at += length
    assert not any(found[at:])
    assert page(bench, context, 3)[:5] == [0x7002_0002, 0, 0, 0, 0], "no descriptors"
    assert page(bench, context, 4)[:5] == [0x7001_0002, 0, 0, 0, 0], "no constants"


def test_a_save_inhibited_leaves_all_but_ring_and_time() -> None:
    bench = make_bench()
    context = bench.driver.create_context("rcs0")
    put(bench, context, 1, ImageIndex.CONTEXT_CONTROL, 0x000D_000D)
    run(bench, context)
    assert page(bench, context, 1)[ImageIndex.RING_HEAD] == context.tail
    assert not any(page(bench, context, 2))
    assert page(bench, context, 1)[ImageIndex.CONTEXT_CONTROL] == 0x000D_000D


def test_what_stands_behind_the_last_command_of_a_page_is_saved_anew() -> None:
    """Also where nothing has changed since the context was loaded from it."""
    bench = make_bench()
    context = saved(bench, "rcs0")
    before = [page(bench, context, number) for number in range(2, 22)]
    put(bench, context, 9, 0x200, *load_register((0x2000 + GPR0, 1)))
    run(bench, context)
    assert [page(bench, context, number) for number in range(2, 22)] == before


@MODES
def test_state_commands_belong_to_their_context(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    first = saved(bench, "rcs0", base_address(1))
    second = saved(bench, "rcs0", base_address(2))
    for _ in range(3):
        run(bench, first)
        assert base(bench, first) == 1
        run(bench, second)
        assert base(bench, second) == 2


@MODES
@pytest.mark.parametrize("engine", NAMES)
def test_the_ring_stays_in_the_registers(engine: str, strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context, base = saved(bench, engine), ENGINE_BASES[engine]
    assert bench.driver.read32(base + 0x34) == context.tail
    assert bench.driver.read32(base + 0x30) == context.tail
    assert bench.driver.read32(base + 0x38) == context.ring_ggtt


# -- what a restore does -------------------------------------------------------------------------


@MODES
def test_a_page_that_is_lost_brings_nothing_back(strictness: Strictness) -> None:
    """The engine goes on with what the context before it left."""
    bench = make_bench(strictness)
    first, second = saved(bench, "rcs0", base_address(1)), saved(bench, "rcs0", base_address(2))
    put(bench, first, 2, 0, *[0] * 1024)
    run(bench, first)
    assert base(bench, first) == 2
    run(bench, second)
    assert base(bench, second) == 2


@MODES
@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("where", ["head", "values", "gap", "tail", "last"])
def test_register_loads_in_an_image_have_privilege(
    engine: str, where: str, strictness: Strictness
) -> None:
    """Wherever they stand: the stream is followed as it stands in memory."""
    bench = make_bench(strictness)
    context, base = saved(bench, engine), ENGINE_BASES[engine]
    number, index, dwords = {
        "head": (1, 0x1C, (base + HWSTAM, 0x77)),  # for INDIRECT_CTX_OFFSET
        "values": (1, 0x6A, (base + HWSTAM, 0x77)),  # for half a GPR
        "gap": (1, 0x48, (*load_register((base + HWSTAM, 0x77)),)),
        "tail": (1, 0x3F0, (*load_register((base + HWSTAM, 0x77)),)),
        "last": (pages(engine), 0x300, (*load_register((base + HWSTAM, 0x77)),)),
    }[where]
    put(bench, context, number, index, *dwords)
    run(bench, context)
    assert bench.driver.read32(base + HWSTAM) == 0x77
    assert bench.driver.seqno(engine) == 1
    assert bench.gpu.idle


@MODES
@pytest.mark.parametrize("number", range(1, 22))
def test_any_command_in_any_page_is_carried_out(number: int, strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context, target = saved(bench, "rcs0"), bench.driver.ram.allocate()
    address = bench.driver.ggtt_map(target)
    put(bench, context, number, 0x3F0, *store_dword(address, 0xC0FFEE, ggtt=True))
    run(bench, context)
    assert bench.driver.ram.read_u32(target) == 0xC0FFEE


@MODES
def test_a_command_may_lie_across_two_pages(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context, base = saved(bench, "rcs0"), ENGINE_BASES["rcs0"]
    header, offset, value = load_register((base + HWSTAM, 0x77))
    put(bench, context, 3, 0x3FF, header, offset, value)
    run(bench, context)
    assert bench.driver.read32(base + HWSTAM) == 0x77


@MODES
def test_an_early_end_ends_nothing(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    gpr = 0x22000 + GPR0
    context = saved(bench, "bcs0", load_register((gpr, 0x1111)))
    saved(bench, "bcs0", load_register((gpr, 0x2222)))
    put(bench, context, 1, 0x48, BATCH_END)
    run(bench, context)
    assert page(bench, context, 1)[ImageIndex.CS_GPR0] == 0x1111


@MODES
def test_a_ring_register_that_is_not_loaded_keeps_what_it_had(strictness: Strictness) -> None:
    """Its pair loads something else: the engine goes on at the head of the context before."""
    bench = make_bench(strictness)
    context, other = saved(bench, "bcs0"), saved(bench, "bcs0", [0] * 8)
    put(bench, context, 1, ImageIndex.RING_START - 1, 0x22000 + HWSTAM)
    bench.driver.emit(context, bench.driver.breadcrumb("bcs0", 9))
    bench.driver.submit(context)
    bench.run("bcs0")
    assert bench.driver.seqno("bcs0") == 1, "the ring of the other one was run"
    assert bench.driver.read32(0x22038) == other.ring_ggtt


@MODES
def test_an_image_may_leave_arbitration_off_and_predication_on(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context = bench.driver.create_context("rcs0")
    for commands in ([ARB_OFF, 0], [SET_PREDICATE | 15]):
        bench.driver.emit(context, commands)
        bench.driver.submit(context)
        bench.run("rcs0")
    last = page(bench, context, 21)
    assert last[0x3F8] == ARB_OFF
    assert last[0x3FF] == SET_PREDICATE | 15
    run(bench, context)
    assert bench.driver.seqno("rcs0") == 0, "everything is suppressed"
    put(bench, context, 21, 0x3FF, SET_PREDICATE)
    run(bench, context)
    assert bench.driver.seqno("rcs0") == 1


@MODES
def test_the_clip_rectangle_is_saved_as_its_command(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    clip = [2 << 29 | 0x03 << 22 | 1, 0x0002_0001, 0x0004_FFFF]
    context = saved(bench, "bcs0", clip)
    saved(bench, "bcs0")
    assert page(bench, context, 1)[0x3F9:0x3FC] == clip
    run(bench, context)
    assert page(bench, context, 1)[0x3F9:0x3FC] == clip


@MODES
def test_an_image_that_stops_its_ring_stands_until_told_to_go_on(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context = saved(bench, "bcs0")
    put(bench, context, 1, ImageIndex.MI_MODE, 0xFFFF_0100)
    bench.driver.ram.write_u32(bench.driver.status_pages["bcs0"] + 0x100, 0)
    run(bench, context)
    assert bench.driver.seqno("bcs0") == 0
    assert bench.driver.read32(0x2209C) & 1 << 9
    bench.driver.write32(0x2209C, 1 << 24)
    bench.run("bcs0")
    assert bench.driver.seqno("bcs0") == 1


@MODES
def test_an_image_without_an_end_of_its_commands_hangs(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context = saved(bench, "bcs0")
    put(bench, context, 1, 0x3FF, 0x22 << 23 | 1)
    run(bench, context)
    assert "runs past" in str(bench.gpu.engines["bcs0"].hung)


@MODES
@pytest.mark.parametrize("number", [1, 2, 21])
def test_every_page_must_be_mapped(number: int, strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context = saved(bench, "rcs0")
    bench.driver.ggtt_write(context.lrca + number * PAGE, 0)
    run(bench, context)
    assert "not present" in str(bench.gpu.engines["rcs0"].hung)
    assert bench.driver.error("rcs0")


@MODES
@pytest.mark.parametrize("keeps", [False, True])
def test_what_an_inhibited_restore_finds(keeps: bool, strictness: Strictness) -> None:
    chosen = Strictness(image_as_commands=strictness.image_as_commands, inhibit_keeps_state=keeps)
    bench, gpr = make_bench(chosen), 0x2000 + GPR0
    saved(bench, "rcs0", [*load_register((gpr, 0x5EC2E7)), 0, *base_address(3)])
    fresh = saved(bench, "rcs0")
    assert page(bench, fresh, 1)[ImageIndex.CS_GPR0] == (0x5EC2E7 if keeps else 0)
    assert base(bench, fresh) == (3 if keeps else 0)


@MODES
def test_an_inhibited_restore_loads_its_ring_and_nothing_else(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context, base = bench.driver.create_context("rcs0"), ENGINE_BASES["rcs0"]
    before = bench.driver.read32(base + HWSTAM)
    for number in range(1, 22):
        put(bench, context, number, 0x3F0, *load_register((base + HWSTAM, 0x77)))
    run(bench, context)
    assert bench.driver.read32(base + HWSTAM) == before


@MODES
def test_an_image_that_resets_its_engine_leaves_it_idle(strictness: Strictness) -> None:
    bench = make_bench(strictness)
    context = saved(bench, "bcs0")
    put(bench, context, 1, 0x3F0, *load_register((0x941C, 1 << 3)))
    run(bench, context)
    assert bench.gpu.engines["bcs0"].idle
    bench.driver.initialise()
    saved(bench, "bcs0")
    assert bench.driver.seqno("bcs0") == 1


# -- the ring of a context that comes back --------------------------------------------------------


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("forced", [False, True])
def test_the_context_that_left_last_may_keep_its_head(keeps: bool, forced: bool) -> None:
    """After another it is restored as its image says."""
    bench = make_bench(Strictness(idle_keeps_ring=keeps))
    at = bench.driver.ram.allocate()
    address = bench.driver.ggtt_map(at)
    context = saved(bench, "vcs0", store_dword(address, 1, ggtt=True))
    put(bench, context, 1, ImageIndex.RING_HEAD, 0)
    bench.driver.ram.write_u32(at, 0)
    context.forced = forced
    run(bench, context)
    assert bench.driver.ram.read_u32(at) == (0 if keeps and not forced else 1)
    saved(bench, "vcs0")
    put(bench, context, 1, ImageIndex.RING_HEAD, 0)
    bench.driver.ram.write_u32(at, 0)
    run(bench, context)
    assert bench.driver.ram.read_u32(at) == 1
