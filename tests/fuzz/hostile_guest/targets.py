"""What an attacker aims at: addresses in the GGTT, in the DMA space and in BAR0. Facts and sums."""

from __future__ import annotations

from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.physical.partition import (
    DMA_SIZE,
    EMPTY_TABLES,
    GIB,
    GUEST_GGTT_SIZE,
    MEDIATOR_GGTT,
    MIB,
    PAGE,
    SLAB_GGTT,
    SLAB_SIZE,
    slab_ggtt,
)
from mediator.vgpu.mmio_table import REGISTER_MAP
from tests.fuzz.hostile_guest.chance import Chance
from tests.fuzz.hostile_guest.neighbour import PLANTED
from tests.gpu_driver import ENGINE_BASES

ROWS = tuple(sorted(REGISTER_MAP.by_offset))
"""Every register that a vGPU has."""
REGISTERS_SIZE = 2 * MIB
BAR0_SIZE = 16 * MIB
APERTURE = 256 * MIB
TABLE = 8 * MIB
"""GGTT entries, in BAR0."""
_SLOT_PAGES = 1024
"""Of a slab: state page, ring and batches of one shadow context."""
ENGINES_BY_NAME = {facts.name: facts for facts in ENGINES}
_SHARED_REGISTERS = (
    *(0x44200, 0x44300, 0x44304, 0x44308, 0x4430C, 0x941C, 0xA188, 0x138124, 0x138128),
    *(0x4094, 0x4260, 0x101008, 0x100000, 0x7034, 0xB020, 0xC800, 0x2B00, 0x9024),
)
_ENGINE_REGISTERS = (
    *(0x30, 0x34, 0x38, 0x3C, 0x50, 0x80, 0x98, 0x9C, 0xA8, 0xB0, 0xB4, 0xC0, 0xD0),
    *(0x110, 0x140, 0x168, 0x1C0, 0x1C4, 0x230, 0x234, 0x244, 0x270, 0x29C, 0x358, 0x3A0),
    *(0x4D0, 0x4D4, 0x4FC, 0x600, 0x604),
)


def some_register(chance: Chance) -> int:
    """A BAR0 offset below 2 MiB: known, sensitive, of an engine, unaligned, or none."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            return chance.choice(ROWS)
        case 3 | 4:
            return chance.choice(tuple(ENGINE_BASES.values())) + chance.choice(_ENGINE_REGISTERS)
        case 5:
            return chance.choice(_SHARED_REGISTERS)
        case 6:
            return min(chance.choice(ROWS) + chance.randrange(8), REGISTERS_SIZE - 8)
    return chance.randrange(0, REGISTERS_SIZE - 8, 4)


def some_ggtt_address(chance: Chance, own: tuple[range, range], used: list[int]) -> int:
    """An address in the GGTT: one that the attacker uses, an edge of its part, or another's.

    ``own``: the low and the high part that its driver may use.
    """
    low, high = own
    match chance.randrange(7):
        case 0 | 1:
            if used:
                return chance.choice(used)
        case 2:
            return chance.near(chance.choice((low.start, low.stop, high.start, high.stop)))
        case 3 | 4:
            return neighbours_ggtt_address(chance, own)
        case 5:  # the mediator's slabs and their slots
            slab = slab_ggtt(chance.randrange(4))
            within = chance.randrange(SLAB_GGTT // PAGE)
            edge = chance.choice((0, 1, 32, 544, _SLOT_PAGES - 1))
            slot = chance.randrange(16) * _SLOT_PAGES + edge
            return slab + chance.choice((within, slot % (SLAB_GGTT // PAGE))) * PAGE
    edges = (0, MEDIATOR_GGTT, MEDIATOR_GGTT - PAGE, 0xFFFF_F000, 0xFFFF_FFFC)
    return chance.near(chance.choice(edges))


def neighbours_ggtt_address(chance: Chance, own: tuple[range, range]) -> int:
    """Where another's driver is likely to have something: slices are alike, and filled in order."""
    part = chance.choice(own)
    size = -(-len(part) // (16 * MIB)) * 16 * MIB
    if size >= APERTURE - MIB:  # no slices here: those of some type
        size = chance.choice((16, 32, 64, 112, 128, 224, 448, 896)) * MIB
    first = part.stop - size + chance.choice((-1, 1, 1, 1, 2)) * size
    page = chance.choice((chance.randrange(24), chance.randrange(24), chance.randrange(150)))
    return first % GUEST_GGTT_SIZE + page * PAGE


def neighbours_physical_page(chance: Chance, ram_size: int) -> int:
    """A page of another's memory, as far from the own as windows are apart."""
    window = chance.choice((16, 64, 64, 128)) * chance.choice((1, 2, 3, 4, 5)) * GIB
    within = PLANTED + chance.randrange(4096) * PAGE, chance.randrange(ram_size) & -PAGE, PAGE
    return window + chance.choice(within)


def some_physical_page(chance: Chance, ram_size: int) -> int:
    """An address for a page table or GGTT entry: own memory, others' windows, slabs, nothing."""
    match chance.randrange(9):
        case 0 | 1 | 2:
            return chance.randrange(ram_size // PAGE) * PAGE
        case 3 | 7:
            return neighbours_physical_page(chance, ram_size)
        case 4:
            slab = chance.randrange(1, 6) * SLAB_SIZE
            return slab + chance.randrange(SLAB_SIZE // PAGE) * PAGE
        case 5:
            return MIB + chance.randrange(SLAB_SIZE // PAGE) * PAGE
        case 6:
            edges = (
                ram_size,
                ram_size - PAGE,
                EMPTY_TABLES,
                DMA_SIZE,
                DMA_SIZE - 2 * PAGE,
                1 << 45,
            )
            return chance.choice(edges)
    return chance.getrandbits(52) & -PAGE


def some_command_register(chance: Chance, engine: str) -> int:
    """A register for a command of ``engine``: its own, another engine's, or any."""
    if chance.once_in(2):
        return some_register(chance) & ~3
    base = ENGINE_BASES[engine] if chance.randrange(4) else chance.choice([*ENGINE_BASES.values()])
    relative = (
        reg.RING_CS_GPR,
        reg.RING_HEAD,
        reg.RING_TAIL,
        reg.RING_START,
        reg.RING_CTL,
        reg.RING_PDP0_LDW,
        reg.RING_PDP0_UDW,
        reg.RING_MI_MODE,
        reg.RING_BB_OFFSET,
        0x4D0,
        0x230,
        0xA8,
    )
    return base + chance.choice(relative) + 8 * chance.once_in(3)
