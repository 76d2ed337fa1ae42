"""The registers of a thread that a compiled function runs: files, flags, masks, operands.

A function that runs two threads of a group in turns (`pairs`) has a state for each.
Source: PRM SKL vol 7 "ARF Registers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import registers
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Source,
)
from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.ops import element_of
from mediator.softgpu.eu.translator.registers import (
    Memory,
    RegisterAccess,
    Untranslatable,
    positions,
)
from mediator.softgpu.eu.translator.text import (
    Text,
    Value,
    bits_of,
    constants,
    same,
    zero,
)

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Operand, Region
    from mediator.softgpu.eu.translator.masks import Masks

FLAG_CHUNKS: Final = 4
FLAG_CHUNK: Final = 16
GRF_FILE_BYTES: Final = 4096
_BEHIND: Final = 8
"""Room for an element that an address register places across the end."""
_ADDRESSES: Final = 16
_ACC_BYTES: Final = 320
_ACC_HIGH_BYTES: Final = 256
_MEMBERS: Final = {
    registers.STACK_POINTER: ("sp", 8),
    registers.STATE: ("sr0", 16),
    registers.CONTROL: ("cr0", 16),
    registers.NOTIFICATION: ("n0", 16),
}
_READ_ONLY: Final = frozenset(
    {registers.CHANNEL_ENABLE, registers.STATE, registers.STATE + 1, registers.TIMESTAMP}
)


class Thread:
    """Where one thread's registers are. ``number``: which of the function's threads it is."""

    def __init__(self, text: Text, number: int, beginnings: frozenset[int] | None) -> None:
        self.number = number
        self.pointer = f"%thread{number}"
        room = text.alloca_bytes(GRF_FILE_BYTES + _BEHIND)
        self.grf = Memory(room, GRF_FILE_BYTES, beginnings=beginnings)
        self.a0 = Memory(text.alloca_bytes(GRF_BYTES), GRF_BYTES)
        self.acc = Memory(text.alloca_bytes(_ACC_BYTES), _ACC_BYTES)
        self.acc_high = Memory(text.alloca_bytes(_ACC_HIGH_BYTES), _ACC_HIGH_BYTES)
        self.flags = [text.alloca("i1", FLAG_CHUNK, 2) for _ in range(FLAG_CHUNKS)]

    def clear(self, text: Text) -> None:
        """Zeros in all files, so that no mistake in what is loaded shows the host's stack."""
        text.clear(self.grf.pointer, self.grf.size + _BEHIND)
        for memory in (self.a0, self.acc, self.acc_high):
            text.clear(memory.pointer, memory.size)
        for flags in self.flags:
            text.store(zero("i1", FLAG_CHUNK), flags, 2)

    def member(self, text: Text, name: str) -> str:
        """Pointer to a member of the thread block."""
        return text.address(self.pointer, layout.offset("eu_thread", name))


