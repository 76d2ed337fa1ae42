"""Kernels: random and endless programs, media state with anything in it, code that changes."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from tests.fuzz.hostile_guest import programs
from tests.fuzz.hostile_guest.actions.thefts import STASH
from tests.fuzz.hostile_guest.attacker_guest import BATCH, OWN, TARGET, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance, packed
from tests.fuzz.hostile_guest.secret import unreserved
from tests.fuzz.hostile_guest.targets import neighbours_physical_page, some_physical_page
from tests.gpu_driver import MI_BATCH_BUFFER_END, PAGE, Context
from tests.gpu_driver.commands import batch_start, invalidate
from tests.unit.mediator.eu import media_commands as mc
from tests.unit.mediator.eu.small_programs import copying_program, counting_program

STATE, CODE, SURFACES, MARKS = 0x5100_0000, 0x5200_0000, 0x5300_0000, 0x5400_0000
_CODE_PAGES = 4
_CONSTANTS, _SAMPLERS = 0x400, 0x200
"""In the page of state; descriptors are at its beginning."""
_STATES = 0x100
"""Of surfaces, behind the binding table."""
_WALKER_PAGE = 20
"""Of a context's image, from its first page on: where its interrupted walker stands."""
_SAVED_S, _STARTS_S = 0.05, 0.05
_GRF = 32
_GRIDS = ((1, 1, 1), (3, 2, 1), (64, 1, 1), (2, 1 << 20, 3))
_HUGE = ((mc.ALL, mc.ALL, mc.ALL), (1 << 31, 1, 2), (1, mc.ALL, 1))


def _context(
    guest: AttackerGuest, code: bytes, constants: bytes, descriptor: bytes, state: Sequence[int]
) -> Context:
    """A new context whose batch has ``state``, over a page of state and the code; not submitted."""
    context, ram = guest.new_context("rcs0"), guest.driver.ram
    page = ram.allocate()
    ram.write(page, descriptor)
    ram.write(page + _CONSTANTS, constants[: PAGE - _CONSTANTS])
    context.tables.map(STATE, page)
    context.tables.map(CODE, ram.allocate(_CODE_PAGES), _CODE_PAGES)
    ram.write(_code(guest, context), code[: _CODE_PAGES * PAGE])
    ram.write_u32(guest.user_batch(context), *state, MI_BATCH_BUFFER_END)
    return context


def _code(guest: AttackerGuest, context: Context) -> int:
    """Guest address of its code."""
    return guest.driver.ram.read_u64(context.tables.slot(CODE)) & 0x7F_FFFF_F000


def _state(
    constants: int, walk: Sequence[int], *, scratch_code: int = 0, surfaces: bool = False
) -> list[int]:
    """The commands around ``walk`` as a driver writes them; ``constants`` in bytes."""
    return [
        *invalidate("rcs0"),
        *mc.base_address(
            dynamic=STATE, instruction=CODE, surface=SURFACES if surfaces else None, general=OWN
        ),
        *mc.front_end(scratch_code=scratch_code),
        *mc.curbe_load(_CONSTANTS, constants),
        *mc.descriptor_load(0),
        *walk,
    ]


def stay_with(guest: AttackerGuest, context: Context, stays_s: float = 0.5) -> None:
    """Let it run, and stay with it: what comes next may take the engine away from it."""
    driver = guest.driver
    request = driver.add_request(context, batch_start(BATCH))
    driver.submit(context)
    ends = time.monotonic() + stays_s
    while not driver.done(request) and time.monotonic() < ends and not driver.error("rcs0"):
        time.sleep(0.005)


def _walk(chance: Chance, groups: Sequence[int], threads: int = 1) -> list[int]:
    """A walker of any width; ``threads`` in a group."""
    right, bottom = (chance.choice((mc.ALL, mc.ALL, mc.ALL, chance.word())) for _ in range(2))
    return mc.walker(
        groups, simd_code=chance.randrange(3), width=threads, right=right, bottom=bottom
    )


