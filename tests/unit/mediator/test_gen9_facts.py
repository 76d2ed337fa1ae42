"""Every number of `mediator.gen9` against a second statement of it, `gen9_numbers.py`.

Software that is tested with its own constants works with any number; hardware does not. Whoever
changes one changes it in both places; a new one belongs there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from struct import Struct
from types import ModuleType
from typing import Any

import pytest

from mediator.gen9 import (
    blits,
    commands,
    context_image,
    engine_register_facts,
    engines,
    execlist,
    forcewake,
    identity,
    interrupts,
    pci,
    pcode,
    pipeline_state,
    privilege,
    pte,
    pvinfo,
    register_facts,
    registers,
)
from mediator.gen9.field import Field
from mmio_trap.register_map import Register
from tests.unit.mediator import gen9_numbers as told

_MODULES = (
    *(blits, commands, context_image, engines, execlist, forcewake, identity, interrupts, pci),
    *(pcode, pipeline_state, pte, pvinfo, registers),
)


def _text(value: object) -> str | None:
    """A number, or what is made of numbers, as `gen9_numbers.py` writes it; None for the rest."""
    match value:
        case bool():
            return None
        case int():
            return f"{value:X}"
        case Field():
            return f"{value.hi}:{value.lo}"
        case Struct():
            return value.format.replace(" ", "")
        case commands.LengthRule():
            return f"{value.mask:X}+{value.bias}"
        case tuple() if value and None not in (parts := [_text(part) for part in value]):
            return ",".join(map(str, parts))
        case Mapping():
            pairs = [(_text(key), _text(each)) for key, each in value.items()]
            if not any(None in pair for pair in pairs):
                return ",".join(f"{key}:{each}" for key, each in pairs)
    return None


def _numbers(module: ModuleType) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, IntEnum | IntFlag):
            if value.__module__ == module.__name__:
                found |= {f"{name}.{each.name}": f"{each.value:X}" for each in value}
        elif not name.startswith("_") and (text := _text(value)) is not None:
            found[name] = text
    return found


@pytest.mark.parametrize("module", _MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_numbers(module: ModuleType) -> None:
    expected = told.NUMBERS[module.__name__.rpartition(".")[2]].split()
    found = _numbers(module)
    assert [
        each for each in expected if found.get(each.partition("=")[0]) != each.partition("=")[2]
    ] == []


def _row(row: Register[Any], base: int) -> str:
    reset = f"={row.reset:X}" if row.reset else ""
    return f"{row.access.name}:{row.offset - base:X}:{row.name}{reset}"


def test_plain_registers() -> None:
    """Name, place, access kind and reset value of each row."""
    expected = [each for part in told.PLAIN_REGISTERS.split() for each in _unfolded(part)]
    assert set(expected) - {_row(row, 0) for row in register_facts.plain_rows()} == set()


@pytest.mark.parametrize("engine", engines.ENGINES, ids=lambda engine: engine.name)
def test_engine_registers(engine: engines.EngineFacts) -> None:
    found = []
    for row in engine_register_facts.engine_register_rows(engine):
        text = _row(row, engine.mmio_base).replace(f"{engine.name.upper()}_", "")
        if "FORCE_TO_NONPRIV" in text:
            text, _, reset = text.partition("=")
            assert int(reset, 16) == engine.mmio_base + 0x94, "RING_NOPID"
        found.append(text)
    expected = [each for part in told.ENGINE_REGISTERS.split() for each in _unfolded(part)]
    assert set(expected) - set(found) == set()


def _unfolded(part: str) -> list[str]:
    """``RW:2710:NAME[8]`` is eight registers, four bytes apart."""
    if part.endswith("]") and "*" in part:
        head, _, count = part.removesuffix("]").rpartition("[*")
        access, offset, name = head.split(":")
        return [f"{access}:{int(offset, 16) + 4 * i:X}:{name}[{i}]" for i in range(int(count))]
    return [part]


@pytest.mark.parametrize("name", ["RCS", "BCS"])
def test_context_image(name: engines.EngineClass) -> None:
    """Which register stands in which dword of a context; VCS and VECS are as BCS."""
    layout = context_image.LAYOUTS[name]
    found = [
        f"{each.index:X}:{each.offset:X}{'r' * each.relative}{'m' * each.masked}"
        for each in layout.registers
    ]
    assert found == told.CONTEXT_IMAGE[name].split()
    assert all(
        block.header == 0x1100_0000 | 2 * len(block.registers) - 1 | posted << 12
        for block, posted in zip(layout.blocks, told.POSTED[name], strict=True)
    )
    assert layout.end == told.IMAGE_END[name]


@pytest.mark.parametrize("name", ["VCS", "VECS"])
def test_context_images_of_the_others(name: engines.EngineClass) -> None:
    assert context_image.LAYOUTS[name] == context_image.LAYOUTS["BCS"]


def test_forcewake_ranges() -> None:
    """Domains of every register below the display's, as ranges; reads, then writes."""
    for write, expected in ((False, told.READ_DOMAINS), (True, told.WRITE_DOMAINS)):
        found = []
        last = None
        for offset in range(0, registers.REGISTER_BLOCK_SIZE, 4):
            domains = forcewake.domains(offset, write=write)
            if domains != last:
                found.append(f"{offset:X}:{domains}")
            last = domains
        assert found == expected.split()


