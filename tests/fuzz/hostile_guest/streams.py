"""What the attacker writes into rings and batches: valid commands, and some that break one rule."""

from __future__ import annotations

from collections.abc import Callable

from mediator.gen9.commands import decode
from tests.fuzz.hostile_guest.attacker_guest import BATCH, OWN, TARGET, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.targets import (
    ENGINES_BY_NAME,
    some_command_register,
    some_ggtt_address,
    some_physical_page,
)
from tests.gpu_driver.commands import (
    ILLEGAL,
    MI_ARB_CHECK,
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    MI_USER_INTERRUPT,
    atomic_add,
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    invalidate,
    load_register,
    load_register_memory,
    post_sync,
    semaphore_wait,
    store_dword,
    store_index,
    store_qword,
    store_register,
    update_ggtt,
)

Make = Callable[[AttackerGuest, Chance, str], list[int]]
_GPR = 0x600


def ggtt_address(guest: AttackerGuest, chance: Chance) -> int:
    """Own, others', the mediator's."""
    parts = guest.driver.ggtt
    return some_ggtt_address(chance, (parts.low, parts.high), [*guest.placed])


def _own(guest: AttackerGuest, chance: Chance) -> tuple[int, bool]:
    """An address of the loot, and whether it is of the GGTT."""
    ggtt = chance.once_in(2)
    return (guest.own_ggtt if ggtt else OWN) + 8 * chance.randrange(256), ggtt


def valid_command(guest: AttackerGuest, chance: Chance, engine: str) -> list[int]:
    """One that a driver writes, on the attacker's own memory."""
    at, ggtt = _own(guest, chance)
    gpr = ENGINES_BY_NAME[engine].mmio_base + _GPR + 4 * chance.randrange(32)
    makers: list[Callable[[], list[int]]] = [
        lambda: store_dword(at, chance.word(), ggtt=ggtt),
        lambda: store_qword(at, chance.word() << 32 | chance.word(), ggtt=ggtt),
        lambda: load_register((gpr, chance.word())),
        lambda: store_register(gpr, at, ggtt=ggtt),
        lambda: load_register_memory(gpr, at, ggtt=ggtt),
        lambda: copy_dword(at, at + 8, target_ggtt=ggtt, source_ggtt=ggtt),
        lambda: atomic_add(at, chance.word(), ggtt=ggtt),
        lambda: post_sync(engine, guest.own_ggtt + 8, chance.word()),
        lambda: invalidate(engine),
        lambda: semaphore_wait(at, 0, compare=1, ggtt=ggtt),
        lambda: [MI_USER_INTERRUPT],
        lambda: [MI_ARB_CHECK],
        lambda: [MI_NOOP] * (1 + chance.randrange(8)),
    ]
    if engine == "bcs0":
        makers.append(lambda: color_blit(OWN, 64, 16, 16, chance.word()))
        makers.append(lambda: copy_blit(OWN, BATCH, 64, 16, 16, fast=chance.once_in(2)))
    return chance.choice(makers)()


def foreign_command(guest: AttackerGuest, chance: Chance, engine: str) -> list[int]:
    """Reads or writes what is not the attacker's: through the GGTT, or its own page tables."""
    at = ggtt_address(guest, chance) & ~3
    target = TARGET + 4 * chance.randrange(4096)
    ggtt = chance.randrange(3) > 0
    there = at if ggtt else target
    makers: list[Callable[[], list[int]]] = [
        lambda: store_dword(there, guest.mark, ggtt=ggtt),
        lambda: copy_dword(guest.own_ggtt, there, target_ggtt=True, source_ggtt=ggtt),
        lambda: copy_dword(there, guest.own_ggtt, target_ggtt=ggtt, source_ggtt=True),
        lambda: atomic_add(there, guest.mark, ggtt=ggtt),
        lambda: post_sync(engine, there, guest.mark, ggtt=ggtt),
        lambda: load_register_memory(some_command_register(chance, engine), there, ggtt=ggtt),
        lambda: store_register(some_command_register(chance, engine), there, ggtt=ggtt),
        lambda: store_index(chance.edge() & 0xFFFC, guest.mark, per_process=chance.once_in(2)),
        lambda: semaphore_wait(there, chance.word(), compare=chance.randrange(8), ggtt=ggtt),
    ]
    if engine == "bcs0":
        makers.append(lambda: color_blit(target & -64, 256, 64, 64, guest.mark))
        makers.append(lambda: copy_blit(OWN, target & -64, 64, 16, 16))
    return chance.choice(makers)()


