"""Contexts: pairs in all combinations, images and pages of them with anything in them."""

from __future__ import annotations

from mediator.gen9.context_image import LAYOUTS, ImageIndex
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance, packed
from tests.fuzz.hostile_guest.streams import batch, ggtt_address, stream
from tests.fuzz.hostile_guest.targets import (
    ENGINES_BY_NAME,
    some_command_register,
    some_physical_page,
)
from tests.gpu_driver import ENGINE_BASES, PAGE, Context
from tests.gpu_driver.commands import MI_BATCH_BUFFER_END, load_register
from tests.gpu_driver.context import context_pages
from tests.gpu_driver.driver import ELSP

_POINTERS = (
    ImageIndex.BB_PER_CTX_PTR,
    ImageIndex.INDIRECT_CTX,
    ImageIndex.INDIRECT_CTX_OFFSET,
    ImageIndex.BB_ADDR,
    ImageIndex.BB_ADDR_UDW,
    ImageIndex.BB_STATE,
    ImageIndex.SBB_ADDR,
    ImageIndex.SBB_STATE,
    ImageIndex.PDP0_LDW,
    ImageIndex.PDP0_UDW,
    ImageIndex.PDP3_LDW,
    ImageIndex.CONTEXT_CONTROL,
    ImageIndex.CTX_TIMESTAMP,
)


def new_context(guest: AttackerGuest, chance: Chance) -> None:
    """One more, with work that is valid for the most part."""
    engine = chance.choice([*ENGINE_BASES])
    context = guest.new_context(engine)
    guest.driver.ram.write_u32(guest.user_batch(context), *batch(guest, chance, engine))
    guest.driver.add_request(context, stream(guest, chance, engine, 200))
    guest.driver.submit(context)


def submit_pairs(guest: AttackerGuest, chance: Chance) -> None:
    """One or two slots: the same twice, of another engine, while they run, forced restores."""
    for _ in range(chance.randrange(1, 12)):
        first = chance.choice(guest.contexts)
        second = chance.choice((None, first, chance.choice(guest.contexts)))
        if chance.once_in(2):
            guest.driver.add_request(first, stream(guest, chance, first.engine, 100))
        engine = first.engine if chance.randrange(8) else chance.choice([*ENGINE_BASES])
        one = _descriptor(chance, first)
        _port(guest, engine, one, None if second is None else _descriptor(chance, second))


def _descriptor(chance: Chance, context: Context) -> int:
    """The context's, now and then with other flags, another id or another place."""
    value = context.descriptor
    match chance.randrange(8):
        case 0:
            value |= 1 << 2  # force restore
        case 1:
            value |= 1 << 1  # force restore of the page directory
        case 2:
            value ^= 1 << chance.randrange(12)
        case 3:
            value ^= 1 << chance.randrange(32, 64)
        case 4:
            value = value & ~0xFFFF_F000 | (context.lrca + PAGE * chance.randrange(-4, 4)) & ~0xFFF
    return value


def _port(guest: AttackerGuest, engine: str, first: int, second: int | None) -> None:
    for value in (second or 0, first):
        guest.driver.engine_write(engine, ELSP, value >> 32 & 0xFFFF_FFFF)
        guest.driver.engine_write(engine, ELSP, value & 0xFFFF_FFFF)


def half_a_submission(guest: AttackerGuest, chance: Chance) -> None:
    """The port gets some dwords, and the engine perhaps a reset before the rest."""
    engine = chance.choice([*ENGINE_BASES])
    for _ in range(chance.randrange(1, 8)):
        guest.driver.engine_write(engine, ELSP, chance.edge())


