"""Messages, surfaces and pages that are all edges, drawn for the properties of the EU's messages.

Everything hangs on one seed, so that the C routines and their Python twins are given the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.messages.memory import Fault, Memory
from mediator.softgpu.eu.messages.message import Message, ThreadPixels, Unit
from mediator.softgpu.eu.messages.send import send
from mmio_trap.guest_memory import GuestAddressError
from tests.property.message_states import ENTRIES, drawn_states
from tests.property.page_world import (
    ALL_PAGES,
    BEYOND,
    MIDDLE,
    PAGE,
    PRESENT,
    RAM,
    SPACE_PAGES,
    TOP,
    WRITABLE,
    Pages,
    PlainSpace,
    Ram,
)

SLM_BYTES = 65536
GRF = 32
_PORT_1 = (1, 1, 1, 9, 9, 2, 2, 0x10, 0x11, 0x11, 0x12, 0x14, 0x15, 0x19, 0x1A, 0x1B, 0x1D)
_TEXELS = (4, 5, 5, 6, 0xA, 0xD, 0xD)
"""Of data port 1."""
_SAMPLER = (0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 10, 11, 16, 24, 24, 25, 26, 26)
TIMESTAMP = (0x1234, 0x5678)
_PORT_0 = (0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13)


@dataclass
class Sent:
    """One message as `eu_send` is given it."""

    sfid: int
    descriptor: int
    extended: int
    payload: bytes
    more: bytes
    response: bytes
    mask: int


@dataclass
class Scene:
    """Messages of one thread, and what they work with."""

    bases: Bases
    slm_size: int
    states: list[tuple[int, bytes]]
    messages: list[Sent]
    pixels: ThreadPixels
    """What the thread draws."""


@dataclass
class Outcome:
    """What a run left behind."""

    responses: list[bytes] = field(default_factory=list)
    faults: list[tuple[int, int, bool]] = field(default_factory=list)
    """Of each message."""
    discarded: int = 0
    slm: bytes = b""
    arrived: int = 0
    ram: list[bytes] = field(default_factory=list)


class Walked:
    """A `Space` that remembers its walks: its tables do not change while messages are sent."""

    def __init__(self, space: PlainSpace) -> None:
        self.memory = space.memory
        self.mask = space.mask
        self.entries = space.entries
        self.root = space.root
        self.stale = False
        self._space = space
        self._found: dict[int, tuple[int, bool] | str] = {}

    def translate(self, address: int, *, write: bool) -> tuple[int, bool]:
        """As the space's own."""
        page = (address & self.mask) // PAGE
        found = self._found.get(page)
        if found is None:
            try:
                found = self._space.translate(page * PAGE, write=write)
            except PageFault as fault:
                found = fault.reason
            self._found[page] = found
        if isinstance(found, str):
            raise PageFault(address & self.mask, write, found)
        return found[0] | address % PAGE, found[1]


def scene(pages: Pages, random: Random, count: int) -> Scene:
    """A scene over ``pages``."""
    base = pages.base
    surface = base + random.choice([0, 2, 8]) * PAGE
    bases = Bases(
        surface=surface,
        dynamic=base + random.choice([0, 3]) * PAGE,
        general=base,
        general_size=random.choice([SPACE_PAGES * PAGE, 1 << 32, 5 * PAGE + 20, 0]),
        bindless=surface,
        bindless_size=random.choice([0, 0x1000]),
        binding_table=surface,
        sampler_table=surface + 0x200,
    )
    sizes = [0, 1024, 4096, SLM_BYTES]
    draw = Draw(random, base)
    states = drawn_states(pages, bases, random)
    messages = [draw.message() for _ in range(count)]
    return Scene(bases, random.choice(sizes), states, messages, _pixels(random))


def _pixels(random: Random) -> ThreadPixels:
    """One thread in eight is of no pixel shader."""
    return ThreadPixels(
        mask=random.choice([0, *[(1 << 32) - 1] * 4, *(random.getrandbits(32) for _ in range(3))]),
        x=random.choice([0, 4, 12, 0x3FFC]),
        y=random.choice([0, 4, 8, 0x3FFC]),
        layer=random.choice([0, 0, 1, 3, 2047]),
        writes=random.choice([15, 15, random.getrandbits(4)]),
    )


