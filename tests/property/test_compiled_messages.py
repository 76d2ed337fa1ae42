"""Messages of lanes in compiled code do what `eu_send` does, whatever their addresses."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from random import Random

import pytest

from mediator.gen9.eu.messages import AtomicOperation
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf
from tests.eu_corpus.launch import Segment

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import ffi, lib  # after what it needs
from mediator.softgpu.eu.translator import kernel, pairs
from mediator.softgpu.eu.translator.linker import Linked
from tests.property.compiled_world import ENDED, PAGE, CompiledWorld, PagedMemory, link

GRF = 32
PORT_0, PORT_1 = 10, 12
DATA = 0x7_0000_0000
"""Four pages."""
BUFFERS = {1: (DATA, 2 * PAGE + 100), 2: (DATA + PAGE + 1024, 3000), 255: (DATA, 4 * PAGE)}
SLM_BYTES = 4096
PLACES = 8
"""How often messages are given others."""
REGISTERS = 20
"""Of a message: its header, up to four of addresses, data, and what comes back."""


@dataclass
class Drawn:
    """A message as it is made up: descriptor bits without lengths, and where its lanes go."""

    port: int
    bits: int
    lanes: int
    wide: bool
    """Addresses have 64 bits."""
    size: int
    unit: int = 1
    channels: int = 1
    """Dwords of data a lane; of atomics, operands."""
    write: bool = False
    header: bool = False
    returns: int = 0
    """Dwords a lane."""
    step: int = 1
    """Addresses of lanes that write are multiples of it, so that they do not overlap in part."""


@dataclass(frozen=True)
class Sent:
    """A message and the instruction that sends it."""

    made: Drawn
    index: int | None
    """Of its surface; None: of 64-bit addresses."""
    sfid: int
    descriptor: int
    width: int
    split: int
    """GRFs of the payload that are in its first part."""
    length: int
    no_mask: bool
    places: str
    """How `struct` writes the addresses."""
    begin: int
    """Byte of the payload where they stand."""
    row: int
    """From the first lane to the one behind the last, if they follow each other."""


def untyped(random: Random, space: int | None, write: bool, lanes: int) -> Drawn:
    enabled = random.choice([1, 1, 2, 3, 5, 7, 10, 13, 15])
    code = (0x19 if write else 0x11) if space is None else (0x09 if write else 0x01)
    bits = code << 14 | (~enabled & 15) << 8 | (1 if lanes == 16 else 2) << 12
    count = enabled.bit_count()
    made = Drawn(PORT_1, bits, lanes, space is None, 4, channels=count, write=write, step=16)
    made.returns = 0 if write else count
    return made


def scattered(random: Random, space: int | None, write: bool, lanes: int) -> Drawn:
    size = random.choice([1, 2, 4])
    code = random.choice([3, 4]) if space is not None else 0
    if space is None:
        bits = (0x1A if write else 0x10) << 14 | (lanes == 16) << 12 | (size // 2) << 10
        made = Drawn(PORT_1, bits, lanes, True, size)
    elif code == 3:
        bits = (11 if write else 3) << 14 | (3 if lanes == 16 else 2) << 8
        made = Drawn(PORT_0, bits, lanes, False, 4, unit=4, header=True)
    else:
        bits = (12 if write else 4) << 14 | (lanes == 16) << 8 | (size // 2) << 10
        made = Drawn(PORT_0, bits, lanes, False, size, header=random.random() < 0.3)
    made.write, made.returns = write, 0 if write else 1
    made.step = made.size
    return made


def atomic(random: Random, space: int | None, _: bool, lanes: int) -> Drawn:
    operation = random.choice(list(AtomicOperation))
    given = 2 if operation is AtomicOperation.COMPARE_WRITE else 1
    back = random.random() < 0.6
    bits = operation << 8 | back << 13
    if space is None:
        size = random.choice([4, 8])
        made = Drawn(PORT_1, bits | 0x12 << 14 | (size == 8) << 12, 8, True, size)
    else:
        made = Drawn(PORT_1, bits | 0x02 << 14 | (lanes == 8) << 12, lanes, False, 4)
    made.channels, made.write = given * made.size // 4, True
    made.returns = back * made.size // 4
    return made


KINDS: tuple[Callable[[Random, int | None, bool, int], Drawn], ...] = (untyped, scattered, atomic)
Form = tuple[Callable[[Random, int | None, bool, int], Drawn], int | None, bool, int]
FORMS: list[Form] = list(product(KINDS, (None, 1, 254), (False, True), (8, 16)))
Random(2).shuffle(FORMS)
"""Kinds in each space, reading and writing, of 8 and 16 lanes."""


def offsets(random: Random, made: Drawn, room: int) -> list[int]:
    """Where the lanes go, in bytes from the start of a space of ``room`` bytes."""
    step = made.step if made.write else 1
    start = random.randrange(0, room, step)
    if random.random() < 0.8:
        start &= -4
    pattern = random.choice(["follow", "same", "rows", "far", "near", "back"])
    each = max(4 * made.channels if made.size == 4 else made.size, step)
    lanes = range(made.lanes)
    if pattern == "follow":
        found = [start + each * lane for lane in lanes]
    elif pattern == "same":
        found = [start] * made.lanes
    elif pattern == "rows":
        found = [start + max(4, step) * lane for lane in lanes]
    elif pattern == "far":
        found = [random.randrange(0, room, max(step, 4)) for _ in lanes]
    elif pattern == "near":
        found = [start + random.randrange(0, 512, max(step, 1)) for _ in lanes]
    else:
        found = [start - max(8, step) * lane for lane in lanes]
    return [at & -step if made.write else at for at in found]


def fill(random: Random, made: Drawn, index: int | None) -> tuple[bytes, int]:
    """The payload of a message, lanes going anywhere; and its GRFs before the data."""
    room = SLM_BYTES if index == 254 else 4 * PAGE if index is None else BUFFERS[index][1] + 64
    places = offsets(random, made, room)
    if index is None:
        places = [DATA + at % (4 * PAGE - 64) for at in places]
    else:
        base = 0x1000_0000 if index == 254 and random.random() < 0.5 else 0
        places = [(base + at) // made.unit & 0xFFFFFFFF for at in places]
    payload = b""
    if made.header:
        payload = struct.pack("<8I", 0, 0, random.choice([0, 4]), 0, 0, 64, 0, 0)
    payload += struct.pack(f"<{made.lanes}{'Q' if index is None else 'I'}", *places)
    first = len(payload) // GRF
    if made.write:
        payload += random.randbytes(made.channels * made.lanes * 4)
    return payload, first


def message(random: Random, form: Form) -> Sent:
    """Make a message up."""
    kind, space, write, lanes = form
    index = random.choice([1, 1, 2, 255]) if space == 1 else space
    made = kind(random, index, write, lanes)
    payload, first = fill(random, made, index)
    length = len(payload) // GRF
    split = random.choice([first, length]) if length > first else length
    back = made.returns * made.lanes * 4 // GRF
    low = (253 if index is None else index) | made.header << 19 | made.bits
    width = random.choice([made.lanes] * 6 + [1])
    each = max(4 * made.channels if made.size == 4 else made.size, made.step if made.write else 1)
    return Sent(
        made=made,
        index=index,
        sfid=made.port,
        descriptor=low | split << 25 | back << 20,
        width=width,
        split=split,
        length=length,
        no_mask=random.random() < 0.3,
        places=f"<{made.lanes}{'Q' if index is None else 'I'}",
        begin=GRF * made.header,
        row=made.lanes * each // made.unit,
    )


def program(sent: list[Sent]) -> bytes:
    asm = Assembler()
    for number, each in enumerate(sent):
        at = 2 + REGISTERS * number
        more = (at + each.split, each.length - each.split) if each.length > each.split else None
        back = grf(at + each.length, Type.UD) if each.descriptor >> 20 & 31 else None
        asm.send(
            back,
            at,
            each.sfid,
            each.descriptor,
            more=more,
            width=each.width,
            no_mask=each.no_mask,
        )
    asm.end()
    return asm.code()


def make_world(content: bytes, threads: int = 1) -> tuple[PagedMemory, CompiledWorld]:
    space = PagedMemory([Segment(DATA, bytearray(content))])
    return space, CompiledWorld(space, Bases(), threads, SLM_BYTES)


def prepare(world: CompiledWorld, slm: bytes, *, warm: bool) -> None:
    """Buffers as if they had been looked up; ``warm``: all pages are known."""
    ffi.memmove(world._slm, slm, len(slm))
    worker = world.worker.struct
    for index, (base, size) in BUFFERS.items():
        buffer = worker.buffers[index]
        buffer.base, buffer.size, buffer.known = base, size, 1
    for page in range(4 if warm else 0):
        lib.eu_readable(worker, DATA + page * PAGE)
        lib.eu_writable(worker, DATA + page * PAGE)


def by_calls(
    world: CompiledWorld, sent: list[Sent], threads: list[tuple[bytes, int]]
) -> list[bytes]:
    """The registers after `eu_send` has carried every message out, of one thread after the other.
    ``threads``: registers and mask of each."""
    files = [ffi.new("uint8_t[]", registers) for registers, _ in threads]
    every_one = [(number, place) for number in range(len(sent)) for place in range(len(threads))]
    for number, place in every_one:
        each, at = sent[number], 2 + REGISTERS * number
        file, mask = files[place], threads[place][1]
        every = (1 << each.width) - 1
        more = each.length - each.split
        lib.eu_send(
            world.worker.struct,
            world.group,
            ffi.addressof(world.threads, place),
            each.sfid,
            each.descriptor,
            more << 6,
            file + at * GRF,
            file + (at + each.split) * GRF if more else ffi.NULL,
            file + (at + each.length) * GRF,
            every if each.no_mask else mask & every,
        )
    return [bytes(ffi.buffer(file, 128 * GRF)) for file in files]


def made_up(seed: int, count: int) -> list[Sent]:
    """Messages; those of seeds that follow each other are of all forms in turn."""
    random = Random(seed)
    return [message(random, FORMS[(seed * count + n) % len(FORMS)]) for n in range(count)]


def begin(random: Random, sent: list[Sent]) -> tuple[bytes, int]:
    """Registers that have the payload of messages, and a mask."""
    registers = bytearray(random.randbytes(128 * GRF))
    for number, each in enumerate(sent):
        at = (2 + REGISTERS * number) * GRF
        payload, _ = fill(random, each.made, each.index)
        registers[at : at + len(payload)] = payload
    return bytes(registers), random.choice([0xFFFF, 0xFFFF, random.getrandbits(16), 0])


def elsewhere(random: Random, registers: bytes, sent: list[Sent]) -> bytes:
    """Other data in all registers; addresses are the same, or those of lanes that follow."""
    moved = bytearray(random.randbytes(len(registers)))
    for number, each in enumerate(sent):
        begin = (2 + REGISTERS * number) * GRF
        moved[begin : begin + each.begin] = registers[begin : begin + each.begin]
        begin += each.begin
        places = struct.unpack_from(each.places, registers, begin)
        further = random.choice([0, each.row, each.row])
        if each.index is None:
            places = tuple(DATA + (at - DATA + further) % (4 * PAGE - 64) for at in places)
        else:
            places = tuple(at + further & 0xFFFF_FFFF for at in places)
        struct.pack_into(each.places, moved, begin, *places)
    return bytes(moved)


def agree(seed: int, count: int, threads: int = 1) -> None:
    """What is compiled once, with addresses of many sorts."""
    sent = made_up(seed, count)
    options = kernel.Options(kept=(1 << 128) - 1)
    made = Program.of(program(sent))
    linked, pair = link(kernel.translate(made, 16, options)), None
    if threads > 1:
        pair = link(pairs.translate_pair(made, 16, options), pair=True)
    random = Random(seed)
    for _ in range(PLACES):
        begins = [begin(random, sent)]
        registers, mask = begins[0]
        while len(begins) < threads:
            begins.append((elsewhere(random, registers, sent), random.choice([0xFFFF, mask, 1])))
        content, slm = random.randbytes(4 * PAGE), random.randbytes(SLM_BYTES)
        for warm in (True, False):
            expected = outcome(begins, content, slm, partial(by_calls, sent=sent), warm=warm)
            found = outcome(begins, content, slm, partial(run, linked, pair), warm=warm)
            assert expected == found, (seed, warm)


Begins = list[tuple[bytes, int]]


def run(linked: Linked, pair: Linked | None, world: CompiledWorld, threads: Begins) -> list[bytes]:
    """The registers after compiled code."""
    for number, (each, own) in enumerate(threads):
        world.begin(number, each, own)
    assert world.run(linked, pair=pair) == ENDED
    assert world.pairs == (len(threads) > 1)
    return [bytes(each.grf) for each in world.threads]


def outcome(
    begins: Begins, content: bytes, slm: bytes, carry_out: Callable[..., list[bytes]], *, warm: bool
) -> tuple[list[bytes], bytes, bytes]:
    """Registers, memory and local memory afterwards."""
    space, world = make_world(content, len(begins))
    with world.attached():
        prepare(world, slm, warm=warm)
        found = carry_out(world=world, threads=begins)
        assert world.worker.struct.fault == 0
    after = space.read(DATA, 4 * PAGE)
    space.close()
    return found, after, bytes(ffi.buffer(world._slm, SLM_BYTES))


@pytest.mark.parametrize("seed", range(3))
def test_lanes_of_compiled_messages(seed: int) -> None:
    agree(seed, 6)


@pytest.mark.parametrize("seed", range(3, 6))
def test_lanes_of_messages_of_a_pair(seed: int) -> None:
    agree(seed, 6, 2)


@pytest.mark.modes
@pytest.mark.parametrize("seed", range(200, 220))
def test_lanes_of_many_messages_of_a_pair(seed: int) -> None:
    agree(seed, 6, 2)


@pytest.mark.modes
@pytest.mark.parametrize("seed", range(100, 140))
def test_lanes_of_many_compiled_messages(seed: int) -> None:
    agree(seed, 6)
