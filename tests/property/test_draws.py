"""Draws with any state: none is more than passed over, drawn, or its context's hang.

What is written lies in the target, and in what the page tables give.
"""

from __future__ import annotations

import struct

import hypothesis.strategies as st
from hypothesis import given, settings

from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import (
    RAM_SIZE,
    RING,
    RING_SIZE,
    USER_BATCH,
    CommandBench,
    make_bench,
)
from tests.unit.mediator.render import draw_commands as dc

_DWORD = st.integers(0, 0xFFFF_FFFF)
_BITS = st.integers(0, 31).map(lambda bit: 1 << bit)
_PLACES = [(name, dword) for name, packet in dc.packets().items() for dword in range(len(packet))]
_CHANGES = st.lists(
    st.tuples(st.sampled_from(_PLACES), st.one_of(_BITS, _DWORD), st.booleans()), max_size=3
)
_FLOAT = st.one_of(
    st.sampled_from([0.0, 1.0, 8.0, -3.0, 1e30, float("inf"), float("nan")]),
    st.floats(width=32),
)
_SURFACE = st.lists(st.tuples(st.integers(0, 15), _DWORD), max_size=2)
_END = dc.TARGET + 16 * dc.WIDTH * dc.HEIGHT


def _bench(corners: list[float], surface: list[tuple[int, int]]) -> CommandBench:
    bench = make_bench("RCS")
    state = list(struct.unpack("<16I", dc.surface()))
    for dword, value in surface:
        state[dword] ^= value
    for address, data in (
        (dc.VERTICES, struct.pack("<9f", *corners)),
        (dc.INPUTS, struct.pack("<12I", *[0] * 4, *range(8))),
        (dc.SURFACE + dc.TABLE, struct.pack("<I", 0x100)),
        (dc.SURFACE + 0x100, struct.pack("<16I", *state)),
        (dc.KERNELS + 0x800, dc.telling_shader(16)),
    ):
        bench.memory.write(address, data)
    return bench


def _memory(bench: CommandBench) -> bytes:
    """All of it, but for where commands stand."""
    memory = bytearray(bench.memory.read(0, RAM_SIZE))
    for place in (RING, USER_BATCH):
        memory[place : place + RING_SIZE] = bytes(RING_SIZE)
    return bytes(memory)


def _batch(changes: list[tuple[tuple[str, int], int, bool]]) -> list[int]:
    """A header changes in what is beside its length alone, so that the batch stays one."""
    packets = dc.packets()
    packets["3DPRIMITIVE"] = dc.primitive()
    for (name, dword), value, flips in changes:
        old = packets[name][dword]
        new = old ^ value if flips else value
        packets[name][dword] = new if dword else old ^ value & 0xFF00
    return dc.flat(packets)


@settings(max_examples=150, deadline=None)
@given(
    changes=_CHANGES,
    corners=st.one_of(
        st.just([8, 4, 0, 0, 4, 0, 0, 0, 0]), st.lists(_FLOAT, min_size=9, max_size=9)
    ),
    surface=_SURFACE,
)
def test_any_state(
    changes: list[tuple[tuple[str, int], int, bool]],
    corners: list[float],
    surface: list[tuple[int, int]],
) -> None:
    bench = _bench(corners, surface)
    stop = bench.batch(_batch(changes))
    for _ in range(20):
        if stop is not Stop.QUANTUM:
            break
        stop = bench.again()
    assert stop in (Stop.RING_EMPTY, Stop.HUNG, Stop.QUANTUM)
    assert len(bench.host.hangs) == (stop is Stop.HUNG)


@settings(max_examples=60, deadline=None)
@given(changes=_CHANGES, corners=st.tuples(*[st.integers(-5, 60)] * 4))
def test_whatever_is_drawn_lies_in_the_target(
    changes: list[tuple[tuple[str, int], int, bool]], corners: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = corners
    bench = _bench([right, bottom, 0, left, bottom, 0, left, top, 0], [])
    kept = [each for each in changes if each[0][0] not in ("BASES", "BINDING_TABLE_PS")]
    before = _memory(bench)
    stop = bench.batch(_batch(kept))
    for _ in range(5):
        if stop is Stop.QUANTUM:
            stop = bench.again()
    after = _memory(bench)
    assert after[: dc.TARGET] == before[: dc.TARGET]
    assert after[_END:] == before[_END:]
