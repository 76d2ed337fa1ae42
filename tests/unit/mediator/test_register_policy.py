"""The lists of registers behind a vGPU's policies, told once more; and who serves which register.

Hexadecimal BAR0 offsets; first-last is every fourth byte up to the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from mediator.gen9.engines import ENGINES, RCS0
from mediator.softgpu import mmio_table as softgpu_table
from mediator.softgpu.engine_registers import engine_rows as softgpu_engine_rows
from mediator.vgpu import mmio_table, register_policy
from mediator.vgpu.register_policy import Policy, hardware_value, virtual_value
from mmio_trap.register_map import Register
from tests.unit.mediator import register_policies as told


def spans(offsets: Iterable[int]) -> str:
    """``offsets`` as `register_policies.py` writes them."""
    found: list[list[int]] = []
    for offset in sorted(offsets):
        if found and offset == found[-1][1] + 4:
            found[-1][1] = offset
        else:
            found.append([offset, offset])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found)


@pytest.mark.parametrize("policy", [p for p in Policy if p is not Policy.EMULATED])
def test_policies(policy: Policy) -> None:
    members = [at for at, has in register_policy.ROW_POLICY.items() if has is policy]
    assert spans(members).split() == told.POLICIES[policy.name].split()


@pytest.mark.parametrize("name", ["VOLATILE", "SWITCHED", "COMMAND_STORED", "PERFORMANCE_GAPS"])
def test_lists(name: str) -> None:
    assert spans(getattr(register_policy, name)).split() == told.LISTS[name].split()


def test_slots_are_written_last() -> None:
    """What may be named there is in force by then."""
    slots = [0x24D0 + 4 * n for n in range(12)]
    order = list(register_policy.SWITCHED)
    assert [at for at in order[-48:] if at < 0x3000] == slots
    assert len(order) == len(set(order))


def served(rows: Iterable[Register[Any]], base: int = 0) -> list[str]:
    """Offsets by the functions that serve them."""
    by_name: dict[str, list[int]] = {}
    for row in rows:
        names = [
            getattr(each, "__qualname__", "").replace(".<locals>", "").replace("<lambda>", "lambda")
            for each in (row.read, row.write)
            if each is not None
        ]
        if names:
            by_name.setdefault("+".join(names), []).append(row.offset - base)
    return [f"{name}: {spans(offsets)}" for name, offsets in sorted(by_name.items())]


TABLES = {
    "vgpu": lambda: served(mmio_table.plain_table_rows()),
    "vgpu engine": lambda: served(
        (
            row
            for row in mmio_table.REGISTER_MAP.by_offset.values()
            if RCS0.mmio_base <= row.offset < RCS0.mmio_base + 0x700 and row.name.startswith("RCS0")
        ),
        RCS0.mmio_base,
    ),
    "softgpu": lambda: served(softgpu_table.table_rows()),
    "softgpu engine": lambda: served(softgpu_engine_rows(RCS0), RCS0.mmio_base),
}


def _pairs(part: str) -> set[tuple[str, int]]:
    """``handlers: first-last offset`` as a pair for each offset."""
    name, _, offsets = part.strip().partition(": ")
    found = set()
    for each in offsets.split():
        first, _, last = each.partition("-")
        found |= {(name, at) for at in range(int(first, 16), int(last or first, 16) + 4, 4)}
    return found


@pytest.mark.parametrize("name", TABLES)
def test_who_serves_which_register(name: str) -> None:
    expected = set().union(*map(_pairs, told.HANDLERS[name].strip().split("\n\n")))
    found = set().union(*map(_pairs, TABLES[name]()))
    assert expected - found == set()


NOPID = RCS0.mmio_base + 0x94
SLOT = RCS0.mmio_base + 0x4D0


@pytest.mark.parametrize(
    ("slot", "passes"),
    [
        (0x2580, True),  # CS_CHICKEN1, of the context
        (0x20EC, True),
        (0xB118, True),
        (0x7708 | 1, True),  # four registers: 7700 to 770C
        (0x7700 | 1, True),
        (0x7700 | 2, False),
        (0x2600 | 2, True),  # sixteen of the general purpose registers
        (0x2600 | 3, False),
        (0x2248, True),
        (0x224C, False),
        (0xA188, False),
        (0x2030, False),
    ],
)
@pytest.mark.parametrize("access", [0, 1 << 28, 3 << 28, 1 << 26, 1 << 30, 1 << 31])
def test_slots_name_what_user_batches_may_have(slot: int, passes: bool, access: int) -> None:
    expected = slot | access & (3 << 28) if passes else NOPID
    assert hardware_value(SLOT, slot | access) == expected
    assert hardware_value(SLOT + 44, slot | access) == expected


def test_each_engines_unused_slot_names_its_own_register() -> None:
    for facts in ENGINES:
        for n in range(12):
            at = facts.mmio_base + 0x4D0 + 4 * n
            assert hardware_value(at, 0xA188) == facts.mmio_base + 0x94


def test_values_on_the_hardware() -> None:
    for virtual in (0, 0xFFFF_FFFF, 0x1234_5678):
        assert hardware_value(0x20D4, virtual) == 0xFFFF_0000 | virtual & 0xFFE7
        assert hardware_value(0x20EC, virtual) == 0xFFFF_0000 | virtual & 0xFFFF
        assert hardware_value(0x2B00, virtual) == 0
        assert hardware_value(0xB118, virtual) == virtual
        assert virtual_value(0x20EC, virtual) == virtual & 0xFFFF
        assert virtual_value(0xB118, virtual) == virtual


def test_engine_rows_of_all_engines_are_alike() -> None:
    for facts in ENGINES[1:]:
        assert served(softgpu_engine_rows(facts), facts.mmio_base) == TABLES["softgpu engine"]()