@pytest.mark.parametrize("engine", engines.ENGINES, ids=lambda engine: engine.name)
def test_registers_of_user_batches(engine: engines.EngineFacts) -> None:
    may = privilege.user_registers(engine.engine_class, engine.mmio_base)
    expected = set()
    for part in told.USER_REGISTERS[engine.engine_class].split():
        first, _, last = part.partition("-")
        expected |= set(range(int(first, 16), int(last or first, 16) + 4, 4))
    assert may == expected


@pytest.mark.parametrize("engine", engines.ENGINES, ids=lambda engine: engine.name)
def test_engines(engine: engines.EngineFacts) -> None:
    values = [
        *(engine.engine_class, engine.mmio_base, engine.reset_bit, engine.interrupt_bank.name),
        *(engine.interrupt_shift, engine.master_bit, engine.tlb_register, engine.fault_id),
        *(engine.context_pages, engine.mocs_base),
    ]
    assert values == told.ENGINES[engine.name]


def test_interrupt_banks() -> None:
    found = [
        f"{bank.name}:{bank.offset:X}:"
        + ",".join(f"{bits:X}>{master:X}" for bits, master in bank.sources)
        for bank in interrupts.BANKS
    ]
    assert found == told.BANKS.split()
    bank = interrupts.GT3
    assert (bank.isr, bank.imr, bank.iir, bank.ier) == (0x44330, 0x44334, 0x44338, 0x4433C)


def test_identities() -> None:
    """What the fuses of both parts say, and their frequencies."""
    found = {
        device_id: (
            *(each.device_id, each.revision, each.minimum_mhz, each.guaranteed_mhz),
            *(each.maximum_mhz, each.efficient_mhz),
        )
        for device_id, each in identity.IDENTITIES.items()
    }
    assert found == told.IDENTITIES
    for device_id, each in identity.IDENTITIES.items():
        assert {f"{k:X}={v:X}" for k, v in each.fuses.items()} == set(told.FUSES[device_id].split())


@pytest.mark.parametrize("engine", ["RCS", "BCS", "VCS", "VECS"])
def test_lengths_and_privilege_of_commands(engine: str) -> None:
    """Length field, dwords added to it, fewest dwords, and whether user batches may have it."""
    special: dict[str, str] = {}
    for line in told.COMMAND_LENGTHS.strip().splitlines():
        rule, *names = line.split()
        special |= dict.fromkeys(names, rule)
    for upper in range(1 << 16):
        found = commands.decode(upper << 16, engine)
        if found is None:
            continue
        row = found[0]
        assert found[1] == row.rule.bias, "as long as its header's low half says"
        rule = f"{row.rule.mask:X}+{row.rule.bias}>={row.minimum}{'p' * row.privileged}"
        kind = "XY" if upper >> 13 == 2 else f"{engine}/{upper >> 11 & 3}"
        assert rule == (special.get(row.name) or told.USUAL_LENGTHS[kind]), row.name
