"""Rings: tails that go anywhere, text laid over what runs, commands within commands."""

from __future__ import annotations

from collections.abc import Sequence

from mediator.gen9.context_image import ImageIndex
from tests.fuzz.hostile_guest.attacker_guest import BATCH, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance, packed
from tests.fuzz.hostile_guest.streams import batch, foreign_command, ggtt_address, stream
from tests.gpu_driver import ENGINE_BASES, PAGE, RING_PAGES, Context
from tests.gpu_driver.commands import (
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    batch_start,
    load_register,
    padded,
    semaphore_wait,
    store_dword,
)
from tests.gpu_driver.driver import MI_MODE

RING_SIZE = RING_PAGES * PAGE
_LONG = 61
"""Register writes in a long command: its operands are where other text will seem to stand."""


def lay(guest: AttackerGuest, context: Context, at: int, dwords: Sequence[int]) -> int:
    """Write into the ring from offset ``at`` on, round its end; the offset behind."""
    data = packed([*padded(dwords)])
    first = min(len(data), RING_SIZE - at)
    guest.driver.ram.write(context.ring + at, data[:first])
    guest.driver.ram.write(context.ring, data[first:])
    return (at + len(data)) % RING_SIZE


def set_tail(guest: AttackerGuest, context: Context, tail: int) -> None:
    """In the image, whatever it is."""
    context.tail = tail % RING_SIZE & ~7
    guest.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), tail)


def valid_request(guest: AttackerGuest, chance: Chance) -> None:
    """As a driver submits one."""
    context = chance.choice(guest.contexts)
    commands = stream(guest, chance, context.engine, chance.choice((80, 200, 600)))
    guest.driver.add_request(context, commands)
    guest.driver.submit(context)


def tail_moves(guest: AttackerGuest, chance: Chance) -> None:
    """Forward, back, equal, around, into a command, outside; then the context again."""
    context = chance.choice(guest.contexts)
    head = guest.driver.ram.read_u32(context.value(ImageIndex.RING_HEAD)) % RING_SIZE
    start = context.tail
    for _ in range(chance.randrange(1, 6)):
        match chance.randrange(7):
            case 0:
                context.tail = lay(
                    guest, context, context.tail, stream(guest, chance, context.engine, 120)
                )
                tail = context.tail
            case 1:
                tail = (context.tail - 8 * chance.randrange(1, 64)) % RING_SIZE
            case 2:
                tail = context.tail
            case 3:
                tail = chance.choice((start, head))
            case 4:
                tail = (head - 8 * chance.randrange(3)) % RING_SIZE
            case 5:
                tail = chance.randrange(RING_SIZE) & ~chance.choice((7, 3, 0))
            case _:
                tail = chance.edge()
        set_tail(guest, context, tail)
        guest.driver.submit(context)


def rewrite_ring(guest: AttackerGuest, chance: Chance) -> None:
    """What has been submitted is overwritten while it may run."""
    context = chance.choice(guest.contexts)
    guest.driver.add_request(context, stream(guest, chance, context.engine, 400))
    guest.driver.submit(context)
    for _ in range(chance.randrange(1, 8)):
        evil = foreign_command(guest, chance, context.engine) * chance.randrange(1, 40)
        lay(guest, context, chance.randrange(RING_SIZE) & ~7, evil)
    if chance.once_in(2):
        guest.driver.submit(context)


