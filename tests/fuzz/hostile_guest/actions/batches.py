"""Batches: of users on each engine, and privileged ones, nested, cyclic, changed, huge."""

from __future__ import annotations

from tests.fuzz.hostile_guest.attacker_guest import BATCH, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance, packed
from tests.fuzz.hostile_guest.streams import batch, command, privileged_command
from tests.fuzz.hostile_guest.targets import some_command_register, some_physical_page
from tests.gpu_driver import ENGINE_BASES, PAGE
from tests.gpu_driver.commands import (
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_END,
    batch_start,
    load_register,
    update_ggtt,
)

_HUGE_PAGES = 256


def user_batch(guest: AttackerGuest, chance: Chance) -> None:
    """On any engine, with register writes, jumps and foreign addresses."""
    context = chance.choice(guest.contexts)
    guest.driver.ram.write_u32(
        guest.user_batch(context), *batch(guest, chance, context.engine, 3000)
    )
    guest.driver.add_request(context, batch_start(BATCH))
    guest.driver.submit(context)


def user_register_writes(guest: AttackerGuest, chance: Chance) -> None:
    """A user batch of nothing but register writes: BCS does not refuse them."""
    context = guest.new_context(chance.choice(("bcs0", "bcs0", *ENGINE_BASES)))
    pairs = [(some_command_register(chance, context.engine), chance.edge()) for _ in range(30)]
    body = [*load_register(*pairs), MI_BATCH_BUFFER_END]
    guest.driver.ram.write_u32(guest.user_batch(context), *body)
    guest.driver.add_request(context, batch_start(BATCH))
    guest.driver.submit(context)


def privileged_batch(guest: AttackerGuest, chance: Chance) -> None:
    """In the GGTT: several that start one another, changed after they were submitted."""
    context = chance.choice(guest.contexts)
    ram, engine = guest.driver.ram, context.engine
    for _ in range(chance.randrange(1, 4)):
        guest.new_batch()
    for at in guest.batches:
        ram.write_u32(guest.placed[at], *batch(guest, chance, engine, 1000))
    start = batch_start(chance.choice(guest.batches), ggtt=True)
    guest.driver.add_request(context, [*start, *command(guest, chance, engine)])
    guest.driver.submit(context)
    for _ in range(chance.randrange(4)):
        at = chance.choice(guest.batches)
        ram.write_u32(guest.placed[at], *batch(guest, chance, engine, 1000))
        if chance.once_in(2):
            guest.driver.submit(context)


def endless_privileged_batch(guest: AttackerGuest, chance: Chance) -> None:
    """Two that call each other."""
    context = chance.choice(guest.contexts)
    one, two = guest.new_batch(), guest.new_batch()
    ram = guest.driver.ram
    second = chance.once_in(4)
    work = privileged_command(guest, chance, context.engine)
    ram.write_u32(guest.placed[one], *work, *batch_start(two, ggtt=True, second=second))
    ram.write_u32(guest.placed[two], MI_ARB_CHECK, *batch_start(one, ggtt=True))
    guest.driver.add_request(context, batch_start(one, ggtt=True))
    guest.driver.submit(context)


def huge_privileged_batch(guest: AttackerGuest, chance: Chance) -> None:
    """A MiB of what the audit looks at longest: refused writes, GGTT updates, arbitration."""
    context = guest.new_context(chance.choice([*ENGINE_BASES]))
    ram = guest.driver.ram
    physical = ram.allocate(_HUGE_PAGES)
    at = guest.map_ggtt(physical, _HUGE_PAGES)
    match chance.randrange(4):
        case 0:
            unit = load_register(*[(some_command_register(chance, context.engine), 0)] * 63)
        case 1:
            entry = some_physical_page(chance, guest.ram.size) | 1
            unit = update_ggtt(guest.own_ggtt, *[entry] * 15)
        case 2:
            unit = [MI_ARB_CHECK] * 64
        case _:
            unit = privileged_command(guest, chance, context.engine)
    room = _HUGE_PAGES * PAGE - 8
    data = (packed(unit) * (room // (4 * len(unit))))[:room] + packed([MI_BATCH_BUFFER_END])
    ram.write(physical, data)
    guest.driver.add_request(context, batch_start(at, ggtt=True))
    for _ in range(chance.choice((1, 1, 3))):
        guest.driver.submit(context)
