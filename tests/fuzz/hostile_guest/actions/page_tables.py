"""Page tables: entries to everywhere, cycles, changes while the GPU walks."""

from __future__ import annotations

from tests.fuzz.hostile_guest.attacker_guest import BATCH, OWN, TARGET, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.targets import some_physical_page
from tests.gpu_driver import MI_BATCH_BUFFER_END, PAGE, Context
from tests.gpu_driver.commands import (
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    invalidate,
    store_dword,
)

_FLAGS = (3, 3, 3, 1, 0, 2, 0x83, 0x803, 0x1B, 0x7FF, 1 << 63 | 3, 0xFFF | 1 << 62)


def _slot(chance: Chance, context: Context) -> int:
    """Guest address of some entry, of any level, on the way to what the context uses."""
    address = chance.choice((BATCH, OWN, TARGET, TARGET + 0x1000, 0, (1 << 48) - PAGE))
    return context.tables.slot(address, chance.choice((3, 3, 3, 2, 1, 0)))


def entries(guest: AttackerGuest, chance: Chance) -> None:
    """Some entries name what is not the guest's, or have odd bits."""
    context = chance.choice(guest.contexts)
    for _ in range(chance.randrange(1, 10)):
        entry = some_physical_page(chance, guest.ram.size) | chance.choice(_FLAGS)
        guest.driver.ram.write_u64(_slot(chance, context), entry & (1 << 64) - 1)
    reach(guest, chance, context)


def reach(guest: AttackerGuest, chance: Chance, context: Context) -> None:
    """Have the GPU copy out of, and into, what the tables now say."""
    evil = guest.mark
    body: list[int] = [*invalidate(context.engine)]
    for page in range(4):
        at = TARGET + PAGE * page
        body += copy_dword(OWN + 8 * page, at)
        body += store_dword(at + 4 * chance.randrange(1024), evil)
    if context.engine == "bcs0":
        body += copy_blit(OWN, TARGET, 64, 16, 16, fast=chance.once_in(2))
        body += color_blit(TARGET, 256, 64, 64, evil)
    guest.driver.ram.write_u32(guest.user_batch(context), *body, MI_BATCH_BUFFER_END)
    guest.driver.add_request(context, batch_start(BATCH) if chance.once_in(2) else body)
    guest.driver.submit(context)


def foreign_memory(guest: AttackerGuest, chance: Chance) -> None:
    """A run of pages at TARGET is mapped to what is not the guest's, and is used."""
    context = guest.new_context(chance.choice(("bcs0", "rcs0", "vcs0", "vecs0")))
    physical = some_physical_page(chance, guest.ram.size)
    flags = chance.choice(_FLAGS)
    for page in range(16):
        entry = physical + PAGE * (page if chance.once_in(2) else 0) | flags
        guest.driver.ram.write_u64(context.tables.slot(TARGET + PAGE * page), entry & (1 << 64) - 1)
    reach(guest, chance, context)


def cycle(guest: AttackerGuest, chance: Chance) -> None:
    """A table is its own child, or another level's."""
    context = guest.new_context(chance.choice(("rcs0", "bcs0")))
    ram, tables = guest.driver.ram, context.tables
    levels = [tables.root, *(tables.slot(TARGET, level) & ~0xFFF for level in (1, 2, 3))]
    for _ in range(chance.randrange(1, 4)):
        table, child = chance.choice(levels), chance.choice(levels)
        first, count = chance.choice(((0, 512), (chance.randrange(512), 1), (256, 256)))
        for entry in range(first, min(512, first + count)):
            ram.write_u64(table + 8 * entry, child | 3)
    reach(guest, chance, context)


def wide(guest: AttackerGuest, chance: Chance) -> None:
    """Tables that name as many tables as they can: what a shadow has to copy."""
    context = guest.new_context("rcs0")
    ram = guest.driver.ram
    tables = [ram.allocate() for _ in range(chance.choice((8, 40)))]
    for table in tables:
        for entry in range(0, 512, chance.choice((1, 7, 64))):
            ram.write_u64(table + 8 * entry, chance.choice(tables) | 3)
    for entry in range(0, 512, 5):
        ram.write_u64(context.tables.root + 8 * entry, chance.choice(tables) | 3)
    reach(guest, chance, context)


def churn(guest: AttackerGuest, chance: Chance) -> None:
    """Entries change to and fro while the GPU uses them."""
    context = chance.choice(guest.contexts)
    ram = guest.driver.ram
    slots = [context.tables.slot(TARGET + PAGE * page) for page in range(4)]
    values = [some_physical_page(chance, guest.ram.size) | 3 for _ in range(6)]
    values += [guest.own | 3, 0]
    for turn in range(chance.choice((3, 30))):
        for slot in slots:
            ram.write_u64(slot, chance.choice(values))
        if turn % 3 == 0:
            reach(guest, chance, context)
