"""What the audit checks and changes in each kind of command: the behaviour behind `audit_rules.py`.

Every function here is given a private copy of the command, so nothing changes between check and
execution. It returns True where no command after this one is run. What a guest may not do to a
register is left out and counted; a GGTT address that is not the guest's fails the submission.

A command that is rewritten keeps its length, so that all addresses within ring and batches stay
what the guest knows them to be.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from mediator.errors import Reason
from mediator.gen9.commands import RCS, REGISTER_MASK
from mediator.gen9.context_image import BATCH_BUFFER_END
from mediator.gen9.field import Field
from mediator.gen9.registers import RING_HWS_PGA
from mediator.vgpu.mmio_table import register_name
from mediator.workload.audit_rules import USE_GGTT, Address, Kind, Rule
from mediator.workload.command_stream import (
    ARBITRATION_ON,
    PAIR_WORK,
    UPDATE_WORK,
    Stream,
    Target,
)
from mediator.workload.view import RegisterUse

_PAGE: Final = 4096
_GGTT_MASK: Final = 0xFFFF_FFFF
_GTT_PAGES: Final = 1 << 20
_PAGE_MASK: Final = 0xFFFF_F000

_GLOBAL: Final = 1 << USE_GGTT
_STORE_QWORD: Final = 1 << 21
_STORE_DATA: Final = 0x20 << 23 | 2
"""MI_STORE_DATA_IMM of a dword."""
_BATCH_START: Final = 0x31 << 23 | 1
"""MI_BATCH_BUFFER_START of a batch with privilege."""
_LOAD_IMMEDIATE: Final = 0x22 << 23 | 1
"""MI_LOAD_REGISTER_IMM of one pair."""
_CALLED_ALIGN: Final = 64
_LOAD_PAIRS: Final = Field(7, 0)
_BYTE_DISABLES: Final = Field(11, 8)
_PREDICATED: Final = 1 << 21
_COMPARE: Final = Field(14, 12)
_COMPARISONS: Final = 6
WAIT_REGISTER: Final = 1 << 16
"""MI_SEMAPHORE_WAIT: the operand is a register."""
_END_MASKED: Final = 1 << 19
_ATOMIC_SIZE: Final = Field(20, 19)
_ATOMIC_SIZES: Final = (4, 8, 16)
_ATOMIC_INLINE: Final = 1 << 18
_ATOMIC_INLINE_DWORDS: Final = 11
_INDEX_PER_PROCESS: Final = 1 << 21
_INDEX_OFFSET: Final = 0xFFC
_QWORD_INDEX_OFFSET: Final = 0xFF8

_POST_SYNC: Final = Field(15, 14)
_STORE_INDEX: Final = 1 << 21
_PIPE_REGISTER: Final = 1 << 23
_PIPE_GLOBAL: Final = 1 << 24
_PIPE_ACTIVE: Final = _POST_SYNC.mask | _PIPE_REGISTER
_PIPE_WRITE_DWORDS: Final = 5
_FLUSH_GLOBAL: Final = 1 << 2
"""In the address dword of MI_FLUSH_DW."""
_FLUSH_WRITE_DWORDS: Final = 4
_FLUSH_RESERVED: Final = 2
_QWORD_ALIGN: Final = 0xFFFF_FFF8

_LONGEST_UNARBITRATED: Final = 256
"""Dwords for which arbitration may be off. What i915 protects so is below 100."""
_BATCH_SECOND_LEVEL: Final = 1 << 22
_BATCH_ADD_OFFSET: Final = 1 << 16
_BATCH_PREDICATED: Final = 1 << 15
_BATCH_PPGTT: Final = 1 << 8
_DWORD_ALIGN: Final = 0xFFFF_FFFC
_USER_HIGH: Final = 0xFFFF
"""Address bits 47:32 of a context's own space."""


Check = Callable[[Stream, int, int], "bool | None"]
"""Audits the command at a dword, of so many dwords. True: nothing after it is run."""