def text_over_a_long_command(guest: AttackerGuest, chance: Chance) -> None:
    """A long command runs whose operands are commands; then its first dwords become others.

    With arbitration off the hardware runs past a tail that moves back, around the ring, and meets
    the operands as text.
    """
    driver = guest.driver
    context = guest.new_context(chance.choice([*ENGINE_BASES]))
    evil = foreign_command(guest, chance, context.engine)
    flag = guest.map_ggtt(driver.ram.allocate())
    gpr = ENGINE_BASES[context.engine] + 0x600
    pairs = [(gpr + 4 * (n % 32), evil[n % len(evil)]) for n in range(_LONG)]
    long = load_register(*pairs)
    text = [*evil] * (len(long) // len(evil))
    # Values stand in every second dword: the overlay begins anywhere within them.
    long = [long[0], *text, *[MI_NOOP] * (len(long) - 1 - len(text))]
    if chance.once_in(2):
        long = load_register(*pairs)
    hold = semaphore_wait(flag, 1, ggtt=True) if chance.once_in(2) else []
    head = context.tail
    before = lay(guest, context, head, [MI_ARB_OFF if chance.randrange(4) else MI_ARB_ON, *hold])
    after = lay(guest, context, before, long)
    middle = lay(guest, context, after, stream(guest, chance, context.engine, 200))
    set_tail(guest, context, middle)
    driver.submit(context)
    if chance.once_in(2):
        driver.ram.write_u32(guest.placed[flag], 1)
    lay(guest, context, before, [MI_NOOP] * (2 * chance.randrange(1, 4)))
    for _ in range(chance.randrange(1, 4)):
        back = (before + 8 * chance.randrange(4)) % RING_SIZE
        set_tail(guest, context, chance.choice((back, head, before, after, middle)))
        driver.submit(context)
    driver.ram.write_u32(guest.placed[flag], 1)
    driver.submit(context)


def stale_batch_start(guest: AttackerGuest, chance: Chance) -> None:
    """The ring keeps a batch start whose room is given to another batch, and is run again."""
    driver = guest.driver
    context = guest.new_context(chance.choice([*ENGINE_BASES]))
    at = guest.new_batch()
    harmless = store_dword(guest.own_ggtt, 1, ggtt=True)
    driver.ram.write_u32(guest.placed[at], *harmless, MI_BATCH_BUFFER_END)
    first = context.tail
    text = [MI_ARB_OFF, *[MI_NOOP] * chance.choice((1, 101, 1001)), *batch_start(at, ggtt=True)]
    second = lay(guest, context, first, text)
    set_tail(guest, context, second)
    driver.submit(context)
    for _ in range(chance.randrange(1, 5)):
        values = load_register(
            *(
                (ENGINE_BASES[context.engine] + 0x600, word)
                for word in foreign_command(guest, chance, context.engine)
            )
        )
        body = [*values] * chance.randrange(1, 6)
        driver.ram.write_u32(guest.placed[at], *body, MI_BATCH_BUFFER_END)
        end = lay(guest, context, second, batch_start(at, ggtt=True))
        set_tail(guest, context, chance.choice((end, second, first, (first + 8) % RING_SIZE)))
        driver.submit(context)


def hold_the_engine(guest: AttackerGuest, chance: Chance) -> None:
    """Work that does not end: spinning with and without arbitration, waiting, calling itself."""
    driver = guest.driver
    context = guest.new_context(chance.choice([*ENGINE_BASES]))
    page = guest.user_batch(context)
    body = chance.choice(
        (
            [MI_ARB_OFF, *batch_start(BATCH)],
            [MI_NOOP, *batch_start(BATCH)],
            [0x05 << 23, *batch_start(BATCH)],
            [*store_dword(0x5000_0000, 1), *batch_start(BATCH)],
            [*batch_start(BATCH, second=True)],
            [*semaphore_wait(0x5000_0000, 0xFFFF_FFFF, compare=4)],
        )
    )
    driver.ram.write_u32(page, *body)
    before = chance.choice(([], [MI_ARB_OFF], [MI_ARB_ON], [MI_ARB_OFF, MI_NOOP], [MI_ARB_ON, 0]))
    driver.add_request(context, [*before, *batch_start(BATCH)])
    driver.submit(context)


def engines_that_answer_late(guest: AttackerGuest, chance: Chance) -> None:
    """All engines busy with what gives way at times of its own."""
    driver = guest.driver
    for engine in ENGINE_BASES:
        context = guest.new_context(engine)
        count = chance.choice((200, 600, 1000))
        body = [MI_NOOP] * count
        driver.ram.write_u32(guest.user_batch(context), *body, 0x05 << 23, *batch_start(BATCH))
        driver.add_request(context, [MI_ARB_OFF, MI_NOOP, *batch_start(BATCH)])
        driver.submit(context)


def ring_fields(guest: AttackerGuest, chance: Chance) -> None:
    """Start, size, head and tail of the ring are what they should not be."""
    context = chance.choice(guest.contexts)
    index = chance.choice(
        (ImageIndex.RING_HEAD, ImageIndex.RING_TAIL, ImageIndex.RING_START, ImageIndex.RING_CTL)
    )
    value = chance.choice((chance.edge(), ggtt_address(guest, chance), chance.randrange(RING_SIZE)))
    driver = guest.driver
    before = driver.ram.read_u32(context.value(index))
    driver.add_request(context, batch(guest, chance, context.engine, 200)[:300])
    driver.ram.write_u32(context.value(index), value & 0xFFFF_FFFF)
    driver.submit(context)
    if chance.once_in(2):
        driver.ram.write_u32(context.value(index), before)


def stop_and_go(guest: AttackerGuest, chance: Chance) -> None:
    """The ring is stopped and let go again, by the bit that a driver takes."""
    for _ in range(chance.randrange(1, 6)):
        engine = chance.choice([*ENGINE_BASES])
        stop = chance.once_in(2)
        guest.driver.engine_write(engine, MI_MODE, 1 << 24 | stop << 8)
        if guest.contexts and chance.once_in(2):
            guest.driver.submit(chance.choice(guest.contexts))
