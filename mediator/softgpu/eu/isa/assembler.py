"""Writes programs: an instruction a call, labels, compaction where it is possible.

    asm = Assembler(width=16)
    asm.mov(grf(2, Type.D), 5)
    asm.label("again")
    asm.add(grf(2, Type.D), grf(2, Type.D), -1, condition=Condition.GREATER)
    asm.while_("again", predicate=True)
    asm.end()
    code = asm.code()

Mnemonics that are words of Python end in an underscore. Made for tests: what has no encoding raises
ValueError, and nothing else is checked, so that illegal programs can be written too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from mediator.gen9.eu import fields
from mediator.gen9.eu.opcodes import Form, MathFunction, Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.compaction import compact
from mediator.softgpu.eu.isa.decoder import COMPACTED_BYTES, MACROS, NATIVE_BYTES
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Immediate,
    IndirectSource,
    Instruction,
    Message,
    Operand,
    Predicate,
)
from mediator.softgpu.eu.isa.register import Register, immediate, null

_MNEMONICS: Final = MappingProxyType({opcode.mnemonic: opcode for opcode in Opcode})
_NO_DESTINATION: Final = frozenset({Opcode.WAIT})
_CALLS: Final = frozenset({Opcode.CALL, Opcode.CALLA})
_TWO_ELEMENTS: Final = frozenset({Opcode.BRC, Opcode.RET})
_MESSAGES: Final = frozenset({Form.SEND, Form.SPLIT_SEND})
_THREAD_SPAWNER: Final = 7
_END_OF_THREAD_DESCRIPTOR: Final = 0x02000010

Value = Register | Immediate | int | float
"""Numbers without a type are D or F."""
Target = str | int
"""A label, or bytes from the instruction (calla: from the code's start)."""


class Controls(TypedDict, total=False):
    """What any instruction may have beside operands."""

    width: int
    channel: int
    predicate: Predicate | bool
    """True: bits of the flag; False: their inverse."""
    flag: int
    """0, 16, 32, 48: f0.0, f0.1, f1.0, f1.1."""
    no_mask: bool
    saturate: bool
    condition: Condition
    write_accumulator: bool
    branch_control: bool
    switch: bool
    align16: bool


class Assembler:
    """A program that grows. ``width``: channels of instructions that do not say theirs."""

    def __init__(self, width: int = 8, *, compacting: bool = True) -> None:
        self.width = width
        self._compacting = compacting
        self._parts: list[tuple[Instruction, tuple[Target, ...]] | bytes | str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        opcode = _MNEMONICS.get(name.rstrip("_"))
        if opcode is None or opcode.form in _MESSAGES:
            raise AttributeError(name)
        emit = self.branch if opcode.form is Form.BRANCH else self.emit
        return lambda *operands, **controls: emit(opcode, *operands, **controls)

    def emit(self, opcode: Opcode, *operands: Value, **controls: Unpack[Controls]) -> None:
        """An instruction that computes: destination, if it has one, then sources."""
        self._compute(opcode, None, operands, controls)

    def math(self, function: MathFunction, *operands: Value, **controls: Unpack[Controls]) -> None:
        """A math instruction: destination, then sources."""
        self._compute(Opcode.MATH, function, operands, controls)

    def branch(
        self, opcode: Opcode, *operands: Register | Target, **controls: Unpack[Controls]
    ) -> None:
        """A branch: JIP, and UIP where it has one, or a register; call's destination first."""
        blank = self._blank(opcode, controls)
        registers = [operand for operand in operands if isinstance(operand, Register)]
        targets = tuple(operand for operand in operands if not isinstance(operand, Register))
        destination = registers.pop(0).destination() if opcode in _CALLS else None
        wide = opcode in _TWO_ELEMENTS
        sources = tuple(
            (register.by(2, 2, 1) if wide else register.scalar).source(2, align16=False)
            for register in registers
        )
        self._parts.append((replace(blank, destination=destination, sources=sources), targets))

    def send(
        self,
        destination: Register | None,
        payload: int | IndirectSource,
        sfid: int,
        descriptor: int | None,
        *,
        more: tuple[int, int] | None = None,
        extended: int | None = 0,
        extended_address: int = 0,
        end_of_thread: bool = False,
        **controls: Unpack[Controls],
    ) -> None:
        """A message; with ``more``, (register, count) of a second payload, a split one.

        ``descriptor`` or ``extended`` of None: from a0.0, and from the a0 dword
        ``extended_address`` (split). ``extended``: its bits 31:16 alone.
        """
        indirect = payload if isinstance(payload, IndirectSource) else None
        low = sfid | fields.EXTENDED_END_OF_THREAD.put(end_of_thread)
        low |= fields.EXTENDED_LENGTH.put(more[1] if more is not None else 0)
        message = Message(
            sfid=sfid,
            descriptor=descriptor,
            extended=None if extended is None else extended | low,
            payload=payload if isinstance(payload, int) else 0,
            payload_indirect=indirect,
            more=more[0] if more is not None else None,
            end_of_thread=end_of_thread,
            extended_address=extended_address,
        )
        split = more is not None or extended is None
        blank = self._blank(Opcode.SENDS if split else Opcode.SEND, controls)
        to = (null() if destination is None else destination).destination()
        self._parts.append((replace(blank, destination=to, message=message), ()))

    def end(self, payload: int = 127) -> None:
        """Ends the thread, as compilers do it: a message to the thread spawner."""
        self.send(
            None,
            payload,
            _THREAD_SPAWNER,
            _END_OF_THREAD_DESCRIPTOR,
            end_of_thread=True,
            width=8,
            no_mask=True,
        )

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        if name in self._parts:
            raise ValueError(f"label {name} is there already")
        self._parts.append(name)

    def instruction(self, instruction: Instruction) -> None:
        """An instruction that is there already; its offsets stay as they are."""
        self._parts.append((instruction, ()))

    def raw(self, code: bytes) -> None:
        """Bytes as they are, eight or a multiple."""
        self._parts.append(code)

    def code(self) -> bytes:
        """The program. Raises KeyError for a label that is nowhere."""
        encoded = [
            part if isinstance(part, bytes | str) else self._unplaced(*part) for part in self._parts
        ]
        labels: dict[str, int] = {}
        at = 0
        for part in encoded:
            if isinstance(part, str):
                labels[part] = at
            else:
                at += len(part) if isinstance(part, bytes) else NATIVE_BYTES
        code = bytearray()
        for part in encoded:
            if isinstance(part, bytes):
                code += part
            elif not isinstance(part, str):
                code += _placed(*part, len(code), labels).to_bytes(NATIVE_BYTES, "little")
        return bytes(code)

    def _compute(
        self,
        opcode: Opcode,
        function: MathFunction | None,
        operands: tuple[Value, ...],
        controls: Controls,
    ) -> None:
        macro = function in MACROS
        if opcode.form is Form.THREE_SOURCE or macro:
            controls.setdefault("align16", True)
        blank = self._blank(opcode, controls)
        rest = list(operands)
        destination = None
        if opcode not in _NO_DESTINATION and opcode.form is not Form.NOTHING:
            register = rest.pop(0)
            if not isinstance(register, Register):
                raise ValueError(f"destination {register}")
            destination = register.destination()
        width = 1 if opcode in _NO_DESTINATION else blank.width
        sources = tuple(_source(value, width, align16=blank.align16) for value in rest)
        found = replace(blank, destination=destination, sources=sources, function=function)
        self._parts.append((found, ()))

    def _blank(self, opcode: Opcode, controls: Controls) -> Instruction:
        predicate = controls.get("predicate")
        if isinstance(predicate, bool):
            predicate = Predicate(1, not predicate)
        scalar = opcode in (Opcode.JMPI, Opcode.WAIT)
        return Instruction(
            offset=0,
            size=NATIVE_BYTES,
            word=0,
            opcode=opcode,
            width=controls.get("width", 1 if scalar else self.width),
            channel=controls.get("channel", 0),
            align16=controls.get("align16", False),
            predicate=predicate,
            flag=controls.get("flag", 0),
            no_mask=controls.get("no_mask", opcode is Opcode.JMPI),
            saturate=controls.get("saturate", False),
            condition=controls.get("condition", Condition.NONE),
            write_accumulator=controls.get("write_accumulator", False),
            destination=None,
            sources=(),
            branch_control=controls.get("branch_control", False),
            switch=controls.get("switch", False),
        )

    def _unplaced(
        self, instruction: Instruction, targets: tuple[Target, ...]
    ) -> bytes | tuple[Instruction, tuple[Target, ...]]:
        """The bytes of an instruction that has no targets, compacted if that can be."""
        if targets:
            return instruction, targets
        word = encode(instruction)
        compacted = compact(word) if self._compacting else None
        if compacted is None or instruction.opcode.form is Form.BRANCH:
            return word.to_bytes(NATIVE_BYTES, "little")
        return compacted.to_bytes(COMPACTED_BYTES, "little")


def _placed(
    instruction: Instruction, targets: tuple[Target, ...], at: int, labels: dict[str, int]
) -> int:
    absolute = instruction.opcode is Opcode.CALLA
    start = 0 if absolute else at
    jumps = [labels[target] - start if isinstance(target, str) else target for target in targets]
    uip = jumps[1] if len(jumps) > 1 else None
    return encode(replace(instruction, jip=jumps[0], uip=uip))


def _source(value: Value, width: int, *, align16: bool) -> Operand:
    if isinstance(value, Register):
        return value.source(width, align16=align16)
    if isinstance(value, Immediate):
        return value
    return immediate(value, Type.D if isinstance(value, int) else Type.F)