def image_values(guest: AttackerGuest, chance: Chance) -> None:
    """Some values of the register state page are edges; pointers point anywhere."""
    context = chance.choice(guest.contexts)
    ram = guest.driver.ram
    for _ in range(chance.randrange(1, 5)):
        if chance.once_in(2):
            index = int(chance.choice(_POINTERS))
        else:
            facts = ENGINES_BY_NAME[context.engine]
            index = chance.choice(LAYOUTS[facts.engine_class].registers).index
        value = chance.choice(
            (
                chance.edge(),
                ggtt_address(guest, chance) | chance.randrange(64),
                some_physical_page(chance, guest.ram.size) & 0xFFFF_FFFF,
            )
        )
        ram.write_u32(context.value(index), value & 0xFFFF_FFFF)
    if chance.once_in(3):  # restore what is there
        ram.write_u32(context.value(ImageIndex.CONTEXT_CONTROL), 0x0009_0008)
    guest.driver.add_request(context, stream(guest, chance, context.engine, 100))
    guest.driver.submit(context)


def fixed_batches(guest: AttackerGuest, chance: Chance) -> None:
    """An indirect and a per-context batch: valid ones, cyclic ones, changed after submission."""
    context = chance.choice(guest.contexts)
    ram, engine = guest.driver.ram, context.engine
    at = guest.new_batch()
    ram.write_u32(guest.placed[at], *batch(guest, chance, engine, 500))
    lines = chance.choice((1, 2, 16, 63))
    if chance.once_in(2):
        ram.write_u32(context.value(ImageIndex.INDIRECT_CTX), at | lines)
        ram.write_u32(context.value(ImageIndex.INDIRECT_CTX_OFFSET), chance.edge() & 0xFFC0)
    else:
        ram.write_u32(context.value(ImageIndex.BB_PER_CTX_PTR), at | 1)
    guest.driver.add_request(context)
    guest.driver.submit(context)
    ram.write_u32(guest.placed[at], *batch(guest, chance, engine, 500))
    if chance.once_in(2):
        guest.driver.submit(context)


def fill_pages(guest: AttackerGuest, chance: Chance) -> None:
    """All pages of a context are register writes: hardware restores them with privilege."""
    context = chance.choice(guest.contexts)
    ram = guest.driver.ram
    first = context.image - PAGE
    pages = range(context_pages(context.engine))
    for page in chance.sample(pages, chance.randrange(1, len(pages) + 1)):
        filled: list[int] = []
        while len(filled) < 900:
            count = chance.choice((1, 5, 30, 63))
            pairs = (
                (some_command_register(chance, context.engine), chance.edge()) for _ in range(count)
            )
            filled += load_register(*pairs)
        if page == 1:  # the register state page stays one, up to the end of its layout
            last = LAYOUTS[ENGINES_BY_NAME[context.engine].engine_class].end
            start = chance.choice((last, last, 0x60))
            ram.write_u32(context.value(start), *filled[: 1023 - start])
            continue
        data = packed([*filled[:1023], MI_BATCH_BUFFER_END])
        ram.write(first + page * PAGE, data[:PAGE])
    ram.write_u32(
        context.value(ImageIndex.CONTEXT_CONTROL), chance.choice((0x90008, 0x90000, 0x90009))
    )
    guest.driver.add_request(context)
    guest.driver.submit(context)


def move_pages(guest: AttackerGuest, chance: Chance) -> None:
    """The GGTT entries of context, ring or status page change while they are in use."""
    context = chance.choice(guest.contexts)
    driver = guest.driver
    driver.submit(context)
    at = chance.choice((context.lrca, context.lrca + PAGE, context.ring_ggtt))
    before = driver.ggtt_entry(at)
    driver.ggtt_write(at, some_physical_page(chance, guest.ram.size) | chance.randrange(2))
    driver.submit(context)
    if chance.once_in(2):
        driver.ggtt_write(at, before)


def overlapping_contexts(guest: AttackerGuest, chance: Chance) -> None:
    """Two contexts over one another: the same image, or one's ring is the other's image."""
    driver = guest.driver
    one, two = (guest.new_context(chance.choice([*ENGINE_BASES])) for _ in range(2))
    match chance.randrange(3):
        case 0:
            driver.ggtt_write(two.lrca + PAGE, one.image | 1)
        case 1:
            driver.ggtt_write(two.ring_ggtt, one.image | 1)
        case 2:
            driver.ggtt_write(two.ring_ggtt, one.ring | 1)
    for context in (one, two):
        driver.add_request(context, stream(guest, chance, context.engine, 100))
    for context in (one, two, one):
        driver.submit(context)
