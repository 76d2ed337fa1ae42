"""Laps of a ring: text of earlier laps lies behind the tail; a tail behind the head leads there.

A first lap fills the ring with long commands whose operands are commands themselves, and with batch
starts; the second is laid over a part of it and ends within one of them. Then, with the engine held
in the middle, the tail goes back to before where the engine stands: who lets it run on meets text
of the first lap, of which one command has lost its header and one batch its room.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mediator.gen9.context_image import ImageIndex
from tests.fuzz.hostile_guest.actions.rings import RING_SIZE, lay, set_tail
from tests.fuzz.hostile_guest.actions.thefts import some_theft
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.gpu_driver import ENGINE_BASES, Context
from tests.gpu_driver.commands import (
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    atomic_add,
    batch_start,
    semaphore_wait,
    store_dword,
)

_STORE_MANY = 0x20 << 23 | 1 << 22
_OPERANDS = 61
_SOON_S = 0.5


def around(guest: AttackerGuest, chance: Chance) -> None:
    """The whole of it, once; parts of it are left out or changed now and then."""
    engine = chance.choice([*ENGINE_BASES])
    guest.refresh(engine)
    driver, context = guest.driver, guest.new_context(engine)
    evil = some_theft(guest, chance, engine)
    flags = driver.ram.allocate()
    at = guest.map_ggtt(flags)
    room = guest.new_batch()
    driver.ram.write_u32(guest.placed[room], MI_BATCH_BUFFER_END)
    if not _first_lap(guest, chance, context, evil, room, flags):
        return
    arbitration = MI_ARB_OFF if chance.randrange(4) else MI_ARB_ON
    first, second = (semaphore_wait(at + 8 * n, 1, ggtt=True) for n in range(2))
    first = [arbitration, *(first if chance.once_in(2) else ())]
    behind = _second_lap(guest, chance, context, first, second if chance.once_in(2) else [], evil)
    driver.submit(context)
    late = chance.once_in(2)  # the tail goes back before the engine comes there
    if not late:
        driver.ram.write_u32(flags, 1)
    time.sleep(chance.choice((0.0, 0.0, 0.001, 0.003)))
    _tail_goes_back(guest, chance, context, behind, room, evil)
    driver.ram.write_u32(flags, 1)
    time.sleep(chance.choice((0.0, 0.001, 0.003)))
    driver.ram.write_u32(flags + 8, 1)
    time.sleep(0.001)
    driver.submit(context)


def _first_lap(
    guest: AttackerGuest,
    chance: Chance,
    context: Context,
    evil: list[int],
    room: int,
    flags: int,
) -> bool:
    """All of the ring but its last bytes; whether it was run."""
    driver = guest.driver
    sink = guest.map_ggtt(driver.ram.allocate())
    slide = [MI_NOOP] * chance.choice((2, 6, 12))  # whoever comes in the middle slides into it
    operands = ((slide + evil) * _OPERANDS)[:_OPERANDS]
    long = [_STORE_MANY | (len(operands) + 1), sink, 0, *operands]
    start = batch_start(room, ggtt=True)
    unit = long if chance.randrange(3) else [*start, MI_NOOP] * 16
    at = context.tail
    done = store_dword(guest.map_ggtt(flags), 7, ggtt=True)
    size = RING_SIZE // 4 - len(done) - 8
    text = (unit * (size // len(unit) + 1))[: size // len(unit) * len(unit)]
    half = len(text) // len(unit) // 2 * len(unit)
    for part in (text[:half], [*text[half:], *done]):
        at = lay(guest, context, at, part)
        set_tail(guest, context, at)
        driver.submit(context)
        if not _soon(lambda end=at: _head(guest, context) == end):  # type: ignore[misc]
            return False
    driver.ram.write_u32(flags, 0)
    return driver.ram.read_u32(flags) == 0


def _second_lap(
    guest: AttackerGuest,
    chance: Chance,
    context: Context,
    first: list[int],
    second: list[int],
    evil: list[int],
) -> int:
    """Two waits with work between them; an offset between the two, where a command begins."""
    slow = atomic_add(guest.own_ggtt, 1, ggtt=True)
    work = [MI_NOOP, *slow] * chance.choice((1, 20, 100))
    first_end = lay(guest, context, context.tail, first)
    behind = lay(guest, context, first_end, work)
    at = lay(guest, context, behind, work)
    at = lay(guest, context, at, second)
    odd = [MI_NOOP] * (2 * chance.randrange(1 + len(evil)))
    set_tail(guest, context, lay(guest, context, at, odd))
    return behind


def _tail_goes_back(
    guest: AttackerGuest,
    chance: Chance,
    context: Context,
    behind: int,
    room: int,
    evil: list[int],
) -> None:
    """To ``behind``, and perhaps on from there; the batch's room is given to other text."""
    driver = guest.driver
    end = context.tail
    set_tail(guest, context, behind)
    driver.submit(context)
    if chance.once_in(2):
        other = guest.new_batch()
        data = [_STORE_MANY | (len(evil) + 1), guest.own_ggtt, 0, *evil]
        driver.ram.write_u32(guest.placed[other], *data * 8, MI_BATCH_BUFFER_END)
        driver.ram.write_u32(guest.placed[room], *data * 8, MI_BATCH_BUFFER_END)
        more = [MI_NOOP, MI_NOOP, *batch_start(chance.choice((other, room)), ggtt=True)]
        set_tail(guest, context, lay(guest, context, behind, more))
        driver.submit(context)
    if chance.once_in(4):
        set_tail(guest, context, end)
        driver.submit(context)


def _head(guest: AttackerGuest, context: Context) -> int:
    return guest.driver.ram.read_u32(context.value(ImageIndex.RING_HEAD)) % RING_SIZE


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    ends = time.monotonic() + _SOON_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.0005)
    return True
