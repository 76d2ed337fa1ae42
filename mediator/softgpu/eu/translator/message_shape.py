"""Which messages have code of their own, and what their descriptors say: lanes, sizes, registers.

Everything else, and these with a header where none is foreseen, goes through `eu_send`, which is
also what the special code falls back to. Source: `mediator/gen9/eu/messages.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import AtomicOperation, Gateway, Port0, Port1, SharedFunction

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Message


class Space(Enum):
    """What addresses of a message are relative to."""

    BUFFER = "buffer"
    """u32 offsets in a surface of the binding table, or in the stateless one."""
    LOCAL = "local"
    """u32 offsets in shared local memory."""
    GLOBAL = "global"
    """u64 addresses."""


@dataclass(frozen=True, slots=True)
class LaneAccess:
    """Each lane reads or writes elements of ``size`` bytes, a dword register slot for each;
    ``places`` says which of those that follow each other from the lane's address on.
    ``dword_aligned``: the two low bits of addresses do not count. ``unit``: bytes that offsets
    count. ``header``: its dword 2 is one more offset, its dword 5 bytes to add in the stateless
    surface."""

    space: Space
    index: int
    write: bool
    lanes: int
    """Of the message; the instruction may have fewer."""
    size: int
    places: tuple[int, ...]
    dword_aligned: bool
    unit: int = 1
    header: bool = False

    @property
    def channels(self) -> int:
        """Elements of a lane."""
        return len(self.places)

    @property
    def span(self) -> int:
        """Bytes from a lane's address to the end of its last element."""
        return self.size * (self.places[-1] + 1)

    @property
    def multiple(self) -> int:
        """Of how many bytes addresses are a multiple."""
        return 4 if self.dword_aligned else 1

    @property
    def packed(self) -> bool:
        """Whether a lane's elements have no gaps."""
        return len(self.places) == self.places[-1] + 1

    @property
    def address_bytes(self) -> int:
        """Of one lane in the payload."""
        return 8 if self.space is Space.GLOBAL else 4


@dataclass(frozen=True, slots=True)
class LaneAtomic:
    """Each lane changes ``size`` bytes by an integer operation."""

    space: Space
    index: int
    lanes: int
    size: int
    operation: AtomicOperation
    returns: bool

    @property
    def operands(self) -> int:
        """That the payload has for each lane."""
        if self.operation in _WITHOUT_OPERAND:
            return 0
        return 2 if self.operation is AtomicOperation.COMPARE_WRITE else 1

    @property
    def address_bytes(self) -> int:
        """Of one lane in the payload."""
        return 8 if self.space is Space.GLOBAL else 4


@dataclass(frozen=True, slots=True)
class BlockAccess:
    """``dwords`` dwords in a row, the register's from ``first`` on. The place is in the header:
    dword 2 in units of ``unit`` bytes; of GLOBAL the address in dwords 0 and 1, a multiple of
    ``unit``."""

    space: Space
    index: int
    write: bool
    dwords: int
    first: int
    unit: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Memory accesses before are seen before those behind."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """The thread has arrived at the group's barrier."""


Shape = LaneAccess | LaneAtomic | BlockAccess | Fence | Barrier
_WITHOUT_OPERAND: Final = frozenset(
    {AtomicOperation.INCREMENT, AtomicOperation.DECREMENT, AtomicOperation.PRE_DECREMENT}
)
STATELESS: Final = (messages.STATELESS, messages.STATELESS_NON_COHERENT)
_WITH_HEADER: Final = (messages.BINDLESS, *STATELESS)
"""Surfaces that block messages do not reach by the buffer table alone."""
_LANES_OF_MODE: Final = {1: 16, 2: 8}
_LANES_OF_SCATTERED: Final = {2: 8, 3: 16}


