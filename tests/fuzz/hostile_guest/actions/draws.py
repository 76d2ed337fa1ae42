"""Rectangles: of any size and with any state, many in a row, cleared into what is not its own."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.fuzz.hostile_guest import programs
from tests.fuzz.hostile_guest.actions.kernels import stay_with
from tests.fuzz.hostile_guest.attacker_guest import BATCH_PAGES, OWN, TARGET, AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance, packed
from tests.fuzz.hostile_guest.secret import unreserved
from tests.fuzz.hostile_guest.targets import neighbours_physical_page
from tests.gpu_driver import MI_BATCH_BUFFER_END, PAGE, Context
from tests.unit.mediator.render import draw_commands as dc

_ROOM = BATCH_PAGES * PAGE // 4 - 1
_STATE, _COLOUR, _AUXILIARY = 0x100, 48, 24
"""Where the target's surface state is, and of its bytes those of the clear colour and of what says
that there are control data."""
_FAST_CLEAR = 63 << 23 | 1 << 8 | 3
_WIDE = 16384
_INSTANCES = (1, 1, 1, 2, 7, 2048)
_STARTS_S = 0.05
_PLACES = (0.0, 0.5, 1.0, 7.0, 40.0, 300.0, -3.0, 16384.0, -32768.0, 1e30, float("nan"))


def _context(
    guest: AttackerGuest, words: Sequence[int], corners: bytes, surface: bytes, code: bytes
) -> Context:
    """A new context whose batch has ``words``, over all that a draw needs; not submitted."""
    context, ram = guest.new_context("rcs0"), guest.driver.ram
    for address, data in (
        (dc.VERTICES, corners.ljust(0x100, b"\0") + bytes(range(48))),
        (dc.DYNAMIC, bytes(0x100)),
        (dc.SURFACE, bytes(dc.TABLE) + struct.pack("<I", _STATE)),
        (dc.KERNELS, bytes(0x800) + code[: PAGE - 0x800]),
    ):
        page = ram.allocate()
        ram.write(page, unreserved(data))
        context.tables.map(address, page)
        if address == dc.SURFACE:
            ram.write(page + _STATE, unreserved(surface))
    ram.write_u32(guest.user_batch(context), *words[:_ROOM], MI_BATCH_BUFFER_END)
    return context


def _surface(chance: Chance, base: int) -> bytes:
    """A target of any size near ``base``, or anything."""
    if chance.once_in(8):
        return packed(chance.words(16))
    made = dc.surface(
        chance.choice((dc.R32_UINT, dc.R32G32B32A32_UINT, 0xC7, 0x140, chance.getrandbits(9))),
        width=chance.choice((1, dc.WIDTH, _WIDE)),
        height=chance.choice((1, dc.HEIGHT, _WIDE)),
        depth=chance.choice((1, 4, 2048)),
        kind=chance.choice((1, 1, 1, 2, 3)),
        tiling=chance.choice((dc.LINEAR, dc.TILE_X, dc.TILE_Y)),
        pitch=chance.choice((1, 128, 512, 1 << 18)),
        address=chance.near(base),
        level=chance.choice((0, 0, 14)),
        qpitch=chance.choice((0, 32, 1 << 16)),
    )
    state = bytearray(made)
    if chance.once_in(2):
        struct.pack_into("<I", state, _AUXILIARY, chance.choice((1, 5)))
    return bytes(state)


def _corners(chance: Chance) -> bytes:
    left, top, right, bottom = (chance.choice(_PLACES) for _ in range(4))
    return dc.corners(left, top, right, bottom)


def _packets(chance: Chance, changes: int) -> list[int]:
    """All that a draw needs, with some dwords of it changed; some clear fast."""
    packets = dc.packets()
    if chance.once_in(2):
        packets["PS"][6] = _FAST_CLEAR
    for _ in range(changes):
        packet = packets[chance.choice([*packets])]
        packet[chance.randrange(1, len(packet))] = chance.edge()
    return dc.flat(packets)


def rectangle(guest: AttackerGuest, chance: Chance) -> None:
    """One draw, or some, with any shader; others of its contexts want the engine meanwhile."""
    guest.refresh("rcs0")
    code = chance.choice((dc.telling_shader(16), chance.choice(programs.KINDS)(chance)))
    words = []
    for _ in range(chance.choice((1, 1, 3))):
        words += _packets(chance, chance.choice((0, 0, 1, 3)))
        words += dc.primitive(instances=chance.choice(_INSTANCES), first=chance.choice((0, 1)))
    surface = _surface(chance, chance.choice((OWN, TARGET, dc.VERTICES, (1 << 48) - PAGE)))
    context = _context(guest, words, _corners(chance), surface, code)
    stay_with(guest, context, chance.choice((_STARTS_S, 0.5)))
    for _ in range(chance.choice((0, 0, 3))):
        other = guest.new_context("rcs0")
        guest.driver.add_request(other)
        guest.driver.submit(other)
        guest.driver.submit(context)


def many(guest: AttackerGuest, chance: Chance) -> None:
    """A batch that is full of draws: without pixels, not built, or tiny ones."""
    guest.refresh("rcs0")
    words = _packets(chance, chance.choice((0, 0, 1)))
    draw = chance.choice(([], [0x7814_0000, 0, 0x7814_0000, 1 << 31])) + dc.primitive()
    words += draw * ((_ROOM - len(words)) // len(draw))
    corners = dc.corners(0, 0, chance.choice((0, 1)), 1)
    code = dc.telling_shader(16)
    stay_with(guest, _context(guest, words, corners, _surface(chance, OWN), code))


def theft(guest: AttackerGuest, chance: Chance) -> None:
    """Page tables name the neighbour's memory, and a fast clear writes the mark there."""
    guest.refresh("rcs0")
    state = bytearray(
        dc.surface(dc.R32_UINT, width=128, height=128, tiling=dc.TILE_Y, pitch=512, address=TARGET)
    )
    struct.pack_into("<I", state, _AUXILIARY, 5)
    struct.pack_into("<I", state, _COLOUR, guest.mark)
    words = dc.flat(dc.changed("PS", 6, _FAST_CLEAR)) + dc.primitive()
    context = _context(guest, words, dc.corners(0, 0, 2, 4), b"", b"")
    page = guest.driver.ram.read_u64(context.tables.slot(dc.SURFACE)) & 0x7F_FFFF_F000
    guest.driver.ram.write(page + _STATE, bytes(state))
    for number in range(16):
        physical = neighbours_physical_page(chance, guest.ram.size)
        entry = context.tables.slot(TARGET + PAGE * number)
        guest.driver.ram.write_u64(entry, physical | 3)
    stay_with(guest, context)