def random_pages(random: Random) -> Pages:
    """GPU pages as `page_world.pages` draws them, without hypothesis: mostly whole."""
    kind = random.choice(["ppgtt", "ppgtt", "ppgtt", "ggtt", "64k"])
    entries = []
    for number in range(SPACE_PAGES):
        frame = random.choice([number, number, number, random.randrange(ALL_PAGES + 2)])
        flags = random.choice([PRESENT | WRITABLE] * 8 + [PRESENT, 0, PRESENT | BEYOND])
        entries.append(RAM + frame * PAGE | flags)
    whole = PRESENT | WRITABLE
    parent, second = (random.choice([whole] * 8 + [PRESENT, 0]) for _ in range(2))
    first = 0 if kind == "ggtt" else random.choice([MIDDLE, TOP])
    return Pages(tuple(entries), kind, first, parent, second)


def both(native: Any, made: Scene, pages: Pages, ram: Ram) -> tuple[Outcome, Outcome]:
    """What a scene leaves behind by C and by Python, each from the same memory."""
    found = []
    for run in (partial(run_native, native), run_twin):
        ram.fill()
        space = Walked(pages.space(ram))
        place_states(made, space)
        found.append(run(made, space, ram))
    return found[0], found[1]


def place_states(made: Scene, space: Walked) -> None:
    """Write a scene's states where pages allow it."""
    for address, data in made.states:
        _put(space, address, data)


def _put(space: Walked, address: int, data: bytes) -> None:
    """Write dwords where pages allow it."""
    for n in range(0, len(data), 4):
        try:
            physical, _ = space.translate(address + n & space.mask, write=True)
            space.memory.write(physical, data[n : n + 4])
        except (PageFault, GuestAddressError):
            continue