def _addresses(guest: AttackerGuest, chance: Chance, count: int) -> bytes:
    """Constants: ``count`` qwords that are addresses, offsets or anything."""
    known = (OWN, TARGET, STATE, CODE, SURFACES, BATCH, STASH, guest.own_ggtt, 0)
    found = []
    for _ in range(count):
        match chance.randrange(3):
            case 0:
                found.append(chance.near(chance.choice(known)))
            case 1:
                found.append(chance.edge_64())
            case _:
                found.append(chance.choice((0, 4, 8, 60, 64 << 10, 1 << 28, (1 << 48) - 4)))
    data = struct.pack(f"<{count}Q", *(each & (1 << 64) - 1 for each in found))
    return unreserved(data)


def program(guest: AttackerGuest, chance: Chance) -> None:
    """Any program, in groups of some threads."""
    guest.refresh("rcs0")
    code, threads = chance.choice(programs.KINDS)(chance), chance.choice((1, 1, 2, 7))
    own = chance.choice((1, 4, 16))
    constants = _addresses(guest, chance, own * threads * _GRF // 8)
    descriptor = mc.descriptor(
        threads=threads, own=own, barrier=chance.once_in(2), slm_code=chance.choice((0, 1, 5, 7))
    )
    walk = _walk(chance, chance.choice(_GRIDS), threads)
    state = _state(len(constants), walk, scratch_code=chance.randrange(12))
    stay_with(guest, _context(guest, code, constants, descriptor, state))


def broken_state(guest: AttackerGuest, chance: Chance) -> None:
    """Some dwords of valid state, of descriptors or of the walker are anything."""
    guest.refresh("rcs0")
    state = _state(32, _walk(chance, chance.choice(_GRIDS)))
    if chance.once_in(4):
        state += mc.media_object(chance.words(chance.choice((0, 3, 60))), index=chance.edge())
    for _ in range(chance.choice((0, 1, 1, 3, 10))):
        state[chance.randrange(len(state))] = chance.edge()
    descriptor = list(struct.unpack("<8I", mc.descriptor(own=1)))
    for _ in range(chance.choice((0, 1, 3))):
        descriptor[chance.randrange(8)] = chance.edge()
    constants = struct.pack("<QI", OWN, chance.choice((1, 5000)))
    code = chance.choice((counting_program(), programs.computing(chance)))
    stay_with(guest, _context(guest, code, constants, packed(descriptor), state))


def without_end(guest: AttackerGuest, chance: Chance) -> None:
    """Endless threads, or more groups than will ever end; others of its contexts wait behind it."""
    guest.refresh("rcs0")
    code = programs.endless(chance)
    groups = chance.choice((*_GRIDS, *_HUGE))
    constants = struct.pack("<QI", OWN, 3)
    if chance.once_in(3):
        code, groups = counting_program(), chance.choice(_HUGE)
    state = _state(32, _walk(chance, groups))
    context = _context(guest, code, constants, mc.descriptor(own=1), state)
    stay_with(guest, context, _STARTS_S)
    for _ in range(chance.choice((0, 1, 5))):
        other = guest.new_context("rcs0")
        guest.driver.add_request(other)
        guest.driver.submit(other)
        guest.driver.submit(context)


def surfaces(guest: AttackerGuest, chance: Chance) -> None:
    """Messages to surfaces of absurd sizes, formats and places, and through random samplers."""
    guest.refresh("rcs0")
    count = chance.choice((4, 40))
    table, states = [], b""
    for number in range(8):
        table.append(chance.edge() if chance.once_in(20) else _STATES + 64 * number)
        state = chance.words(16)
        if chance.randrange(4):
            kind, size = chance.choice((4, 4, 0, 1, 2, 3, 5, 7)), chance.edge()
            state[0] = kind << 29 | chance.choice((0x1FF, 0xC7, 0xCA, chance.getrandbits(9))) << 18
            state[0] |= chance.choice((0, 0, 2, 3)) << 12
            state[2], state[3] = size, chance.choice((size, 15, 127))
            state[4] = state[5] = state[6] = 0
            base = chance.near(chance.choice((OWN, TARGET, SURFACES, 0, (1 << 48) - PAGE)))
            state[8], state[9] = base & mc.ALL, base >> 32
        states += packed(state)
    constants = _addresses(guest, chance, count * _GRF // 8)
    state = _state(len(constants), _walk(chance, (3, 1, 1)), surfaces=True)
    descriptor = mc.descriptor(own=count, slm_code=chance.choice((0, 5)), samplers=_SAMPLERS | 4)
    context = _context(guest, programs.messages(chance), constants, descriptor, state)
    page = guest.driver.ram.allocate()
    guest.driver.ram.write(page, packed(table).ljust(_STATES, b"\0") + unreserved(states))
    context.tables.map(SURFACES, page)
    stay_with(guest, context)


def rewritten_code(guest: AttackerGuest, chance: Chance) -> None:
    """The code is another while it runs, and each time that it is looked at."""
    guest.refresh("rcs0")
    constants = struct.pack("<QI", OWN, chance.choice((50, 100_000)))
    state = _state(32, _walk(chance, (64, 1 << 20, 1)))
    context = _context(guest, counting_program(), constants, mc.descriptor(own=1), state)
    stay_with(guest, context, _STARTS_S)
    for _ in range(chance.choice((1, 5))):
        code = chance.choice((counting_program(), chance.choice(programs.KINDS)(chance)))
        guest.driver.ram.write(_code(guest, context), code[: _CODE_PAGES * PAGE])
        if chance.once_in(3):
            entry = some_physical_page(chance, guest.ram.size) | chance.choice((0, 1, 3))
            guest.driver.ram.write_u64(context.tables.slot(CODE), entry)
        guest.driver.submit(context)


def theft(guest: AttackerGuest, chance: Chance) -> None:
    """Page tables name the neighbour's memory; a kernel copies out of it, or marks into it."""
    guest.refresh("rcs0")
    page, at = guest.driver.ram.allocate(), TARGET + PAGE * chance.randrange(4)
    reads = chance.once_in(2)
    constants = struct.pack("<QQ", *((STASH, at) if reads else (at, MARKS)))
    state = _state(32, _walk(chance, (1, 1, 1)))
    context = _context(guest, copying_program(), constants, mc.descriptor(own=1), state)
    marks = guest.driver.ram.allocate()
    guest.driver.ram.write_u32(marks, *[guest.mark] * 8)
    context.tables.map(MARKS, marks)
    context.tables.map(STASH, page)
    for number in range(4):
        physical = neighbours_physical_page(chance, guest.ram.size)
        level = chance.choice((3, 3, 3, 2))  # above, batch and code would be gone with it
        address = TARGET + PAGE * number if level == 3 else TARGET
        guest.driver.ram.write_u64(context.tables.slot(address, level), physical | 3)
    stay_with(guest, context)


def leftovers(guest: AttackerGuest, chance: Chance) -> None:
    """What is in registers and shared memory that nobody has filled is written to memory."""
    guest.refresh("rcs0")
    constants = struct.pack("<Q", STASH)
    descriptor = mc.descriptor(own=1, slm_code=chance.choice((0, 7)))
    state = _state(32, _walk(chance, (chance.choice((1, 4)), 1, 1)))
    context = _context(guest, programs.dumping(chance), constants, descriptor, state)
    context.tables.map(STASH, guest.driver.ram.allocate(2), 2)
    stay_with(guest, context)


def _saved(guest: AttackerGuest, page: int) -> bytes:
    """The first bytes of a walker's page, once its context has been saved, if that comes soon."""
    ends = time.monotonic() + _SAVED_S
    while not any(data := guest.driver.ram.read(page, 64)) and time.monotonic() < ends:
        time.sleep(0.002)
    return data


def forged_walker(guest: AttackerGuest, chance: Chance) -> None:
    """What a context's image says of its interrupted walker is another's, or anything."""
    guest.refresh("rcs0")
    ram, contexts = guest.driver.ram, []
    for _ in range(2):
        state = _state(32, _walk(chance, (1, 1, 1)))
        descriptor = mc.descriptor(own=1)
        code, constants = programs.endless(chance), struct.pack("<QI", OWN, 0)
        context = _context(guest, code, constants, descriptor, state)
        stay_with(guest, context, _STARTS_S)
        guest.driver.submit(guest.new_context("rcs0"))
        contexts.append(context)
    pages = [context.image + (_WALKER_PAGE - 1) * PAGE for context in contexts]
    data = bytearray(_saved(guest, pages[0]))
    if chance.once_in(2):
        at = chance.randrange(len(data))
        data[at : at + 8] = chance.garbage(8)
    ram.write(pages[1], bytes(data))
    for context in contexts:
        guest.driver.submit(context)