def shape_of(instruction: Instruction) -> Shape | None:
    """What a message with code of its own does; None of others."""
    message = instruction.message
    if message is None or message.descriptor is None or message.extended is None:
        return None
    if message.payload_indirect is not None:
        return None
    descriptor = message.descriptor
    found: Shape | None = None
    if message.sfid == SharedFunction.DATA_PORT_1:
        found = _port1(descriptor)
    elif message.sfid == SharedFunction.DATA_PORT_0:
        if not messages.SCRATCH.get(descriptor):
            found = _port0(descriptor)
    elif message.sfid in (SharedFunction.CONSTANT_CACHE_PORT, SharedFunction.SAMPLER_CACHE_PORT):
        found = _read_only_port(descriptor)
    elif message.sfid == SharedFunction.GATEWAY:
        always = instruction.no_mask and instruction.predicate is None
        if always and messages.GATEWAY_FUNCTION.get(descriptor) == Gateway.BARRIER:
            found = Barrier()
    if isinstance(found, LaneAccess | LaneAtomic) and found.lanes < instruction.width:
        return None
    if found is not None and not _fits(found, message):
        return None
    return found


def _fits(shape: Shape, message: Message) -> bool:
    """Whether the message has the registers that it needs."""
    assert message.descriptor is not None
    assert message.extended is not None
    if isinstance(shape, Fence | Barrier):
        return True
    length = messages.MESSAGE_LENGTH.get(message.descriptor)
    more = messages.MORE_LENGTH.get(message.extended) if message.more is not None else 0
    response = messages.RESPONSE_LENGTH.get(message.descriptor)
    if isinstance(shape, BlockAccess):
        grfs = -(-(shape.first + shape.dwords) // 8)
        if not shape.write:
            return length >= 1 and response >= grfs
        # What is written has to stand in registers that follow each other.
        whole = length > grfs or length == 1 or message.more == message.payload + length
        return length >= 1 and length + more > grfs and whole
    needed = shape.lanes * shape.address_bytes // 32
    if isinstance(shape, LaneAtomic):
        each = shape.lanes * shape.size // 32
        comes = each if shape.returns else 0
        return length + more >= needed + each * shape.operands and response >= comes
    data = shape.lanes * shape.channels // 8
    needed += shape.header + (data if shape.write else 0)
    return length + more >= needed and (shape.write or response >= data)


def _space(index: int) -> Space:
    return Space.LOCAL if index == messages.SHARED_LOCAL_MEMORY else Space.BUFFER


def _port1(descriptor: int) -> Shape | None:
    number = messages.PORT_1_TYPE.get(descriptor)
    index = messages.BINDING_TABLE_INDEX.get(descriptor)
    header = messages.HEADER_PRESENT.get(descriptor)
    if number in (Port1.GLOBAL_BLOCK_READ, Port1.GLOBAL_BLOCK_WRITE):
        return _global_block(descriptor, write=number == Port1.GLOBAL_BLOCK_WRITE)
    if header:
        return None
    if number in (Port1.GLOBAL_ATOMIC, Port1.UNTYPED_ATOMIC):
        return _atomic(descriptor, everywhere=number == Port1.GLOBAL_ATOMIC)
    if number in (Port1.GLOBAL_SCATTERED_READ, Port1.GLOBAL_SCATTERED_WRITE):
        return _global_scattered(descriptor, write=number == Port1.GLOBAL_SCATTERED_WRITE)
    if number in (Port1.GLOBAL_READ, Port1.GLOBAL_WRITE):
        space = Space.GLOBAL
    elif number in (Port1.UNTYPED_READ, Port1.UNTYPED_WRITE) and index != messages.BINDLESS:
        space = _space(index)
    else:
        return None
    lanes = _LANES_OF_MODE.get(messages.SURFACE_MODE.get(descriptor), 0)
    off = messages.CHANNELS_OFF.get(descriptor)
    places = tuple(channel for channel in range(4) if not off >> channel & 1)
    if not lanes or not places:
        return None
    write = number in (Port1.GLOBAL_WRITE, Port1.UNTYPED_WRITE)
    return LaneAccess(space, index, write, lanes, 4, places, dword_aligned=True)


def _atomic(descriptor: int, *, everywhere: bool) -> Shape | None:
    index = messages.BINDING_TABLE_INDEX.get(descriptor)
    number = messages.ATOMIC_OPERATION.get(descriptor)
    mode = messages.ATOMIC_MODE.get(descriptor)
    if number == 0 or (not everywhere and index == messages.BINDLESS):
        return None
    lanes = 8 if everywhere or mode else 16
    size = 8 if everywhere and mode else 4
    space = Space.GLOBAL if everywhere else _space(index)
    returns = bool(messages.ATOMIC_RETURNS.get(descriptor))
    return LaneAtomic(space, index, lanes, size, AtomicOperation(number), returns)


def _global_scattered(descriptor: int, *, write: bool) -> Shape | None:
    kind = messages.GLOBAL_ELEMENT.get(descriptor)
    elements = 1 << messages.GLOBAL_ELEMENTS.get(descriptor)
    lanes = 16 if messages.GLOBAL_SIMD16.get(descriptor) else 8
    if kind == 0 and elements <= 4:
        return LaneAccess(Space.GLOBAL, 0, write, lanes, elements, (0,), dword_aligned=False)
    if kind == 1 and elements <= 4:
        places = tuple(range(elements))
        return LaneAccess(Space.GLOBAL, 0, write, lanes, 4, places, dword_aligned=False)
    return None


def _global_block(descriptor: int, *, write: bool) -> Shape | None:
    code = messages.BLOCK_SIZE.get(descriptor)
    kind = messages.GLOBAL_BLOCK_KIND.get(descriptor)
    if code >= len(messages.BLOCK_DWORDS) or kind > 1 or (write and kind):
        return None
    dwords = messages.BLOCK_DWORDS[code]
    first = 4 if code == messages.HIGH_HALF else 0
    return BlockAccess(Space.GLOBAL, 0, write, dwords, first, 4 if kind else 16)


def _port0(descriptor: int) -> Shape | None:
    number = messages.PORT_0_TYPE.get(descriptor)
    index = messages.BINDING_TABLE_INDEX.get(descriptor)
    if number == Port0.FENCE:
        return Fence()
    if index == messages.BINDLESS:
        return None
    if number in (Port0.BLOCK_READ, Port0.UNALIGNED_BLOCK_READ, Port0.BLOCK_WRITE):
        return _block(descriptor, number, write=number == Port0.BLOCK_WRITE)
    header = bool(messages.HEADER_PRESENT.get(descriptor))
    if number in (Port0.DWORD_SCATTERED_READ, Port0.DWORD_SCATTERED_WRITE):
        lanes = _LANES_OF_SCATTERED.get(messages.DWORD_SCATTERED_MODE.get(descriptor), 0)
        size, unit = 4, 4
    elif number in (Port0.BYTE_SCATTERED_READ, Port0.BYTE_SCATTERED_WRITE):
        lanes = 16 if messages.SCATTERED_SIMD16.get(descriptor) else 8
        size, unit = 1 << messages.SCATTERED_SIZE.get(descriptor), 1
    else:
        return None
    if not lanes or size > 4:
        return None
    write = number in (Port0.BYTE_SCATTERED_WRITE, Port0.DWORD_SCATTERED_WRITE)
    space = _space(index)
    return LaneAccess(space, index, write, lanes, size, (0,), False, unit, header)


def _read_only_port(descriptor: int) -> Shape | None:
    number = messages.PORT_0_TYPE.get(descriptor)
    blocks = (Port0.BLOCK_READ, Port0.UNALIGNED_BLOCK_READ, messages.SAMPLER_CACHE_BLOCK_READ)
    if number not in blocks:
        return None
    return _block(descriptor, number, write=False)


def _block(descriptor: int, number: int, *, write: bool) -> Shape | None:
    code = messages.BLOCK_SIZE.get(descriptor)
    index = messages.BINDING_TABLE_INDEX.get(descriptor)
    if code >= len(messages.BLOCK_DWORDS) or not messages.HEADER_PRESENT.get(descriptor):
        return None
    if index in _WITH_HEADER:
        return None
    unit = messages.OWORD if number in (Port0.BLOCK_READ, Port0.BLOCK_WRITE) else 1
    first = 4 if code == messages.HIGH_HALF else 0
    return BlockAccess(_space(index), index, write, messages.BLOCK_DWORDS[code], first, unit)