class State:
    """Operands of the instructions of a thread."""

    def __init__(
        self,
        text: Text,
        masks: Masks,
        beginnings: frozenset[int] | None = None,
        shared: State | None = None,
    ) -> None:
        """``masks``: of the function's threads; ``beginnings``: how the general registers are cut
        (`pieces`); ``shared``: that of the function's thread before, which has the masks of this
        one, too."""
        self.text = text
        self.width = masks.width
        self.access = RegisterAccess(text)
        number = 0 if shared is None else shared.thread.number + 1
        self.thread: Thread = Thread(text, number, beginnings)
        self.masks = masks
        self.current: str = masks.room() if shared is None else shared.current
        """The control-flow mask: channels that run."""
        self.buffers: dict[str, str] = {} if shared is None else shared.buffers
        """Memory for the parts of a message that is sent by a call."""
        self.unmasked: frozenset[int] = frozenset()
        """Instructions, by offset, whose registers are written without their mask (`kills`)."""
        self.frugal = False
        """There are so many messages that each has the code for lanes in one page alone."""
        self.doubles = False
        """The host's mode for denormals is DF's (`modes`, `single_ops`)."""
        self._members: dict[tuple[int, str], str] = {}

    # Sources

    def read(self, operand: Operand, width: int) -> Value:
        """A source's lanes in its own type, without modifiers."""
        if isinstance(operand, Immediate):
            return _immediate(self.text, operand, width)
        if isinstance(operand, IndirectSource):
            addresses = self._addresses(operand, width)
            return self.access.read_at(self.thread.grf, addresses, operand.type)
        if operand.file is File.GRF:
            places = _places(operand, operand.byte, width)
            return self.access.read(self.thread.grf, places, operand.type)
        return self._read_arf(operand, width)

    def _addresses(self, operand: IndirectSource, width: int) -> Value:
        """The byte address of each lane's element."""
        text, size, region = self.text, operand.type.size, operand.region
        rows = operand.region.vertical is None
        base, offsets = [], []
        for lane in range(width):
            row, column = divmod(lane, region.width)
            if operand.swizzle is not None:
                place = _swizzled(lane, region, operand.swizzle)
            else:
                place = column * region.horizontal + row * (region.vertical or 0)
            base.append(2 * ((operand.address + (row if rows else 0)) % _ADDRESSES))
            offsets.append(operand.offset + size * place)
        words = self.access.read(self.thread.a0, base, Type.UW)
        return text.binary("add", text.cast("zext", words, "i32"), constants("i32", offsets))

    def _read_arf(self, operand: Source, width: int) -> Value:
        number, inside = divmod(operand.byte, GRF_BYTES)
        if number == registers.NULL:
            return zero(element_of(operand.type), width)
        if number in (registers.FLAG, registers.FLAG + 1):
            return self._read_flag_register(operand, width)
        if number == registers.CHANNEL_ENABLE and inside == 0:
            return self._channel_enable(operand, width)
        memory, start = self._file(number)
        places = _places(operand, start + inside, width)
        return self.access.read(memory, places, operand.type)

    def _channel_enable(self, operand: Source, width: int) -> Value:
        if operand.type.size != 4 or len(set(_places(operand, 0, width))) != 1:
            raise Untranslatable("the channel enable register in parts")
        text = self.text
        mask = self.channels(0, self.width)
        number = text.cast("zext", text.bitcast(mask, f"i{self.width}", 1), "i32")
        return text.splat(text.bitcast(number, element_of(operand.type), 1), width)

    def _file(self, number: int) -> tuple[Memory, int]:
        """The memory that holds an architecture register, and where in it."""
        if number == registers.ADDRESS:
            return self.thread.a0, 0
        if 0 <= number - registers.ACCUMULATOR < registers.ACCUMULATORS:
            return self.thread.acc, (number - registers.ACCUMULATOR) * GRF_BYTES
        if number in _MEMBERS:
            name, size = _MEMBERS[number]
            return Memory(self.thread.member(self.text, name), size, 4), 0
        raise Untranslatable(f"architecture register {number:#x}")

    def _read_flag_register(self, operand: Source, width: int) -> Value:
        """f0 or f1 as numbers: scalars alone."""
        places = set(_places(operand, operand.byte - registers.FLAG * GRF_BYTES, width))
        if len(places) != 1:
            raise Untranslatable("flags as a vector of numbers")
        register, inside = divmod(places.pop(), GRF_BYTES)
        bit = 32 * register + 8 * inside
        if inside + operand.type.size > 4 or bit % FLAG_CHUNK:
            raise Untranslatable("a part of a flag register")
        text, chunks = self.text, []
        for chunk in range(bit // FLAG_CHUNK, (bit + 8 * operand.type.size) // FLAG_CHUNK):
            lanes = text.load("i1", FLAG_CHUNK, self.thread.flags[chunk], 2)
            chunks.append(text.bitcast(lanes, "i16", 1))
        value = text.bitcast(text.concat(chunks), element_of(operand.type), 1)
        return text.splat(value, width)

    # Destinations

    def write(
        self,
        destination: Destination | IndirectDestination,
        value: Value,
        width: int,
        mask: Value | None,
    ) -> None:
        """Lanes to a destination where the mask (None: everywhere) is true."""
        mask = self._write_mask(destination, width, mask)
        thread, size = self.thread, destination.type.size
        steps = [size * destination.stride * lane for lane in range(width)]
        if isinstance(destination, IndirectDestination):
            word = self.access.read(thread.a0, [2 * destination.address], Type.UW)
            base = self.text.splat(self.text.cast("zext", word, "i32"), width)
            moved = constants("i32", [destination.offset + step for step in steps])
            addresses = self.text.binary("add", base, moved)
            self.access.write_at(thread.grf, addresses, size, value, mask)
            return
        if destination.file is File.GRF:
            places = [destination.byte + step for step in steps]
            self.access.write(thread.grf, places, size, value, mask)
            return
        number, inside = divmod(destination.byte, GRF_BYTES)
        if number == registers.NULL or number in _READ_ONLY:
            return
        if number in (registers.FLAG, registers.FLAG + 1):
            self._write_flag_register(destination, value, mask)
            return
        memory, start = self._file(number)
        places = [start + inside + step for step in steps]
        self.access.write(memory, places, size, value, mask)

    def _write_mask(
        self, destination: Destination | IndirectDestination, width: int, mask: Value | None
    ) -> Value | None:
        bits = destination.write_mask
        if bits is None or bits == 15:
            return mask
        lanes = constants("i1", [bits >> lane % 4 & 1 for lane in range(width)])
        return lanes if mask is None else self.text.binary("and", mask, lanes)

    def _write_flag_register(
        self, destination: Destination, value: Value, mask: Value | None
    ) -> None:
        register, inside = divmod(destination.byte - registers.FLAG * GRF_BYTES, GRF_BYTES)
        bit = 32 * register + 8 * inside
        size = destination.type.size
        if value.lanes != 1 or inside + size > 4 or bit % FLAG_CHUNK or size not in (2, 4):
            raise Untranslatable("a part of a flag register as a destination")
        text = self.text
        for at in range(size // 2):
            chunk = self.thread.flags[bit // FLAG_CHUNK + at]
            bits = text.bitcast(value, "i16", size // 2)
            new = text.bitcast(text.extract(bits, at), "i1", FLAG_CHUNK)
            if mask is not None:
                new = text.select(mask, new, text.load("i1", FLAG_CHUNK, chunk, 2))
            text.store(new, chunk, 2)

    # Flags and masks

    def flag_bits(self, first: int, width: int) -> Value:
        """Flag bits of consecutive positions as a mask; behind f1.1 comes f0.0."""
        text, chunks = self.text, []
        begin = first // FLAG_CHUNK
        for chunk in range(begin, (first + width - 1) // FLAG_CHUNK + 1):
            pointer = self.thread.flags[chunk % FLAG_CHUNKS]
            chunks.append(text.load("i1", FLAG_CHUNK, pointer, 2))
        start = first - begin * FLAG_CHUNK
        return text.shuffle(text.concat(chunks), list(range(start, start + width)))

    def write_flag_bits(self, first: int, value: Value, mask: Value | None) -> None:
        """A mask to consecutive flag positions where ``mask`` (None: everywhere) is true."""
        text, width = self.text, value.lanes
        if mask is not None:
            value = text.select(mask, value, self.flag_bits(first, width))
        if (first + width - 1) // FLAG_CHUNK >= FLAG_CHUNKS:
            raise Untranslatable("flags beyond f1.1")
        for chunk in range(first // FLAG_CHUNK, (first + width - 1) // FLAG_CHUNK + 1):
            pointer = self.thread.flags[chunk]
            base = chunk * FLAG_CHUNK - first
            lanes = [base + bit for bit in range(FLAG_CHUNK)]
            if all(0 <= lane < width for lane in lanes):
                text.store(text.shuffle(value, lanes), pointer, 2)
                continue
            old = text.load("i1", FLAG_CHUNK, pointer, 2)
            if width == 1:
                text.store(text.insert(old, value, -base), pointer, 2)
                continue
            placed = text.shuffle(value, [lane if 0 <= lane < width else -1 for lane in lanes])
            order = [
                FLAG_CHUNK + bit if 0 <= lane < width else bit for bit, lane in enumerate(lanes)
            ]
            text.store(text.shuffle(old, order, placed), pointer, 2)

    def running(self, instruction: Instruction) -> Value | None:
        """The channels that control flow and dispatch leave an instruction; None: all of them."""
        if instruction.no_mask:
            return None
        return self.channels(instruction.channel, instruction.width)

    def channels(self, first: int, width: int) -> Value:
        """Some channels of the control-flow mask."""
        return self.masks.channels(self.current, self.thread.number, first, width)


def places_of(operand: Source, width: int) -> list[int]:
    """Byte of each channel's element in its file."""
    return _places(operand, operand.byte, width)


def _places(operand: Source, byte: int, width: int) -> list[int]:
    if operand.swizzle is None:
        return positions(byte, operand.region, operand.type.size, width)
    size, region, swizzle = operand.type.size, operand.region, operand.swizzle
    return [byte + size * _swizzled(lane, region, swizzle) for lane in range(width)]


def _swizzled(lane: int, region: Region, swizzle: tuple[int, int, int, int]) -> int:
    """The element that a channel of align16 reads."""
    return lane // 4 * (region.vertical or 0) + swizzle[lane % 4] * region.horizontal


def _immediate(text: Text, operand: Immediate, width: int) -> Value:
    kind, bits = operand.type, operand.bits
    if isinstance(kind, Packed):
        return _packed(text, kind, bits, width)
    element = element_of(kind)
    size = bits_of(element)
    number = bits & ((1 << size) - 1)
    if number >> (size - 1):
        number -= 1 << size
    # As bits, since LLVM's text has no way to write every NaN of a float.
    return text.bitcast(same(f"i{size}", width, str(number)), element, width)


def _packed(text: Text, kind: Packed, bits: int, width: int) -> Value:
    if kind is Packed.VF:
        floats = [_restricted_float(bits >> 8 * (lane % 4) & 0xFF) for lane in range(width)]
        return text.bitcast(constants("i32", floats), "float", width)
    numbers = [bits >> 4 * (lane % 8) & 15 for lane in range(width)]
    if kind is Packed.V:
        numbers = [number - 16 if number > 7 else number for number in numbers]
    return constants("i16", numbers)


def _restricted_float(byte: int) -> int:
    """The bits of the float that an 8-bit one of three exponent bits, bias 3, stands for."""
    sign, rest = byte >> 7 << 31, byte & 0x7F
    return sign | (((rest >> 4) + 124) << 23 | (rest & 15) << 19 if rest else 0)