def privileged_command(guest: AttackerGuest, chance: Chance, engine: str) -> list[int]:
    """What a driver alone may do, on registers and entries of all kinds."""
    register = some_command_register(chance, engine)
    entry = some_physical_page(chance, guest.ram.size) | chance.randrange(8)
    makers: list[Callable[[], list[int]]] = [
        lambda: load_register((register, chance.edge())),
        lambda: load_register(
            *((some_command_register(chance, engine), chance.edge()) for _ in range(30))
        ),
        lambda: update_ggtt(ggtt_address(guest, chance), *[entry] * (1 + chance.randrange(4))),
        lambda: store_register(register, guest.own_ggtt, ggtt=True),
        lambda: [0x2A << 23 | 1, register, some_command_register(chance, engine)],
        lambda: [MI_ARB_OFF],
        lambda: [MI_ARB_ON],
        lambda: [0x02 << 23 | chance.getrandbits(22)],
        lambda: [0x0B << 23 | chance.getrandbits(8)],  # MI_SUSPEND_FLUSH
    ]
    return chance.choice(makers)()


def broken_command(_: AttackerGuest, chance: Chance, engine: str) -> list[int]:
    """Any header of any length, or one cut off."""
    while True:
        match chance.randrange(4):
            case 0:
                header = chance.randrange(0x80) << 23 | chance.getrandbits(23)
            case 1:
                header = 3 << 29 | chance.getrandbits(29)
            case 2:
                header = 2 << 29 | chance.getrandbits(29)
            case _:
                return [ILLEGAL, *chance.words(3)]
        found = decode(header, ENGINES_BY_NAME[engine].engine_class)
        if found is None or found[1] <= 64:
            length = 4 if found is None else found[1]
            return [header, *chance.words(max(0, length - 1 - chance.once_in(8)))]


def jump(guest: AttackerGuest, chance: Chance, _: str) -> list[int]:
    """A batch start: to batches of either kind, into their middle, to itself, to nowhere."""
    second = chance.once_in(4)
    if chance.once_in(2) and guest.batches:
        at = chance.choice(guest.batches) + 4 * chance.choice((0, 0, 0, chance.randrange(4096)))
        return batch_start(at, ggtt=True, second=second)
    if chance.once_in(6):
        return batch_start(ggtt_address(guest, chance) & ~3, ggtt=True, second=second)
    if chance.once_in(6):
        return batch_start(TARGET, second=second)
    return batch_start(BATCH + 4 * chance.choice((0, 0, 0, chance.randrange(1024))), second=second)


_BROKEN: tuple[tuple[int, Make], ...] = (
    (4, foreign_command),
    (4, privileged_command),
    (1, broken_command),
    (4, jump),
)


def command(guest: AttackerGuest, chance: Chance, engine: str) -> list[int]:
    """One command with a rule broken."""
    makers, weights = [make for _, make in _BROKEN], [weight for weight, _ in _BROKEN]
    (make,) = chance.choices(makers, weights)
    return make(guest, chance, engine)


def stream(guest: AttackerGuest, chance: Chance, engine: str, dwords: int) -> list[int]:
    """Commands of up to ``dwords`` in all, without an end; most often one of them breaks a rule.

    One alone: what is refused is refused as a whole, and the rest would not be looked at.
    """
    commands: list[list[int]] = []
    room = dwords - 70
    often = chance.once_in(6)
    while room > 0:
        make = command if often and chance.once_in(4) else valid_command
        commands.append(make(guest, chance, engine)[:70])
        room -= len(commands[-1])
    if not often and chance.randrange(3):
        commands.insert(chance.randrange(len(commands) + 1), command(guest, chance, engine))
    return [dword for one in commands for dword in one][:dwords]


def batch(guest: AttackerGuest, chance: Chance, engine: str, dwords: int = 1000) -> list[int]:
    """A stream that most often ends, or chains."""
    length = chance.choice((80, 200, dwords))
    body = stream(guest, chance, engine, length - 4)
    match chance.randrange(8):
        case 0:
            return [*body, *jump(guest, chance, engine)]
        case 1:
            return body
    return [*body, MI_BATCH_BUFFER_END]
