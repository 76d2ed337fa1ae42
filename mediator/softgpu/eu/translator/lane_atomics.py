"""Atomic messages: a lane at a time, in order, on places that are known for all of them first.

On the GPU's memory they are atomic against other host threads and the guest; the group's local
memory is this host thread's alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.messages import AtomicOperation
from mediator.softgpu.eu.isa.instruction import GRF_BYTES
from mediator.softgpu.eu.translator import gathers
from mediator.softgpu.eu.translator.compute import enabled
from mediator.softgpu.eu.translator.lane_access import (
    arm,
    close,
    entry,
    operand,
    respond,
    room,
    send_all,
)
from mediator.softgpu.eu.translator.message_shape import Space
from mediator.softgpu.eu.translator.sends import payload_registers, response_place
from mediator.softgpu.eu.translator.text import Value, same, zero

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.translator.gathers import Places
    from mediator.softgpu.eu.translator.message_shape import LaneAtomic
    from mediator.softgpu.eu.translator.state import State

_PLAIN: Final = {
    AtomicOperation.AND: "and",
    AtomicOperation.OR: "or",
    AtomicOperation.XOR: "xor",
    AtomicOperation.INCREMENT: "add",
    AtomicOperation.DECREMENT: "sub",
    AtomicOperation.PRE_DECREMENT: "sub",
    AtomicOperation.ADD: "add",
    AtomicOperation.SUBTRACT: "sub",
}
_CHOICES: Final = {
    AtomicOperation.SIGNED_MAXIMUM: "max",
    AtomicOperation.SIGNED_MINIMUM: "min",
    AtomicOperation.MAXIMUM: "umax",
    AtomicOperation.MINIMUM: "umin",
}


def atomics(state: State, instruction: Instruction, shape: LaneAtomic) -> None:
    """Write a message's own code, with the call behind it."""
    message = instruction.message
    assert message is not None
    text, local = state.text, shape.space is Space.LOCAL
    mask = enabled(state, instruction)
    done = text.new_label("done")
    if _has_code(shape) and instruction.width > 1:
        registers = payload_registers(message)
        addresses = operand(state, registers, instruction.width, shape.address_bytes)
        aligned = same(addresses.element, addresses.lanes, str(-shape.size))
        addresses = text.binary("and", addresses, aligned)
        extent = gathers.Extent(shape.size, shape.size)
        given = _operands(state, instruction, shape, registers)
        if local:
            places = gathers.local_places(state, addresses, extent, mask, write=True)
            _each(state, instruction, shape, places, given, mask)
            return
        where = shape.space, shape.index
        places, usable = gathers.memory_places(state, where, addresses, extent, mask, write=True)
        other = arm(state, usable)
        _each(state, instruction, shape, places, given, mask)
        close(state, other, done)
    send_all(state, instruction, shape, mask)
    text.branch(done)
    text.label(done)


def _has_code(shape: LaneAtomic) -> bool:
    return shape.operation is not AtomicOperation.REVERSE_SUBTRACT


def _operands(
    state: State, instruction: Instruction, shape: LaneAtomic, registers: Sequence[int]
) -> list[Value]:
    """The lanes' operands."""
    at = shape.lanes * shape.address_bytes // GRF_BYTES
    each = shape.lanes * shape.size // GRF_BYTES
    return [
        operand(state, registers[at + each * n :], instruction.width, shape.size)
        for n in range(shape.operands)
    ]


def _each(
    state: State,
    instruction: Instruction,
    shape: LaneAtomic,
    places: Places,
    given: list[Value],
    mask: Value | None,
) -> None:
    """A loop over the lanes that run."""
    text, element = state.text, f"i{8 * shape.size}"
    pointers, operands = room(state, "pointers"), []
    text.store(places.pointers, pointers, 64)
    for number, value in enumerate(given):
        operands.append(room(state, f"operand{number}"))
        text.store(value, operands[-1], 64)
    old = room(state, "old")
    if shape.returns:
        text.store(zero(element, places.pointers.lanes), old, 64)
    count = places.running.lanes
    left = text.cast("zext", text.bitcast(places.running, f"i{count}", 1), "i64")
    before, head = text.new_label("lanes"), text.new_label("next")
    body, out = text.new_label("lane"), text.new_label("out")
    text.branch(before)
    text.label(before)
    text.branch(head)
    text.label(head)
    rest = Value(text.fresh(), "i64")
    now = text.phi([(left, before), (rest, body)])
    text.branch_if(text.compare("eq", now, zero("i64")), out, body)
    text.label(body)
    lane = text.intrinsic("cttz", now, Value("true", "i1"))
    place = entry(state, pointers, lane, 8)
    host = text.load("ptr", 1, place, 8).text
    values = [
        text.load(element, 1, entry(state, at, lane, shape.size), shape.size) for at in operands
    ]
    found = _changed(state, shape, host, values)
    if shape.returns:
        text.store(found, entry(state, old, lane, shape.size), shape.size)
    less = text.binary("sub", now, Value("1", "i64"))
    text.lines.append(f"  {rest.text} = and {now.typed}, {less.text}")
    text.branch(head)
    text.label(out)
    if shape.returns:
        _respond(state, instruction, shape, text.load(element, count, old, 64), mask)


def _changed(state: State, shape: LaneAtomic, host: str, given: list[Value]) -> Value:
    """Do it at one place: what the message gives back."""
    text, element = state.text, f"i{8 * shape.size}"
    if shape.space is Space.LOCAL:
        old = text.load(element, 1, host, shape.size)
        text.store(_new(state, shape, old, given), host, shape.size)
    elif shape.operation is AtomicOperation.COMPARE_WRITE:
        wanted, new = given
        both = text.fresh()
        orders = "seq_cst seq_cst"
        text.lines.append(f"  {both} = cmpxchg ptr {host}, {wanted.typed}, {new.typed} {orders}")
        old = text.define(element, 1, f"extractvalue {{ {element}, i1 }} {both}, 0")
    else:
        name = _CHOICES.get(shape.operation) or _PLAIN.get(shape.operation, "xchg")
        value = given[0] if given else Value("1", element)
        old = text.define(element, 1, f"atomicrmw {name} ptr {host}, {value.typed} seq_cst")
    if shape.operation is AtomicOperation.PRE_DECREMENT:
        return text.binary("sub", old, Value("1", element))
    return old


def _new(state: State, shape: LaneAtomic, old: Value, given: list[Value]) -> Value:
    text, operation = state.text, shape.operation
    if operation is AtomicOperation.MOVE:
        return given[0]
    if operation is AtomicOperation.COMPARE_WRITE:
        return text.select(text.compare("eq", old, given[0]), given[1], old)
    if operation in _CHOICES:
        name = _CHOICES[operation]
        return text.intrinsic(name if name[0] == "u" else f"s{name}", old, given[0])
    return text.binary(_PLAIN[operation], old, given[0] if given else Value("1", old.element))


def _respond(
    state: State, instruction: Instruction, shape: LaneAtomic, value: Value, mask: Value | None
) -> None:
    assert instruction.message is not None
    place, _ = response_place(instruction, instruction.message)
    begin = place * GRF_BYTES
    places = [begin + shape.size * lane for lane in range(instruction.width)]
    respond(state, value, places, shape.size, mask)
