"""The audit of batches without privilege, on an engine that does not hold them back.

Gen9's blitter lets a batch of the context's own address space write any register. Such batches
run from audited copies, in the GGTT and so with privilege: what an engine with a check of its own
would not do for them has to be left out of the copy. That is

* a command that needs privilege, or asks for the GGTT: it becomes MI_NOOP, unseen, as on hardware;
* the write of a register that is not one of `gen9/privilege.py`: it is left out and counted
  (`Stream.write_use`, `Stream.target_use`).

What addresses the context's own space is passed as it is: the page tables are its audit. Source:
PRM SKL vol 7 "User Mode Privileged Commands"; Linux i915 i915_cmd_parser.c (gen9_blt_regs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.workload.audit_rules import Kind, Rule
from mediator.workload.command_audit import WAIT_REGISTER, check_for

if TYPE_CHECKING:
    from mediator.gen9.commands import CommandRow
    from mediator.workload.command_audit import Check
    from mediator.workload.command_stream import Stream

_HEADER = 0
"""The selector of an address whose bit is in the header."""


def user_check_for(row: CommandRow, rule: Rule, key: int) -> Check | None:
    """The check for commands of ``row`` whose header's upper half is ``key``; None: none needed."""
    if row.privileged or _is_global(rule, key):
        return _pass_over
    selected = [(a.selector, 1 << a.bit) for a in rule.addresses if a.selector != _HEADER]
    if not selected:
        return check_for(rule, key)
    assert rule.kind is Kind.ADDRESSES, "there is nothing to check but the addresses"

    def check(stream: Stream, at: int, length: int) -> bool | None:
        if any(stream.dwords[at + selector] & bit for selector, bit in selected):
            stream.blank(at, length)
        return None

    return check


def _is_global(rule: Rule, key: int) -> bool:
    """The header asks for the GGTT."""
    if rule.kind is Kind.SEMAPHORE_WAIT and key << 16 & WAIT_REGISTER:
        return False  # there is no address
    return any(key << 16 >> a.bit & 1 for a in rule.addresses if a.selector == _HEADER)


def _pass_over(stream: Stream, at: int, length: int) -> bool | None:
    stream.blank(at, length)
    return None
