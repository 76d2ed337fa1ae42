"""Thefts: straight at the neighbour's memory, by one kind of access alone, into a stash.

Where its memory is likely to be the attacker guesses as a guest can that knows this software.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.hostile_guest.attacker_guest import BATCH, TARGET, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.targets import neighbours_ggtt_address, neighbours_physical_page
from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, PAGE
from tests.gpu_driver.commands import (
    atomic_add,
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    invalidate,
    load_register_memory,
    post_sync,
    store_dword,
    store_qword,
    store_register,
)

STASH = 0x6000_0000
_TRIES = 24


def _stash(guest: AttackerGuest) -> tuple[int, int]:
    """Guest and GGTT address of a page that nothing else is written to."""
    page = guest.driver.ram.allocate()
    return page, guest.map_ggtt(page)


def some_theft(guest: AttackerGuest, chance: Chance, engine: str, tries: int = 1) -> list[int]:
    """One command, or a pair, at ``tries`` GGTT addresses of the neighbour."""
    _, stash = _stash(guest)
    gpr, mark = ENGINE_BASES[engine] + 0x600, guest.mark
    kinds: tuple[Callable[[int, int], list[int]], ...] = (
        lambda at, to: copy_dword(to, at, target_ggtt=True, source_ggtt=True),
        lambda at, to: [
            *load_register_memory(gpr, at, ggtt=True),
            *store_register(gpr, to, ggtt=True),
        ],
        lambda at, _: store_dword(at, mark, ggtt=True),
        lambda at, _: store_qword(at & ~7, mark << 32 | mark, ggtt=True),
        lambda at, _: atomic_add(at, mark, ggtt=True),
        lambda at, _: post_sync(engine, at & ~7, mark),
        lambda at, to: copy_dword(at, to, target_ggtt=True, source_ggtt=True),
        lambda at, _: store_register(gpr, at, ggtt=True),
    )
    kind, parts = chance.choice(kinds), (guest.driver.ggtt.low, guest.driver.ggtt.high)
    commands: list[int] = []
    for number in range(tries):
        address = neighbours_ggtt_address(chance, parts) + 4 * chance.choice((0, 2, 16, 34))
        commands += kind(address, stash + 8 * number)
    return commands


def by_commands(guest: AttackerGuest, chance: Chance) -> None:
    """In the ring or in a batch."""
    engine = chance.choice([*ENGINE_BASES])
    guest.refresh(engine)
    context, driver = guest.new_context(engine), guest.driver
    commands = some_theft(guest, chance, engine, chance.choice((1, _TRIES)))
    if chance.once_in(3):
        at = guest.new_batch()
        driver.ram.write_u32(guest.placed[at], *commands, MI_BATCH_BUFFER_END)
        commands = batch_start(at, ggtt=True)
    driver.add_request(context, commands)
    driver.submit(context)


def by_page_tables(guest: AttackerGuest, chance: Chance) -> None:
    """Entries of the last level, or a table of a higher one, name the neighbour's pages."""
    engine = chance.choice(("bcs0", "bcs0", "rcs0", "vcs0", "vecs0"))
    guest.refresh(engine)
    context, driver = guest.new_context(engine), guest.driver
    page, _ = _stash(guest)
    context.tables.map(STASH, page)
    pages = 8
    for number in range(pages):
        physical = neighbours_physical_page(chance, guest.ram.size)
        level = 3 if chance.randrange(4) else chance.randrange(3)
        address = TARGET + PAGE * number if level == 3 else TARGET
        driver.ram.write_u64(context.tables.slot(address, level), physical | 3)
    body = [*invalidate(engine)]
    writes = chance.once_in(2)
    for number in range(pages):
        at = TARGET + PAGE * number
        if engine == "bcs0" and writes:
            body += color_blit(at, 64, 16, 16, guest.mark)
        elif engine == "bcs0":
            body += copy_blit(STASH + 256 * number, at, 64, 16, 4, fast=chance.once_in(2))
        elif writes:
            body += store_dword(at, guest.mark)
        else:
            body += copy_dword(STASH + 8 * number, at)
        if chance.once_in(2):  # the first that is refused ends it
            break
    driver.ram.write_u32(guest.user_batch(context), *body, MI_BATCH_BUFFER_END)
    driver.add_request(context, batch_start(BATCH))
    driver.submit(context)


def by_ggtt_entries(guest: AttackerGuest, chance: Chance) -> None:
    """An own GGTT address is pointed at the neighbour's page, and used in a valid way."""
    engine = chance.choice([*ENGINE_BASES])
    guest.refresh(engine)
    context, driver = guest.new_context(engine), guest.driver
    _, stash = _stash(guest)
    _, at = _stash(guest)
    driver.ggtt_write(at, neighbours_physical_page(chance, guest.ram.size) | 1)
    read = copy_dword(stash, at, target_ggtt=True, source_ggtt=True)
    write = store_dword(at + 4 * chance.randrange(1024), guest.mark, ggtt=True)
    driver.add_request(context, [*read, *write] if chance.once_in(2) else read)
    driver.submit(context)


def by_the_aperture(guest: AttackerGuest, chance: Chance) -> None:
    """The processor's way through the GGTT: others' addresses, and own ones that point there."""
    driver = guest.driver
    parts = driver.ggtt.low, driver.ggtt.low
    at = neighbours_ggtt_address(chance, parts) % (256 << 20) & -PAGE
    if chance.once_in(2):
        _, at = _stash(guest)
        driver.ggtt_write(at, neighbours_physical_page(chance, guest.ram.size) | 1)
    if chance.once_in(2):
        guest.read(2, at, 64)
    else:
        guest.client.region_write(2, at, guest.mark.to_bytes(4, "little") * 4)
