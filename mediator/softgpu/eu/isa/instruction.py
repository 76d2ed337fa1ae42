"""A decoded instruction of an execution unit: what the decoder gives and everybody else reads.

Offsets and register positions are in bytes. A GRF has 32 bytes; GRF n begins at byte 32 * n of the
register file. Source: PRM SKL vol 7 "EU Instruction Formats", "Register Region".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediator.gen9.eu.opcodes import MathFunction, Opcode
    from mediator.gen9.eu.types import Packed, Type

GRF_BYTES = 32
GRF_COUNT = 128


class IllegalInstruction(Exception):
    """An instruction that hardware does not define: reserved codes, a region beyond two registers
    or beyond the file, a jump to where no instruction begins. ``word`` is the native instruction
    word, None where none could be read; ``offset`` its place in the code.
    """

    def __init__(self, reason: str, word: int | None = None, offset: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.word = word
        self.offset = offset

    def __str__(self) -> str:
        text = self.reason
        if self.offset is not None:
            text += f" at {self.offset:#x}"
        if self.word is not None:
            text += f": {self.word:032x}"
        return text


class File(Enum):
    """A register file."""

    ARF = "arf"
    GRF = "grf"


@dataclass(frozen=True, slots=True)
class Region:
    """A source region <vertical; width, horizontal>, strides in elements.

    Channel n reads element ``(n // width) * vertical + (n % width) * horizontal`` counted from the
    operand's first byte. An indirect region whose ``vertical`` is None (the code VxH or Vx1) has
    one address register for each row of ``width`` elements.
    """

    vertical: int | None
    width: int
    horizontal: int


@dataclass(frozen=True, slots=True)
class Source:
    """A register source. ``negate`` is applied after ``absolute``; on a logical operation it is a
    bitwise NOT.

    ``byte`` is the first element's position in the file: for the GRF 0..4095, for an ARF
    32 * register number + subregister in bytes (register number as encoded, 0x20 is acc0).
    ``mme`` is the macro accumulator (0..7; 8: none) of madm and its like.

    ``swizzle`` is there for an align16 operand whose swizzle is neither .xyzw nor replication,
    which the region alone describes, as it does in align1. Then channel n reads element ``(n // 4)
    * region.vertical + swizzle[n % 4]``. It counts elements of the type, for 64-bit types too,
    where the word counts dwords.
    """

    file: File
    byte: int
    type: Type
    region: Region
    negate: bool = False
    absolute: bool = False
    swizzle: tuple[int, int, int, int] | None = None
    mme: int | None = None


@dataclass(frozen=True, slots=True)
class IndirectSource:
    """A GRF source at byte ``a0.address + offset``; ``address`` counts words of a0 (0..15).

    With a ``region.vertical`` of None row n (of ``region.width`` elements) begins at byte
    ``a0.(address + n) + offset``. ``swizzle`` as in `Source`.
    """

    address: int
    offset: int
    type: Type
    region: Region
    negate: bool = False
    absolute: bool = False
    swizzle: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Immediate:
    """``bits`` as they stand in the word, of the type's size (Packed: 32 bits)."""

    type: Type | Packed
    bits: int


Operand = Source | IndirectSource | Immediate


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a result goes; ``stride`` in elements. ``write_mask`` is there in align16 unless all
    channels write: channel n does if its bit n % 4 is set (bits count elements of the type, for
    64-bit types too). The null register is an ARF at byte 0.
    """

    file: File
    byte: int
    type: Type
    stride: int
    write_mask: int | None = None
    mme: int | None = None


@dataclass(frozen=True, slots=True)
class IndirectDestination:
    """A GRF destination at byte ``a0.address + offset``."""

    address: int
    offset: int
    type: Type
    stride: int
    write_mask: int | None = None


class Condition(IntEnum):
    """A conditional modifier, by its code."""

    NONE = 0
    EQUAL = 1
    NOT_EQUAL = 2
    GREATER = 3
    GREATER_EQUAL = 4
    LESS = 5
    LESS_EQUAL = 6
    OVERFLOW = 8
    UNORDERED = 9


@dataclass(frozen=True, slots=True)
class Predicate:
    """``control``: the code (1 sequential, 2 anyv, 3 allv, 4 any2h .. 13 all32h in align1; swizzles
    in align16).
    """

    control: int
    inverse: bool


@dataclass(frozen=True, slots=True)
class Message:
    """What a send instruction sends. A descriptor of None is taken from a0.0; ``extended`` of None
    from the a0 dword ``extended_address``, whose bits 3:0 are then the shared function, not
    ``sfid``. Bits 31:16 of ``extended`` say something only where the surface is bindless: of a send
    compilers leave noise there.

    ``payload`` and ``more`` (sends alone) are GRF numbers; their lengths are in the descriptors
    (`message_length`, `extended_length`), as is the response's (`response_length`). Where the
    descriptor stands in the word the decoder has checked that they end within the GRF; with one
    from a register, or indirect operands, whoever sends must.
    """

    sfid: int
    descriptor: int | None
    extended: int | None
    payload: int
    payload_indirect: IndirectSource | None
    more: int | None
    end_of_thread: bool
    extended_address: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    ``offset``: bytes from the start of the code that was decoded; ``size`` 16, or 8 when it was
    compacted; ``word``: the native 128-bit form. ``channel``: number of its first channel (0..28),
    which chooses dispatch mask, control-flow mask and flag bits. ``flag``: the flag bit position of
    channel 0 (0, 16, 32, 48), used by predicate and condition. ``jip`` and ``uip`` are relative to
    ``offset`` for every instruction (jmpi: already corrected for its own size; calla: absolute),
    None where the instruction has none, or takes it from a register. Then that is in ``sources``:
    of jmpi, brd and call the offset as it would stand in the word, of brc both offsets, of ret what
    call left in its destination.
    """

    offset: int
    size: int
    word: int
    opcode: Opcode
    width: int
    channel: int
    align16: bool
    predicate: Predicate | None
    flag: int
    no_mask: bool
    saturate: bool
    condition: Condition
    write_accumulator: bool
    destination: Destination | IndirectDestination | None
    sources: tuple[Operand, ...]
    jip: int | None = None
    uip: int | None = None
    branch_control: bool = False
    function: MathFunction | None = None
    """Of math."""
    message: Message | None = None
    switch: bool = False
    """The thread-switch flag: what follows sees what was written to control registers."""

    @property
    def end(self) -> int:
        """Offset of the next instruction."""
        return self.offset + self.size
