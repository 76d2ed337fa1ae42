"""Rounding and denormals: a function around the kernel's body sets the host's by the thread's cr0.

The body returns to it where the thread writes cr0, and is entered again: the optimiser, which takes
floating-point operations for free of side effects, never sees one on the other side of the change.
What the host's modes are it has from the worker, and it leaves them changed: to read MXCSR waits
for all arithmetic before, which took as long as a short thread does.
Sources: PRM SKL vol 2d "Control Register"; Intel SDM vol 1 "MXCSR".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.resuming import PARTED

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.early_modes import EarlyModes

AGAIN: Final = 1 << 30
"""Bit of what the body returns: set the modes and come back at once."""

_WRAPPER: Final = """
define i32 @{name}(ptr %thread0, ptr %group, ptr %worker) #1 {{
entry:
  %cr0 = getelementptr i8, ptr %thread0, i64 {cr0}
  %resume = getelementptr i8, ptr %thread0, i64 {resume}
  %modes = getelementptr i8, ptr %worker, i64 {modes}
  %host = load i32, ptr %modes, align 4
{early}  br label %again
again:
  %current = phi i32 [ %host, %entry ], [ %whole, %back ]
  %control = load i32, ptr %cr0, align 4
  %mode = lshr i32 %control, 4
  %up = and i32 %mode, 1
  %down = and i32 %mode, 2
  %up.moved = shl i32 %up, 14
  %down.moved = shl i32 %down, 12
  %kept = and i32 %control, {keep}
  %flush = icmp eq i32 %kept, 0
  %denormals = select i1 %flush, i32 32832, i32 0
  %rounding = or i32 %up.moved, %down.moved
  %rest = or i32 %rounding, %denormals
  %whole = or i32 %rest, 8064
  %differs = icmp ne i32 %current, %whole
  br i1 %differs, label %change, label %run
change:
  store i32 %whole, ptr %modes, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %modes)
  br label %run
run:
  %result = call i32 @{name}_body(ptr %thread0, ptr %group, ptr %worker)
  %fault = icmp eq i32 %result, -1
  %bit = and i32 %result, {again}
  %isagain = icmp ne i32 %bit, 0
  %not = xor i1 %fault, true
  %go = and i1 %isagain, %not
  br i1 %go, label %back, label %leave
back:
  %number = xor i32 %result, {again}
  store i32 %number, ptr %resume, align 4
{other}leave:
  ret i32 %result
}}
"""
DECLARATION: Final = "declare void @llvm.x86.sse.ldmxcsr(ptr)"
"""Of what the wrapper calls."""
_EARLY: Final = """\
  %place = load i32, ptr %resume, align 4
  %begins = icmp eq i32 %place, 0
  %found = load i32, ptr %cr0, align 4
  %stays = and i32 %found, {kept}
  %written = or i32 %stays, {set}
  %first = select i1 %begins, i32 %written, i32 %found
  store i32 %first, ptr %cr0, align 4
"""
_OTHER_EARLY: Final = """\
  %other.cr0 = getelementptr i8, ptr %thread0, i64 {cr0}
  store i32 %first, ptr %other.cr0, align 4
"""
_ALONE: Final = "  br label %again\n"
_OTHER: Final = """\
  %other.resume = getelementptr i8, ptr %thread0, i64 {resume}
  store i32 %number, ptr %other.resume, align 4
  %other.place = getelementptr i8, ptr %thread0, i64 {cr0}
  %mine = load i32, ptr %cr0, align 4
  %others = load i32, ptr %other.place, align 4
  %agree = icmp eq i32 %mine, %others
  br i1 %agree, label %again, label %part
part:
  ret i32 {parted}
"""
"""Two threads go on together while their cr0 is the same, as it is when they come here."""
_KEEP_F, _KEEP_DF = 1 << 7, 1 << 6


def wrapper(name: str, *, pair: bool, doubles: bool, early: EarlyModes) -> str:
    """The function ``name``, which calls ``name`` + "_body". ``pair``: that has two threads.
    ``doubles``: whether DF's denormal bit is to be followed, and not F's, since the host has one
    bit for both (see `single_ops.py`). ``early``: what it does before the body begins."""
    cr0, resume = layout.offset("eu_thread", "cr0"), layout.offset("eu_thread", "resume")
    second = layout.size("eu_thread")
    before = _EARLY.format(kept=early.kept, set=early.set) if early.offsets else ""
    if before and pair:
        before += _OTHER_EARLY.format(cr0=second + cr0)
    other = _OTHER.format(cr0=second + cr0, resume=second + resume, parted=PARTED)
    return _WRAPPER.format(
        name=name,
        cr0=cr0,
        resume=resume,
        modes=layout.offset("eu_worker", "host_modes"),
        early=before,
        other=other if pair else _ALONE,
        keep=_KEEP_DF if doubles else _KEEP_F,
        again=AGAIN,
    )
