"""Registers: all rows and none, edges, all sizes, unaligned, in bursts; configuration space."""

from __future__ import annotations

import struct

from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.targets import (
    BAR0_SIZE,
    REGISTERS_SIZE,
    ROWS,
    some_register,
)
from tests.gpu_driver import ENGINE_BASES
from tests.gpu_driver.driver import IMR

CONFIG_REGION, CONFIG_SIZE = 7, 256
_LARGEST = 1 << 20


def writes(guest: AttackerGuest, chance: Chance) -> None:
    """Whole registers, with edge values."""
    for _ in range(chance.randrange(1, 40)):
        guest.driver.write32(some_register(chance) & ~3, chance.edge())


def reads(guest: AttackerGuest, chance: Chance) -> None:
    """Whole registers, and parts of them."""
    for _ in range(chance.randrange(1, 20)):
        guest.read(0, some_register(chance), chance.choice((1, 2, 4, 8)))


def odd_writes(guest: AttackerGuest, chance: Chance) -> None:
    """1, 2, 4 or 8 bytes, at any byte."""
    for _ in range(chance.randrange(1, 20)):
        at = some_register(chance) + chance.randrange(4)
        size = chance.choice((1, 2, 4, 8, 3, 16))
        at = min(at, REGISTERS_SIZE - size)
        guest.client.region_write(0, at, chance.garbage(size), posted=chance.once_in(2))


def burst(guest: AttackerGuest, chance: Chance) -> None:
    """Up to a MiB of BAR0 in one access, perhaps across its parts."""
    size = chance.choice((256, 4096, 65536, _LARGEST))
    at = chance.choice((chance.randrange(REGISTERS_SIZE - 256), 0, REGISTERS_SIZE - 128))
    at = min(at if chance.randrange(4) else chance.randrange(BAR0_SIZE), BAR0_SIZE - size)
    match chance.randrange(4):
        case 0:
            guest.read(0, at, size)
        case 1:
            guest.client.region_write(0, at, bytes(size))
        case 2:
            guest.client.region_write(0, at, b"\xff" * size)
        case 3:
            guest.client.region_write(0, at, chance.garbage(size))


def every_row(guest: AttackerGuest, chance: Chance) -> None:
    """Each register of the table in turn, or backwards, or shuffled."""
    rows = list(ROWS)
    if chance.once_in(2):
        chance.shuffle(rows)
    value = chance.edge()
    for offset in rows[: chance.choice((100, len(rows)))]:
        guest.driver.write32(offset, value if chance.randrange(4) else chance.edge())


def many_in_one(guest: AttackerGuest, chance: Chance) -> None:
    """REGION_WRITE_MULTI."""
    count = chance.choice((1, 20, 200))
    writes_ = [
        (0, some_register(chance) & ~3, struct.pack("<I", chance.edge())) for _ in range(count)
    ]
    guest.client.write_multi(writes_, posted=chance.once_in(2))


def interrupt_masks(guest: AttackerGuest, chance: Chance) -> None:
    """Masks, enables and identities of all banks, and of the engines."""
    for _ in range(chance.randrange(1, 12)):
        if chance.once_in(3):
            at = chance.choice([*ENGINE_BASES.values()]) + IMR
        elif chance.once_in(3):
            at = 0x44200
        else:
            at = 0x44300 + 0x10 * chance.randrange(4) + 4 * chance.randrange(4)
        guest.driver.write32(at, chance.edge())


def configuration(guest: AttackerGuest, chance: Chance) -> None:
    """Reads and writes of any size in configuration space."""
    for _ in range(chance.randrange(1, 12)):
        size = chance.choice((1, 2, 4, 8, 64))
        at = chance.choice((0x04, 0x10, 0x50, 0x90, 0x92, 0xAC, chance.randrange(CONFIG_SIZE)))
        at = min(at, CONFIG_SIZE - size)
        if chance.once_in(2):
            guest.read(CONFIG_REGION, at, size)
        else:
            guest.client.region_write(CONFIG_REGION, at, chance.garbage(size))


def other_regions(guest: AttackerGuest, chance: Chance) -> None:
    """Regions that are small, absent or read-only, at their ends."""
    region = chance.randrange(10)
    size = chance.choice((1, 4, 8, 4096))
    at = chance.choice((0, 1, 4, 0xFC, 0xFFFC, 1 << 20, (1 << 64) - 8, chance.getrandbits(64)))
    if chance.once_in(2):
        guest.read(region, at, size)
    else:
        guest.client.region_write(region, at, chance.garbage(size))
