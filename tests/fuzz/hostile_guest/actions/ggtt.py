"""The GGTT and the aperture: entries for everything, of everybody, at any time."""

from __future__ import annotations

import struct

from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.streams import ggtt_address
from tests.fuzz.hostile_guest.targets import APERTURE, TABLE, some_physical_page
from tests.gpu_driver import PAGE
from tests.gpu_driver.commands import copy_dword, store_dword

APERTURE_REGION = 2
_LARGEST = 1 << 20


def _slot(address: int) -> int:
    """Offset in BAR0 of the entry for ``address``."""
    return TABLE + min(8 * (address >> 12), TABLE - 8)


def _entry(guest: AttackerGuest, chance: Chance) -> int:
    flags = chance.choice((1, 1, 1, 0, 3, 0xFFF, 1 << 63 | 1))
    return some_physical_page(chance, guest.ram.size) | flags


def some_entries(guest: AttackerGuest, chance: Chance) -> None:
    """Own, foreign and overlapping ones; of what has just been submitted."""
    for _ in range(chance.randrange(1, 20)):
        at = _slot(ggtt_address(guest, chance))
        guest.driver.write(at, struct.pack("<Q", _entry(guest, chance) & (1 << 64) - 1))
    if guest.contexts and chance.once_in(2):
        guest.driver.submit(chance.choice(guest.contexts))


def odd_accesses(guest: AttackerGuest, chance: Chance) -> None:
    """Halves of entries, bytes of them, across two of them."""
    for _ in range(chance.randrange(1, 10)):
        at = _slot(ggtt_address(guest, chance)) + chance.randrange(8)
        size = chance.choice((1, 2, 4, 8, 12, 64))
        at = min(at, 2 * TABLE - size)
        if chance.once_in(2):
            guest.client.region_write(0, at, chance.garbage(size))
        else:
            guest.read(0, at, size)


def burst(guest: AttackerGuest, chance: Chance) -> None:
    """Up to a MiB of entries in one access."""
    size = chance.choice((PAGE, 64 * PAGE, _LARGEST))
    at = TABLE + chance.randrange(0, TABLE - size, 8)
    if chance.once_in(2):
        at = TABLE + 8 * (guest.driver.ggtt.high.start >> 12)
    if chance.once_in(3):
        guest.read(0, at, size)
        return
    entries = [_entry(guest, chance) & (1 << 64) - 1 for _ in range(32)]
    data = struct.pack("<32Q", *entries) * (size // 256)
    guest.client.region_write(0, at, data, posted=chance.once_in(2))


def through_the_gpu(guest: AttackerGuest, chance: Chance) -> None:
    """An entry of its own is pointed elsewhere; the GPU is to read and write there."""
    driver = guest.driver
    context = guest.new_context(chance.choice(("rcs0", "bcs0", "vcs0", "vecs0")))
    at = guest.map_ggtt(driver.ram.allocate())
    first, then = (some_physical_page(chance, guest.ram.size) | 1 for _ in range(2))
    if chance.once_in(2):
        driver.ggtt_write(at, first & (1 << 64) - 1)
    reads = copy_dword(guest.own_ggtt, at + 8, target_ggtt=True, source_ggtt=True)
    writes = store_dword(at + 4 * chance.randrange(1024), guest.mark, ggtt=True)
    driver.add_request(context, [*reads, *writes] * chance.choice((1, 20)))
    driver.submit(context)
    driver.ggtt_write(at, then & (1 << 64) - 1)


def aperture(guest: AttackerGuest, chance: Chance) -> None:
    """Reads and writes of any size through it; some entries below name foreign pages."""
    if chance.once_in(2):
        at = guest.driver.ggtt.low.start + PAGE * chance.randrange(64)
        guest.driver.ggtt_write(at, _entry(guest, chance) & (1 << 64) - 1)
    size = chance.choice((1, 4, 8, 64, PAGE, 16 * PAGE, _LARGEST))
    places = [guest.own_ggtt, guest.driver.ggtt.low.start, chance.randrange(APERTURE), APERTURE]
    at = min(chance.choice(places), APERTURE - size)
    if chance.once_in(2):
        guest.read(APERTURE_REGION, at, size)
    else:
        guest.client.region_write(APERTURE_REGION, at, chance.garbage(size))