def check_for(rule: Rule, key: int) -> Check | None:
    """The check for commands of ``rule`` whose header's upper half is ``key``; None: none needed.

    A header that selects the context's own address space needs none of its addresses checked.
    """
    if rule.kind in _GLOBAL_ONLY:
        addresses = tuple(a for a in rule.addresses if _may_be_global(a, key))
        if not addresses:
            return None
        return _check_addresses(addresses) if rule.kind is Kind.ADDRESSES else _CHECKS[rule.kind]
    if rule.kind is Kind.STORE_DATA and not key << 16 & (_GLOBAL | _STORE_QWORD):
        return None
    return _CHECKS.get(rule.kind)


_GLOBAL_ONLY: Final = {Kind.ADDRESSES, Kind.ATOMIC}
"""Kinds with nothing to audit but their addresses."""


def _may_be_global(address: Address, key: int) -> bool:
    return address.selector != 0 or bool(key >> (address.bit - 16) & 1)


def _check_addresses(addresses: tuple[Address, ...]) -> Check:
    operands = [(a.selector, 1 << a.bit, a.low, a.size, _GGTT_MASK & -a.align) for a in addresses]

    def check(stream: Stream, at: int, _length: int) -> bool | None:
        for selector, bit, low, size, mask in operands:
            if stream.dwords[at + selector] & bit:
                stream.check_global(at, low, size, mask)
        return None

    return check


def _no_operation(stream: Stream, at: int, length: int) -> bool | None:
    stream.drop(Reason.UNKNOWN_COMMAND, at, "acts on what is shared and is left out")
    stream.blank(at, length)
    return None


def _refuse(stream: Stream, at: int, _length: int) -> bool | None:
    stream.refuse(Reason.UNKNOWN_COMMAND, at, "has no place in a privileged stream")


def _store_data(stream: Stream, at: int, length: int) -> bool | None:
    header = stream.dwords[at]
    if header & _STORE_QWORD and not length % 2:
        stream.refuse(Reason.BAD_COMMAND, at, f"of qwords in {length} dwords")
    if header & _GLOBAL:
        stream.check_global(at, 1, 4 * (length - 3), _DWORD_ALIGN)
    return None


def _atomic(stream: Stream, at: int, length: int) -> bool | None:
    header = stream.dwords[at]
    code = _ATOMIC_SIZE.get(header)
    if code >= len(_ATOMIC_SIZES):
        stream.refuse(Reason.BAD_COMMAND, at, f"with data size {code}")
    if header & _ATOMIC_INLINE and length < _ATOMIC_INLINE_DWORDS:
        stream.refuse(Reason.BAD_COMMAND, at, f"with inline data in {length} dwords")
    size = _ATOMIC_SIZES[code]
    stream.check_global(at, 1, size, _GGTT_MASK & -size)
    return None


# -- registers --------------------------------------------------------------------------------


