"""MI commands that move registers, and which of them a user batch may write."""

from __future__ import annotations

import pytest

from mediator.gen9.privilege import user_registers
from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import ABSENT, DATA, CommandBench, make_bench

LRI = 0x22 << 23
SRM = 0x24 << 23 | 2
LRM = 0x29 << 23 | 2
LRR = 0x2A << 23 | 1
UPDATE_GTT = 0x23 << 23 | 2
GGTT = 1 << 22
GPR0 = 0x2600
PRIVILEGED = 0x2080


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def test_noop_notes_its_number(bench: CommandBench) -> None:
    assert bench.run([1 << 22 | 0x1234, 5]) is Stop.RING_EMPTY
    assert bench.host.registers == {0x2094: 0x1234}


def test_load_register_imm_takes_any_number(bench: CommandBench) -> None:
    assert bench.run([LRI | 5, 0x2080, 1, 0x2120, 2, 0x8022_9C | 3, 3]) is Stop.RING_EMPTY
    assert bench.host.registers == {0x2080: 1, 0x2120: 2, 0x229C: 3}


def test_load_register_imm_with_half_a_pair_hangs(bench: CommandBench) -> None:
    assert bench.run([LRI | 2, 0x2080, 1, 0x2120]) is Stop.HUNG


def test_load_register_imm_with_bytes_disabled(bench: CommandBench) -> None:
    bench.host.registers[GPR0] = 0x1122_3344
    assert bench.run([LRI | 0b0101 << 8 | 1, GPR0, 0xAABB_CCDD]) is Stop.RING_EMPTY
    assert bench.host.registers[GPR0] == 0xAA22_CC44


def test_store_and_load_register_mem(bench: CommandBench) -> None:
    bench.host.registers[PRIVILEGED] = 0x1234
    assert bench.run([SRM | GGTT, PRIVILEGED, DATA, 0, LRM, GPR0, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0x1234]
    assert bench.host.registers[GPR0] == 0x1234


def test_load_register_reg(bench: CommandBench) -> None:
    bench.host.registers[PRIVILEGED] = 0x77
    assert bench.run([LRR, PRIVILEGED, GPR0]) is Stop.RING_EMPTY
    assert bench.host.registers[GPR0] == 0x77


def test_memory_faults_hang(bench: CommandBench) -> None:
    assert bench.run([LRM, GPR0, ABSENT, 0]) is Stop.HUNG
    assert bench.host.hangs[0].fault is not None
    assert not bench.host.hangs[0].fault.write


def test_a_user_batch_writes_user_registers_only(bench: CommandBench) -> None:
    bench.put(DATA, [5])
    bench.host.registers[GPR0] = 6
    body = [LRI | 3, PRIVILEGED, 1, 0x7034, 2, LRM, PRIVILEGED, DATA, 0, LRR, GPR0, PRIVILEGED]
    assert bench.batch(body) is Stop.RING_EMPTY
    assert bench.host.registers == {GPR0: 6, 0x7034: 2}
    assert bench.host.counters.dropped == {"register 0x2080": 3}


def test_an_engine_that_protects_no_registers_still_refuses_the_rest(bench: CommandBench) -> None:
    """The blitter: MI_LOAD_REGISTER_* reach everything, the GGTT and the page tables stay shut."""
    bench.put(DATA, [5])
    bench.host.registers[GPR0] = 6
    bench.host.rights.protects = False
    loads = [LRI | 1, PRIVILEGED, 1, LRM, PRIVILEGED + 4, DATA, 0, LRR, GPR0, PRIVILEGED + 8]
    refused = [LRM | GGTT, PRIVILEGED + 12, DATA, 0, UPDATE_GTT, 0x1000, 0, 0]
    assert bench.batch([*loads, *refused]) is Stop.RING_EMPTY
    wanted = {PRIVILEGED: 1, PRIVILEGED + 4: 5, PRIVILEGED + 8: 6}
    assert bench.host.registers == {GPR0: 6, **wanted}
    assert bench.host.counters.dropped == {"MI_LOAD_REGISTER_MEM GGTT": 1, "MI_UPDATE_GTT": 1}


def test_a_switched_off_check_opens_everything(bench: CommandBench) -> None:
    bench.host.rights.checked = False
    entry = bench.host.ggtt.entry(1)
    assert bench.batch([LRI | 1, PRIVILEGED, 1, UPDATE_GTT, 0x1000, 0, 0]) is Stop.RING_EMPTY
    assert bench.host.registers == {PRIVILEGED: 1}
    assert entry != bench.host.ggtt.entry(1)


def test_what_the_privilege_check_opens_is_written(bench: CommandBench) -> None:
    bench.host.rights.open |= {0x2580}
    assert bench.batch([LRI | 3, 0x2580, 1, 0x2248, 1]) is Stop.RING_EMPTY
    assert bench.host.registers == {0x2580: 1}


def test_a_secure_batch_writes_any_register(bench: CommandBench) -> None:
    assert bench.batch([LRI | 1, PRIVILEGED, 1], user=False) is Stop.RING_EMPTY
    assert bench.host.registers == {PRIVILEGED: 1}


def test_a_user_batch_may_read_any_register(bench: CommandBench) -> None:
    bench.host.registers[PRIVILEGED] = 0x99
    assert bench.batch([SRM, PRIVILEGED, DATA, 0]) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0x99]


@pytest.mark.parametrize(("header", "name"), [(SRM, "STORE"), (LRM, "LOAD")])
def test_a_user_batch_uses_no_ggtt(bench: CommandBench, header: int, name: str) -> None:
    assert bench.batch([header | GGTT, GPR0, ABSENT, 0]) is Stop.RING_EMPTY
    assert bench.host.counters.dropped == {f"MI_{name}_REGISTER_MEM GGTT": 1}


@pytest.mark.parametrize(
    ("engine", "base"), [("RCS", 0x2000), ("BCS", 0x22000), ("VCS", 0x12000), ("VECS", 0x1A000)]
)
def test_every_engine_opens_its_own_gprs(engine: str, base: int) -> None:
    allowed = user_registers(engine, base)
    assert {base + 0x600 + 4 * i for i in range(32)} <= allowed
    assert base + 0x680 not in allowed
    assert base + 0x358 not in allowed, "the timestamp is read-only"
    assert not allowed & {base + offset for offset in (0x30, 0x34, 0x80, 0x230, 0x4D0)}
    assert (0x2600 in allowed) == (engine == "RCS")


def test_registers_that_user_space_relies_on() -> None:
    render = user_registers("RCS", 0x2000)
    assert {0x20C0, 0x2400, 0x2418, 0x241C, 0x2430, 0x2500, 0x5280, 0x7004, 0x7034} <= render
    assert 0x22200 in user_registers("BCS", 0x22000)
