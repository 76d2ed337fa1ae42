"""The state that a vGPU carries elsewhere: there and back, and what is no such state."""

from __future__ import annotations

import msgspec
import pytest

from mediator.vgpu.engine import EngineState
from mediator.vgpu.execlist import Element, Execlists
from mediator.vgpu.ggtt import GgttState
from mediator.vgpu.metrics import VgpuCounters
from mediator.vgpu.state import VERSION, VgpuState, decode, encode


def sample() -> VgpuState:
    """A state with something in each of its parts."""
    lists = Execlists(
        written=[1, 2],
        pending=[Element(0x12_0000_1019, refused="context: not its own", refused_at=8)],
        active=[Element(0x34_0000_2019), Element(0x56_0000_3019)],
        element=1,
        write_pointer=2,
        last_reason=0x11,
    )
    lists.entries[2] = (0x8002, 0x34)
    engine = EngineState(lists, stopped=True, hung="page fault", stands_at=1 << 47)
    counters = VgpuCounters(hangs=3, rejections={"address": 2})
    counters.engines["rcs0"].waits.record(5_000_000)
    return VgpuState(
        device_id=0x5912,
        type="V9_2",
        private_ggtt=False,
        part=[(0, 1 << 27), (1 << 28, 1 << 30)],
        config=bytes(range(256)),
        registers={0x2030: 0xFFFF_FFFF, 0x941C: 1},
        ggtt=GgttState({0: bytes(4096), 511: b"\xff" * 4096}),
        engines={"rcs0": engine, "bcs0": EngineState()},
        counters=counters,
    )


def test_a_state_comes_back_equal() -> None:
    state = sample()
    assert decode(encode(state)) == state
    assert encode(decode(encode(state))) == encode(state)


def test_the_least_of_a_state_comes_back_equal() -> None:
    state = VgpuState(device_id=0x1912, type="", private_ggtt=True, part=[])
    assert decode(encode(state)) == state


@pytest.mark.parametrize("version", [0, VERSION + 1, -1, 1 << 62])
def test_another_version_is_refused_by_its_number(version: int) -> None:
    state = sample()
    state.version = version
    with pytest.raises(ValueError, match=rf"version {version}, this program reads {VERSION}"):
        decode(encode(state))


def test_another_version_is_refused_whatever_else_it_has() -> None:
    data = msgspec.msgpack.encode({"version": VERSION + 1, "registers": "of another kind"})
    with pytest.raises(ValueError, match="this program reads"):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x00", b"\x90", b"\x80", b"vGPU", encode(sample())[:-1], encode(sample()) * 2],
    ids=["nothing", "no code", "number", "list", "empty", "text", "cut", "twice"],
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a vGPU state"):
        decode(data)


@pytest.mark.parametrize("name", ["device_id", "type", "private_ggtt", "part"])
def test_what_must_be_there_must_be_there(name: str) -> None:
    tree = msgspec.msgpack.decode(encode(sample()))
    del tree[name]
    with pytest.raises(ValueError, match=name):
        decode(msgspec.msgpack.encode(tree))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device_id", "5912"),
        ("part", [[0]]),
        ("registers", {"rcs0": 1}),
        ("config", 7),
        ("ggtt", {"chunks": {0: 1}}),
        ("engines", {"rcs0": {"lists": {"active": [7]}}}),
        ("counters", {"hangs": 0.5}),
    ],
)
def test_parts_of_another_kind_are_refused(name: str, value: object) -> None:
    tree = msgspec.msgpack.decode(encode(sample()))
    tree[name] = value
    with pytest.raises(ValueError, match="not a vGPU state"):
        decode(msgspec.msgpack.encode(tree))


def test_lists_within_lists_within_lists_are_refused() -> None:
    deep = b"\x82\xa7version" + bytes([VERSION]) + b"\xa1x" + b"\x91" * 100_000 + b"\x00"
    with pytest.raises(ValueError, match="not a vGPU state"):
        decode(deep)
