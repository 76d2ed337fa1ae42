"""A context image restored as a saved one, and carried out command by command: no difference."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.gen9.context_image import LAYOUTS, ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.gen9.pipeline_state import STATE_COMMANDS
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import Context
from tests.gpu_driver.commands import store_dword
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

_FACTS = {facts.name: facts for facts in ENGINES}
_FREE = {
    name: [
        register.index
        for register in LAYOUTS[facts.engine_class].registers
        if register.index > ImageIndex.PDP0_LDW and register.index != ImageIndex.MI_MODE
    ]
    for name, facts in _FACTS.items()
}
"""Values that any program may have left there."""
_DWORDS = st.integers(0, 0xFFFF_FFFF)
_LOADED = st.lists(
    st.tuples(st.sampled_from([0x7001, 0x7002]), st.lists(_DWORDS, max_size=64)), max_size=2
)
"""Constants and interface descriptors, with what they load behind them."""
_STATE = st.lists(st.tuples(st.sampled_from([*STATE_COMMANDS]), _DWORDS), max_size=4)


def _prepare(bench: Bench, engine: str, values: dict[int, int], last: list[int]) -> Context:
    """A saved context with these values, and one of another after it on the engine."""
    driver = bench.driver
    context, other = driver.create_context(engine), driver.create_context(engine)
    for which in (context, other):
        driver.emit(which, driver.breadcrumb(engine, 1))
        driver.submit(which)
        bench.run(engine)
    for index, value in values.items():
        driver.ram.write_u32(context.value(index), value)
    page = context.image + (_FACTS[engine].context_pages - 2) * 4096
    if last:
        driver.ram.write_u32(page + 4 * 0x3F8, last[0])
        driver.ram.write_u32(page + 4 * 0x3FF, last[1])
    return context


def _outcome(bench: Bench, engine: str, context: Context) -> dict[str, object]:
    """What the engine is like with the context loaded, and the image when it has gone."""
    driver = bench.driver
    flag = driver.ram.allocate()
    driver.ram.write_u32(flag, 1)
    address = driver.ggtt_map(flag)
    driver.emit(context, [0x1C << 23 | 1 << 22 | 1 << 15 | 4 << 12 | 2, 0, address, 0])
    driver.submit(context)
    bench.run(engine)
    state = bench.gpu.engines[engine]
    loaded = {} if state.context is None else asdict(state.context)  # None: predicated away
    for name in ("loaded_pages", "loaded_rest"):
        loaded.pop(name, None)
    registers = bytes(memoryview(bench.gpu.registers.values))
    pipeline = state.pipeline.image
    driver.ram.write_u32(flag, 0)
    bench.run(engine)
    size = (_FACTS[engine].context_pages - 1) * 4096
    image = bytes(driver.ram.buffer[context.image : context.image + size])
    return {"context": loaded, "registers": registers, "pipeline": pipeline, "image": image}


@pytest.mark.parametrize("engine", list(_FACTS))
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_both_ways_of_a_restore_agree(engine: str, data: st.DataObject) -> None:
    values = data.draw(st.dictionaries(st.sampled_from(_FREE[engine]), _DWORDS, max_size=40))
    hidden = st.tuples(st.sampled_from([0x0400_0000, 0x0400_0001]), st.integers(0, 15))
    last = [*data.draw(hidden)]
    last[1] |= 1 << 23
    commands: list[int] = []
    if engine == "rcs0":
        for key, operand in data.draw(_STATE):
            length = STATE_COMMANDS[key]
            commands += [key << 16 | max(0, length - 2), *[operand] * (length - 1)]
        for key, loaded in data.draw(_LOADED):
            commands += [key << 16 | 2 + len(loaded), 0, 4 * len(loaded), 0, *loaded]
    found = []
    for strictness in (KIND, Strictness(image_as_commands=True)):
        bench = make_bench(strictness)
        context = _prepare(bench, engine, values, last)
        for at, dword in enumerate(commands[:1000]):
            bench.driver.ram.write_u32(context.image + 4096 + 4 * at, dword)
        found.append(_outcome(bench, engine, context))
    kind, strict = found
    for part, value in kind.items():
        assert value == strict[part], part


def test_a_saved_image_is_known() -> None:
    """The quick way is taken, else the comparison above shows nothing."""
    bench = make_bench()
    for engine in _FACTS:
        context = _prepare(bench, engine, {}, [])

        executed = bench.gpu.engines[engine].counters.executed
        assert not executed["MI_LOAD_REGISTER_IMM"]
        target = bench.driver.ggtt_map(bench.driver.ram.allocate())
        bench.driver.emit(context, store_dword(target, 1, ggtt=True))
        bench.driver.submit(context)
        bench.run(engine)
        assert bench.gpu.engines[engine].idle
        assert not executed["MI_LOAD_REGISTER_IMM"], "carried out as commands"
