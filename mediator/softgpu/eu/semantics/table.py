"""What each opcode means, once, in the operations of `mediator/softgpu/eu/semantics/ops.py`.

`evaluate` is the whole interface: it takes an instruction's sources as they stand in the registers
and gives what the enabled channels are to receive. Which channels are enabled, where operands
stand, control flow and messages are not its business.

Source: PRM SKL vol 2a and 7 "EU Instruction Set", the section of each instruction; Mesa's brw and
Intel's IGC for the use that is made of them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.semantics import arithmetic, bit_operations, move, vector_operations
from mediator.softgpu.eu.semantics.math_functions import math
from mediator.softgpu.eu.semantics.step import Step
from mediator.softgpu.eu.semantics.vector_operations import plane_operands

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.eu.isa.instruction import Instruction, Operand
    from mediator.softgpu.eu.semantics.ops import Mask, Ops, Value
    from mediator.softgpu.eu.semantics.step import Inputs, Outcome

_TABLE: Final[MappingProxyType[Opcode, Callable[[Step[Any, Any]], Outcome[Any, Any]]]] = (
    MappingProxyType(
        {
            Opcode.MOV: move.mov,
            Opcode.MOVI: move.mov,
            Opcode.SEL: move.sel,
            Opcode.CSEL: move.csel,
            Opcode.CMP: move.cmp,
            Opcode.CMPN: move.cmpn,
            Opcode.NOT: bit_operations.not_,
            Opcode.AND: bit_operations.and_,
            Opcode.OR: bit_operations.or_,
            Opcode.XOR: bit_operations.xor,
            Opcode.SHL: bit_operations.shl,
            Opcode.SHR: bit_operations.shr,
            Opcode.ASR: bit_operations.asr,
            Opcode.BFREV: bit_operations.bfrev,
            Opcode.BFE: bit_operations.bfe,
            Opcode.BFI1: bit_operations.bfi1,
            Opcode.BFI2: bit_operations.bfi2,
            Opcode.LZD: bit_operations.lzd,
            Opcode.FBH: bit_operations.fbh,
            Opcode.FBL: bit_operations.fbl,
            Opcode.CBIT: bit_operations.cbit,
            Opcode.ADD: arithmetic.add,
            Opcode.MUL: arithmetic.mul,
            Opcode.AVG: arithmetic.avg,
            Opcode.MAC: arithmetic.mac,
            Opcode.MACH: arithmetic.mach,
            Opcode.ADDC: arithmetic.addc,
            Opcode.SUBB: arithmetic.subb,
            Opcode.MAD: arithmetic.mad,
            Opcode.MADM: arithmetic.mad,
            Opcode.LRP: arithmetic.lrp,
            Opcode.FRC: arithmetic.frc,
            Opcode.RNDU: arithmetic.rndu,
            Opcode.RNDD: arithmetic.rndd,
            Opcode.RNDE: arithmetic.rnde,
            Opcode.RNDZ: arithmetic.rndz,
            Opcode.MATH: math,
            Opcode.SAD2: vector_operations.sad2,
            Opcode.SADA2: vector_operations.sada2,
            Opcode.DP2: vector_operations.dp2,
            Opcode.DP3: vector_operations.dp3,
            Opcode.DP4: vector_operations.dp4,
            Opcode.DPH: vector_operations.dph,
            Opcode.LINE: vector_operations.line,
            Opcode.PLN: vector_operations.pln,
        }
    )
)


def computes(opcode: Opcode) -> bool:
    """Whether `evaluate` knows the opcode. The others are control flow, messages, `wait`, `nop`;
    `illegal`; and `smov`, which no compiler emits and nobody has described well enough."""
    return opcode in _TABLE


def operands(instruction: Instruction) -> tuple[Operand, ...]:
    """What is to be read for `evaluate`, in its order: the sources, but of `line` and `pln` the
    coefficients and coordinates that they mean."""
    if instruction.opcode in (Opcode.LINE, Opcode.PLN):
        return plane_operands(instruction)
    return instruction.sources


def writes_flag(instruction: Instruction) -> bool:
    """Whether `evaluate` gives flag bits."""
    if instruction.opcode in (Opcode.SEL, Opcode.CSEL):
        return False
    if instruction.opcode is Opcode.MATH:
        return instruction.function in arithmetic.MACROS
    return instruction.condition is not Condition.NONE


def predicate_selects(instruction: Instruction) -> bool:
    """Whether the predicate is an input (of `sel`) and does not disable channels."""
    return instruction.opcode is Opcode.SEL


def evaluate(
    ops: Ops[Value, Mask], instruction: Instruction, inputs: Inputs[Value, Mask]
) -> Outcome[Value, Mask]:
    """Carry out one instruction on all its channels.

    Raises:
        IllegalOperation: It means nothing; the thread faults.
    """
    function = _TABLE.get(instruction.opcode)
    if function is None:
        raise IllegalOperation(f"{instruction.opcode.mnemonic} computes nothing")
    sources = operands(instruction)
    if len(inputs.sources) < instruction.opcode.source_count - (instruction.opcode is Opcode.MATH):
        raise IllegalOperation(f"{instruction.opcode.mnemonic} with too few sources")
    outcome: Outcome[Value, Mask] = function(Step(ops, instruction, sources, inputs))
    return outcome
