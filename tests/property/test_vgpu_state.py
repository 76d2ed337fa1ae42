"""Any state of a vGPU comes back equal; any bytes are a state or a ValueError."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from mediator.vgpu.state import VERSION, VgpuState, decode, encode

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(1 << 63), (1 << 64) - 1),
    bool: st.booleans(),
    str: st.text(max_size=8),
    bytes: st.binary(max_size=8),
    None: st.none(),
}


def any_of(kind: Any, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a type of which states are made; numbers of 64 bits, little of the rest."""
    if is_dataclass(kind):
        parts = {name: any_of(part) for name, part in get_type_hints(kind).items()}
        return st.builds(kind, **parts | fixed)  # type: ignore[arg-type]
    inner = [any_of(part) for part in get_args(kind)]
    match get_origin(kind):
        case None:
            return _PLAIN[kind]
        case origin if origin is list:
            return st.lists(*inner, max_size=3)
        case origin if origin is dict:
            return st.dictionaries(*inner, max_size=2)
        case origin:
            assert origin is tuple
            return st.tuples(*inner)


states = any_of(VgpuState, version=st.just(VERSION))


@given(states)
def test_a_state_comes_back_equal(state: VgpuState) -> None:
    assert decode(encode(state)) == state


@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_a_value_error(data: bytes) -> None:
    _is_a_state_or_refused(data)


@given(states, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=8), st.integers(0))
def test_a_damaged_state_is_a_state_or_a_value_error(
    state: VgpuState, damage: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(encode(state))
    for at, value in damage:
        data[at % len(data)] = value
    _is_a_state_or_refused(bytes(data))
    _is_a_state_or_refused(bytes(data[: cut % len(data)]))


def _is_a_state_or_refused(data: bytes) -> None:
    try:
        found = decode(data)
    except ValueError:
        return
    assert isinstance(found, VgpuState)