def _load_immediate(stream: Stream, at: int, length: int) -> bool | None:
    """Pairs that pass stay, in order; the others are taken out and the command made shorter."""
    dwords = stream.dwords
    if not length % 2:
        stream.refuse(Reason.BAD_COMMAND, at, f"of {length} dwords")
    stream.counts.spend(PAIR_WORK * (length // 2))
    disables = _BYTE_DISABLES.get(dwords[at])
    kept: array[int] | None = None
    for i in range(at + 1, at + length, 2):
        operand, value = dwords[i], dwords[i + 1]
        if disables:
            value = _merged(stream, operand, value, disables)
        use = stream.write_use(operand, value)
        if use is RegisterUse.PASS:
            if operand & ~REGISTER_MASK:
                stream.keep_register(i)
            if kept is not None:
                kept += dwords[i : i + 2]
            continue
        if kept is None:
            kept = dwords[at + 1 : i]
        if use is RegisterUse.REFUSED:
            _drop_write(stream, at, operand)
    if kept is not None:
        _shorten(stream, at, length, kept)
    return None


def _shorten(stream: Stream, at: int, length: int, kept: array[int]) -> None:
    header = _LOAD_PAIRS.put(len(kept) - 1, stream.dwords[at]) if kept else 0
    rest = [0] * (length - 1 - len(kept))
    stream.put(at, header, *kept, *rest)


def _merged(stream: Stream, operand: int, value: int, disables: int) -> int:
    """What a virtual register holds after a write of some of its bytes; of others nobody asks."""
    _, old = stream.read_use(operand)
    kept = sum(0xFF << 8 * byte for byte in range(4) if disables >> byte & 1)
    return (value & ~kept) | (old & kept)


def _named(operand: int) -> str:
    """The register that a command's operand means: name and offset."""
    offset = operand & REGISTER_MASK
    return f"{register_name(offset)} at {offset:#x}"


def _drop_write(stream: Stream, at: int, operand: int) -> None:
    stream.drop(Reason.REGISTER, at, f"writes {_named(operand)}")


def _drop_read(stream: Stream, at: int, operand: int) -> None:
    stream.drop(Reason.REGISTER, at, f"reads {_named(operand)}")


def _store_register(stream: Stream, at: int, length: int) -> bool | None:
    """SRM. What is not the hardware's to give becomes MI_STORE_DATA_IMM of the value."""
    dwords = stream.dwords
    header, operand = dwords[at], dwords[at + 1]
    if header & _GLOBAL:
        stream.check_global(at, 2, 4, _DWORD_ALIGN)
    use, value = stream.read_use(operand)
    if use is RegisterUse.PASS:
        stream.keep_register(at + 1)
        return None
    predicated = header & _PREDICATED and stream.view.engine_class == RCS
    if use is RegisterUse.REFUSED or predicated:
        _drop_read(stream, at, operand)
    if predicated:  # there is no store of a value that depends on the predicate
        stream.blank(at, length)
    else:
        stream.put(at, _STORE_DATA | header & _GLOBAL, dwords[at + 2], dwords[at + 3], value)
    return None


def _load_register(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    if dwords[at] & _GLOBAL:
        stream.check_global(at, 2, 4, _DWORD_ALIGN)
    if stream.target_use(dwords[at + 1]) is RegisterUse.PASS:
        stream.keep_register(at + 1)
    else:
        _drop_write(stream, at, dwords[at + 1])
        stream.blank(at, length)
    return None


def _move_register(stream: Stream, at: int, length: int) -> bool | None:
    """LRR. Where the value is known now, the command becomes MI_LOAD_REGISTER_IMM."""
    source, target = stream.dwords[at + 1 : at + 3]
    use, value = stream.read_use(source)
    if use is RegisterUse.PASS:
        written = stream.target_use(target)
        if written is RegisterUse.PASS:
            stream.keep_register(at + 1)
            stream.keep_register(at + 2)
            return None
        written = RegisterUse.REFUSED
    else:
        if use is RegisterUse.REFUSED:
            _drop_read(stream, at, source)
        written = stream.write_use(target, value)
    if written is RegisterUse.PASS:
        stream.put(at, _LOAD_IMMEDIATE, target & REGISTER_MASK, value)
        return None
    if written is RegisterUse.REFUSED:
        _drop_write(stream, at, target)
    stream.blank(at, length)
    return None


def _semaphore_wait(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    header = dwords[at]
    _check_comparison(stream, at)
    if header & WAIT_REGISTER:
        if stream.read_use(dwords[at + 2])[0] is RegisterUse.PASS:
            stream.keep_register(at + 2)
        else:
            _drop_read(stream, at, dwords[at + 2])
            stream.blank(at, length)
    elif header & _GLOBAL:
        stream.check_global(at, 2, 4, _DWORD_ALIGN)
    return None


def _check_comparison(stream: Stream, at: int) -> None:
    code = _COMPARE.get(stream.dwords[at])
    if code >= _COMPARISONS:
        stream.refuse(Reason.BAD_COMMAND, at, f"with compare operation {code}")


# -- post-sync writes and status pages --------------------------------------------------------


def _store_index(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    offset, size = dwords[at + 1] & _INDEX_OFFSET, 4 * (length - 2)
    if offset + size > _PAGE:
        stream.refuse(Reason.ADDRESS, at, f"past the status page: {offset:#x}")
    if not dwords[at] & _INDEX_PER_PROCESS:
        _call_store(stream, at, length, _status_page(stream, at, offset))
    return None


def _call_store(stream: Stream, at: int, length: int, address: int) -> None:
    """Store into the guest's status page instead of the hardware's, which is the mediator's.

    A store with an address is one dword longer than one with an index; the call of a batch that
    does it is not. A batch cannot call one of the mediator's: it may be of the second level.
    """
    if not stream.in_ring:
        stream.refuse(Reason.ADDRESS, at, "into the engine's status page, from a batch")
    values = stream.dwords[at + 2 : at + length]
    header = _STORE_DATA + len(values) - 1 | _GLOBAL | (_STORE_QWORD if len(values) == 2 else 0)
    called = [header, address, 0, *values, BATCH_BUFFER_END]
    place, room = stream.view.place_batch(4 * len(called), _CALLED_ALIGN)
    for index, dword in enumerate(called):
        room[index] = dword
    stream.blank(at, length)
    stream.put(at, _BATCH_START, place, 0)


def _status_page(stream: Stream, at: int, offset: int) -> int:
    """GGTT address of ``offset`` in what the guest takes for the engine's status page."""
    use, value = stream.read_use(stream.view.mmio_base + RING_HWS_PGA)
    page = value & _PAGE_MASK
    if use is not RegisterUse.VIRTUAL or not stream.view.owns(page, _PAGE):
        stream.refuse(Reason.ADDRESS, at, f"into the status page at {page:#x}")
    return page + offset


def _pipe_control(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    flags = dwords[at + 1]
    if not flags & _PIPE_ACTIVE:
        return None
    if length < _PIPE_WRITE_DWORDS:
        stream.refuse(Reason.BAD_COMMAND, at, f"with a write in {length} dwords")
    if flags & _PIPE_REGISTER:
        use = stream.write_use(dwords[at + 2], dwords[at + 4])
        if use is RegisterUse.PASS:
            stream.keep_register(at + 2)
            if flags & _POST_SYNC.mask:  # one or the other: let it be the one that was audited
                stream.put(at + 1, flags & ~_POST_SYNC.mask)
            return None
        if use is RegisterUse.REFUSED:
            _drop_write(stream, at, dwords[at + 2])
        stream.put(at + 1, flags & ~_PIPE_ACTIVE, 0, 0)
    elif flags & _PIPE_GLOBAL:
        if flags & _STORE_INDEX:
            address = _status_page(stream, at, dwords[at + 2] & _QWORD_INDEX_OFFSET)
            stream.put(at + 1, flags & ~_STORE_INDEX, address, 0)
        else:
            stream.check_global(at, 2, 8, _QWORD_ALIGN)
    return None


def _flush_dw(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    header = dwords[at]
    operation = _POST_SYNC.get(header)
    if not operation:
        return None
    if operation == _FLUSH_RESERVED or length < _FLUSH_WRITE_DWORDS:
        stream.refuse(Reason.BAD_COMMAND, at, f"with operation {operation} in {length} dwords")
    address = dwords[at + 1]
    if stream.user and (address & _FLUSH_GLOBAL or header & _STORE_INDEX):
        stream.put(at, header & ~(_POST_SYNC.mask | _STORE_INDEX))  # it flushes and writes nothing
        return None
    if not address & _FLUSH_GLOBAL:
        return None
    if header & _STORE_INDEX:
        page = _status_page(stream, at, address & _QWORD_INDEX_OFFSET)
        stream.put(at, header & ~_STORE_INDEX, page | _FLUSH_GLOBAL, 0)
    else:
        stream.check_global(at, 1, 8, _QWORD_ALIGN)
    return None


def _update_gtt(stream: Stream, at: int, length: int) -> bool | None:
    dwords = stream.dwords
    address = dwords[at + 1] & _PAGE_MASK
    count = (length - 2) // 2
    if length % 2 or address // _PAGE + count > _GTT_PAGES:
        stream.refuse(Reason.BAD_COMMAND, at, f"of {length} dwords from {address:#x} on")
    stream.counts.spend(UPDATE_WORK + count)
    pairs = zip(dwords[at + 2 : at + length : 2], dwords[at + 3 : at + length : 2], strict=True)
    stream.view.update_ggtt(address, [low | high << 32 for low, high in pairs])
    stream.blank(at, length)
    return None


# -- flow ---------------------------------------------------------------------------------------


def _batch_start(stream: Stream, at: int, _length: int) -> bool | None:
    """Nothing after a chain is run; after a call, or one that may not be taken, it goes on.

    In a second-level batch a call is a chain too, but who calls is not known here. Who has no
    privilege starts none that has it.
    """
    stream.arbitrate()
    header = stream.dwords[at]
    call = header & _BATCH_SECOND_LEVEL
    if stream.in_ring and call:
        stream.refuse(Reason.BAD_COMMAND, at, "of a second level in the ring")
    low, high = stream.dwords[at + 1] & _DWORD_ALIGN, stream.dwords[at + 2] & _USER_HIGH
    user = stream.user or bool(header & _BATCH_PPGTT)
    if user:
        stream.counts.user_batches += 1
    else:
        stream.counts.privileged_batches += 1
    if not user or stream.view.copies_user_batches:
        if header & _BATCH_ADD_OFFSET:
            stream.refuse(Reason.BAD_COMMAND, at, "of a batch that is audited, at an offset")
        stream.jumps.append((at, Target(low | high << 32, user=True) if user else Target(low)))
        if header & _BATCH_PPGTT:  # the copy is in the GGTT
            stream.put(at, header & ~_BATCH_PPGTT)
    return not (stream.in_ring or call or header & _BATCH_PREDICATED)


def _arbitration(stream: Stream, at: int, _length: int) -> bool | None:
    """Arbitration is off for a few commands at most, and on wherever the stream is left.

    i915 protects its breadcrumbs and workaround batches so, and without preemption of its own the
    whole of a user batch. The mediator preempts whoever is there: what cannot be preempted is lost
    when its slice ends. So at each start of a batch and at each end `Stream.arbitrate` turns it on.
    """
    off = stream.arbitration_off
    if off and at - off[0] > _LONGEST_UNARBITRATED:
        stream.arbitrate()
    if stream.dwords[at] & ARBITRATION_ON:
        off.clear()
    else:
        off.append(at)
    return None


def _batch_end(stream: Stream, at: int, _length: int) -> bool | None:
    if stream.in_ring:
        stream.refuse(Reason.BAD_COMMAND, at, "outside a batch")
    return True


def _conditional_end(stream: Stream, at: int, _length: int) -> bool | None:
    if stream.in_ring:
        stream.refuse(Reason.BAD_COMMAND, at, "outside a batch")
    stream.arbitrate()
    _check_comparison(stream, at)
    header = stream.dwords[at]
    if header & _GLOBAL:
        stream.check_global(at, 2, 8 if header & _END_MASKED else 4, _DWORD_ALIGN)
    return None


_CHECKS: Final = MappingProxyType(
    {
        Kind.NO_OPERATION: _no_operation,
        Kind.REFUSE: _refuse,
        Kind.STORE_DATA: _store_data,
        Kind.ATOMIC: _atomic,
        Kind.LOAD_IMMEDIATE: _load_immediate,
        Kind.STORE_REGISTER: _store_register,
        Kind.LOAD_REGISTER: _load_register,
        Kind.MOVE_REGISTER: _move_register,
        Kind.SEMAPHORE_WAIT: _semaphore_wait,
        Kind.STORE_INDEX: _store_index,
        Kind.PIPE_CONTROL: _pipe_control,
        Kind.FLUSH_DW: _flush_dw,
        Kind.UPDATE_GTT: _update_gtt,
        Kind.BATCH_START: _batch_start,
        Kind.BATCH_END: _batch_end,
        Kind.ARBITRATION: _arbitration,
        Kind.CONDITIONAL_END: _conditional_end,
    }
)
"""All kinds but PASS, which needs none, and ADDRESSES, whose check depends on the row."""