class Draw:
    """Messages, one after another."""

    def __init__(self, random: Random, base: int) -> None:
        self.random = random
        self.base = base

    def message(self) -> Sent:
        """One that a compiler could send, or its neighbour; one in ten is noise."""
        random = self.random
        if random.random() < 0.1:
            sfid, function = (
                random.choice([0, 3, 4, 5, 6, 7, 9, 10, 12, 15]),
                random.getrandbits(19),
            )
        else:
            sfid, function = self._function()
        if sfid == 5 and random.random() < 0.95:
            return self.target_write()
        return self.sent(sfid, function)

    def sent(self, sfid: int, function: int) -> Sent:
        """A message of a function, with what it may take and give back."""
        random = self.random
        texels = sfid == 2 or (sfid == 12 and function >> 14 in _TEXELS)
        length = random.choice([1, 2, 3, 4, 5, 6, 9, 13])
        more_length = random.choice([0, 0, 1, 2, 4, 8])
        response = random.choice([0, 1, 2, 4, 8, 16])
        header = random.random() < 0.4 or sfid == 9 or (sfid == 10 and function >> 14 in {0, 1, 8})
        header = header or (sfid == 12 and function >> 14 in {4, 10})
        descriptor = function | header << 19 | response << 20 | length << 25
        descriptor |= (random.random() < 0.1) << 30
        return Sent(
            sfid,
            descriptor,
            more_length << 6 | random.choice([0, 0, 1, 16, 63, 64]) << 12,
            (self._header(texels=texels) if header else b"")
            + (self._coordinates(length) if texels else self._body(function, length)),
            self._data(more_length * GRF),
            random.randbytes(response * GRF),
            random.choice([0xFFFF, 0xFFFF, 0xFF, 0xFF00, 1, 0, random.getrandbits(16)]),
        )

    def target_write(self) -> Sent:
        """To a render target, with and without a header."""
        random = self.random
        header, words = b"", [0] * 16
        if random.random() < 0.4:
            words[0] = random.choice([0, 1, 2, 40]) << 16 | random.choice([0] * 9 + [1 << 11])
            words[2] = random.choice([0, 0, 0, 1 << 3, 1])
            edges = [0, 2, 6, 30, 0x3FFE, 0xFFFF]
            words[10:14] = [random.choice(edges) | random.choice(edges) << 16 for _ in range(4)]
            words[15] = random.choice([0xFFFF, 0xFFFF, random.getrandbits(32)])
            header = struct.pack("<16I", *words)
        length, kind = random.choice([1, 4, 8]), random.choice([0, 0, 1, 4, 4, *range(8)])
        flags = random.choice([0, 0, 1 << 11, 1 << 12, 1 << 13]) | bool(header) << 19
        flags |= random.choice([*range(ENTRIES), *range(ENTRIES), 9, 252, 255])
        return Sent(
            5,
            flags | 12 << 14 | kind << 8 | (length + len(header) // GRF) << 25,
            random.choice([0, 1]) << 12,
            header + random.choice([self._coordinates(length), self._data(length * GRF)]),
            b"",
            b"",
            random.choice([0xFFFF, 0xFFFF, 0xFF, random.getrandbits(16)]),
        )

    def _function(self) -> tuple[int, int]:
        random = self.random
        index = random.choice(
            [*range(ENTRIES), *range(ENTRIES), 9, 200, 240, 252, 253, 254, 254, 255]
        )
        control = random.getrandbits(6) << 8
        match random.choice([12, 12, 12, 10, 10, 9, 4, 3, 2, 2, 2, 5]):
            case 2:
                kind = random.choice(_SAMPLER) << 12 | random.getrandbits(4) << 8
                return 2, random.choice([1, 1, 2, 2, 0]) << 17 | kind | index
            case 12 if random.random() < 0.35:
                return 12, random.choice(_TEXELS) << 14 | control | index
            case 12:
                return 12, random.choice(_PORT_1) << 14 | control | index
            case 10 if random.random() < 0.2:
                return 10, 1 << 18 | random.getrandbits(6) << 12 | random.choice(
                    [0, 1, 31, 33, 4095]
                )
            case 10:
                return 10, random.choice(_PORT_0) << 14 | control | index
            case 3:
                return 3, random.choice([0, 1, 3, 4, 4, 6])
            case port:
                return port, random.choice([0, 1, 2, 3, 4]) << 14 | control | index

    def _header(self, *, texels: bool) -> bytes:
        random = self.random
        dwords = [random.getrandbits(32) for _ in range(8)]
        if texels and random.random() < 0.9:
            dwords[0], dwords[1] = (random.choice([0, 3, -5, 60]) & 0xFFFF_FFFF for _ in range(2))
            dwords[2] = random.choice([0, 0x3000, 0xF0F0, random.getrandbits(18)])
            dwords[2] |= random.choice([0, random.getrandbits(6) << 16 | random.getrandbits(6)])
            dwords[3] = 0x300
            dwords[7] = random.choice([0xFFFF, 0xFFFF, 0x5555, 0])
            return struct.pack("<8I", *dwords)
        if random.random() < 0.8:
            address = self._address()
            dwords[0], dwords[1] = address & 0xFFFF_FFFF, address >> 32
            dwords[2] = random.choice([0, 0, 1, 4, 16, 60, 255, 4094])
            dwords[3] = random.choice([0, 1, 5, 0x30])
            dwords[5] = random.choice([0, 0x400, 0x1234, PAGE | 0x1FF])
            dwords[7] = random.choice([0xFFFF, 0xFFFF, 0x5555, 0])
        return struct.pack("<8I", *dwords)

    def _body(self, function: int, length: int) -> bytes:
        """Addresses or offsets first, of either kind; then data."""
        random = self.random
        wide = function >> 14 & 0x10
        lanes = [self._address() if wide else self._offset() for _ in range(16)]
        if random.random() < 0.3:  # as neighbours have them
            step = random.choice([0, 4, 16])
            lanes = [lanes[0] + step * n for n in range(16)]
        if wide:
            found = struct.pack("<16Q", *(each & (1 << 64) - 1 for each in lanes))
        else:
            found = struct.pack("<16I", *(each & 0xFFFF_FFFF for each in lanes))
        if random.random() < 0.5:  # eight lanes
            found = found[: len(found) // 2]
        return (found + self._data(length * GRF))[: length * GRF]

    def _coordinates(self, length: int) -> bytes:
        """Small numbers, whole or not, a register of one kind after another; or noise."""
        random = self.random
        words: list[int] = []
        for _ in range(length):
            real = random.random() < 0.5
            for _ in range(8):
                if random.random() < 0.05:
                    words += struct.unpack("<I", self._data(4))
                elif real:
                    value = random.choice([0.0, 1.0, 0.5, 2.0, random.uniform(-2, 3), 17.3])
                    words += struct.unpack("<I", struct.pack("<f", value))
                else:
                    words.append(random.choice([0, 0, 1, 2, 4, 15, 33, -1]) & 0xFFFF_FFFF)
        return struct.pack(f"<{len(words)}I", *words)

    def _address(self) -> int:
        random = self.random
        at = self.base + random.choice([0, 1, 3, 7, 10, 14, 15, 16]) * PAGE
        at += random.choice([0, 0, 4, 8, 100, 2, PAGE - 4, PAGE - 1, PAGE - 8, -4])
        at &= (1 << 48) - 1
        return at | 0xFFFF << 48 if random.random() < 0.2 else at

    def _offset(self) -> int:
        random = self.random
        if random.random() < 0.1:
            return random.getrandbits(32)
        at = random.choice(
            [0, 16, 60, 1020, PAGE, 4 * PAGE, 15 * PAGE, SLM_BYTES, 1 << 28, (1 << 32) - 8]
        )
        return at + random.choice([0, 0, 4, 1, 2, 3, 12, -4])

    def _data(self, size: int) -> bytes:
        """Noise with zeros, ones, NaNs and infinities in it."""
        random = self.random
        usual = (0, 1, 0x8000_0000, 0x7F80_0000, 0x7FC0_0001, 0xBF80_0000, 0xFFFF_FFFF)
        words = list(struct.unpack(f"<{size // 4}I", random.randbytes(size)))
        for n in range(0, len(words), random.choice([1, 2, 3])):
            words[n] = usual[words[n] % len(usual)]
        return struct.pack(f"<{size // 4}I", *words)


@dataclass
class _Thread:
    """Who sends."""

    pixels: ThreadPixels
    timestamp: tuple[int, int] = TIMESTAMP
    arrived: int = 0

    def arrive(self) -> None:
        self.arrived += 1


def run_twin(made: Scene, space: Walked, ram: Ram) -> Outcome:
    """The messages, by the Python twins."""
    memory = Memory(space)
    unit = Unit(memory, made.bases, bytearray(SLM_BYTES), made.slm_size)
    thread = _Thread(made.pixels)
    outcome = Outcome()
    for each in made.messages:
        message = Message(
            unit,
            thread,
            each.sfid,
            each.descriptor,
            each.extended,
            each.payload,
            each.more,
            each.response,
            each.mask,
        )
        outcome.responses.append(send(message))
        found = memory.fault or Fault(0, 0, write=False)
        outcome.faults.append((found.kind, found.address, found.write))
        memory.fault = None
    outcome.discarded = memory.discarded
    outcome.slm, outcome.arrived, outcome.ram = bytes(unit.slm), thread.arrived, ram.content()
    return outcome


def run_native(native: Any, made: Scene, space: Walked, ram: Ram) -> Outcome:
    """The messages, by the C routines of ``native`` (the module `native.worker`)."""
    ffi, lib = native.ffi, native.lib
    worker = native.NativeWorker()
    worker.attach(space, made.bases)
    slm = ffi.new("uint8_t[]", SLM_BYTES)
    group = ffi.new("struct eu_group *", {"slm": slm, "slm_size": made.slm_size, "threads": 1})
    thread = ffi.new("struct eu_thread *")
    thread.tm0[0], thread.tm0[1] = TIMESTAMP
    thread.pixel_mask, thread.pixel_writes = made.pixels.mask, made.pixels.writes
    thread.pixel_x, thread.pixel_y = made.pixels.x, made.pixels.y
    thread.pixel_layer = made.pixels.layer
    outcome, found = Outcome(), worker.struct
    for each in made.messages:
        response = ffi.new("uint8_t[]", each.response)
        lib.eu_send(
            found,
            group,
            thread,
            each.sfid,
            each.descriptor,
            each.extended,
            ffi.from_buffer("uint8_t[]", each.payload),
            ffi.from_buffer("uint8_t[]", each.more) if each.more else ffi.NULL,
            response if each.response else ffi.NULL,
            each.mask,
        )
        outcome.responses.append(bytes(ffi.buffer(response, len(each.response))))
        fault = found.fault, found.fault_address, bool(found.fault_write)
        outcome.faults.append(fault if found.fault else (0, 0, False))
        found.fault = 0
    outcome.discarded = found.statistics[lib.EU_DISCARDED_WRITES]
    outcome.slm = bytes(ffi.buffer(slm, SLM_BYTES))
    outcome.arrived, outcome.ram = group.arrived, ram.content()
    worker.detach()
    return outcome
