"""Switched registers: a world finds its own values on the hardware, and only differences move."""

from __future__ import annotations

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.vgpu.register_policy import OACONTROL, SWITCHED, VOLATILE, hardware_value
from mediator.vgpu.switched_registers import SwitchedRegisters

REGISTERS = (2 << 20) // 4
RCS_MOCS = ENGINES[0].mocs_base
CSFE_CHICKEN1 = 0x20D4
"""Masked."""
L3SQCREG1 = 0xB100
CS_DEBUG_MODE1 = 0x20EC
"""Volatile and masked, of the render engine."""
L3SQCREG4 = 0xB118
"""Volatile and plain; where no engine's registers are."""
SLOT = ENGINES[0].mmio_base + reg.RING_FORCE_TO_NONPRIV
NOPID = ENGINES[0].mmio_base + reg.RING_NOPID
ALL_ENGINES = [facts.name for facts in ENGINES]


class Hardware:
    """Registers, and what was written to them."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.written: list[tuple[int, int]] = []

    def read32(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        self.values[offset] = value
        self.written.append((offset, value))

    def take(self) -> list[tuple[int, int]]:
        found, self.written = self.written, []
        return found


class World:
    """A vGPU's registers."""

    def __init__(self, values: dict[int, int] | None = None) -> None:
        self.values = [0] * REGISTERS
        for offset, value in (values or {}).items():
            self.values[offset >> 2] = value

    def __getitem__(self, offset: int) -> int:
        return self.values[offset >> 2]


@pytest.fixture
def hardware() -> Hardware:
    return Hardware()


@pytest.fixture
def switched(hardware: Hardware) -> SwitchedRegisters:
    return SwitchedRegisters(hardware)  # type: ignore[arg-type]


def test_the_first_world_writes_all_in_order(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    world = World({RCS_MOCS: 0x37, CSFE_CHICKEN1: 0x4})
    switched.enter(world.values)
    assert hardware.written == [(at, hardware_value(at, world[at])) for at in SWITCHED]
    assert hardware.values[RCS_MOCS] == 0x37
    assert hardware.values[CSFE_CHICKEN1] == 0xFFFF_0004


def test_only_what_differs_is_written(switched: SwitchedRegisters, hardware: Hardware) -> None:
    one, other = World({RCS_MOCS: 1, L3SQCREG1: 5}), World({RCS_MOCS: 2, L3SQCREG1: 5})
    switched.enter(one.values)
    hardware.take()
    switched.enter(one.values)
    assert hardware.take() == []
    switched.enter(other.values)
    assert hardware.take() == [(RCS_MOCS, 2)]


def test_what_commands_changed_is_kept_for_its_world_and_undone_for_others(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    one, other = World(), World()
    switched.enter(one.values)
    hardware.values[CS_DEBUG_MODE1] = 0xABCD_0010
    hardware.values[L3SQCREG4] = 0x1234_5678
    switched.leave(one.values, ALL_ENGINES)
    assert (one[CS_DEBUG_MODE1], one[L3SQCREG4]) == (0x10, 0x1234_5678)
    hardware.take()
    switched.enter(other.values)
    assert set(hardware.take()) == {(CS_DEBUG_MODE1, 0xFFFF_0000), (L3SQCREG4, 0)}
    switched.leave(other.values, ALL_ENGINES)
    hardware.take()
    switched.enter(one.values)
    assert set(hardware.take()) == {(CS_DEBUG_MODE1, 0xFFFF_0010), (L3SQCREG4, 0x1234_5678)}


def test_what_is_not_volatile_is_not_read_back(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    world = World({RCS_MOCS: 3})
    switched.enter(world.values)
    for offset in set(SWITCHED) - set(VOLATILE):
        hardware.values[offset] = 0xDEAD_BEEF
    before = world.values[:]
    switched.leave(world.values, ALL_ENGINES)
    assert world.values == before


def test_every_volatile_register_belongs_to_an_engine(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    world = World()
    for offset in VOLATILE:
        hardware.values[offset] = 0x5A5A
    switched.leave(world.values, ALL_ENGINES)
    assert {offset for offset in VOLATILE if world[offset] != 0x5A5A} == set()


def test_one_new_value_is_written_at_once(switched: SwitchedRegisters, hardware: Hardware) -> None:
    world = World()
    switched.enter(world.values)
    hardware.take()
    world.values[CSFE_CHICKEN1 >> 2] = 0x60
    switched.put(CSFE_CHICKEN1, 0x60)
    assert hardware.take() == [(CSFE_CHICKEN1, 0xFFFF_0060)]
    switched.enter(world.values)
    assert hardware.take() == []


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_an_engine_that_was_reset_gets_its_own_again(
    switched: SwitchedRegisters, hardware: Hardware, facts: object
) -> None:
    base: int = facts.mmio_base  # type: ignore[attr-defined]
    world = World()
    switched.enter(world.values)
    hardware.take()
    switched.restore(facts.name, world.values)  # type: ignore[attr-defined]
    written = {offset for offset, _ in hardware.take()}
    own = {offset for offset in SWITCHED if base <= offset < base + 0x1000}
    assert own <= written
    others = {f.mmio_base for f in ENGINES} - {base}
    assert not any(other <= offset < other + 0x1000 for offset in written for other in others)


def test_after_a_reset_all_is_written_again(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    world = World()
    switched.enter(world.values)
    hardware.take()
    switched.forget()
    switched.enter(world.values)
    assert [offset for offset, _ in hardware.take()] == list(SWITCHED)


def test_a_slot_that_names_what_users_may_not_write_is_unused_on_hardware(
    switched: SwitchedRegisters, hardware: Hardware
) -> None:
    for named, there in ((L3SQCREG4, L3SQCREG4), (0x2230, NOPID), (0x2080, NOPID)):
        switched.put(SLOT, named)
        assert hardware.values[SLOT] == there


def test_performance_reports_stay_off(switched: SwitchedRegisters, hardware: Hardware) -> None:
    assert OACONTROL in SWITCHED
    switched.enter(World({OACONTROL: 0xFFFF_FFFF}).values)
    assert hardware.values[OACONTROL] == 0
