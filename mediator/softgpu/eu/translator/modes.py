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

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.early_modes import EarlyModes

AGAIN: Final = 1 << 30
"""Bit of what the body returns: set the modes and come back at once."""

_WRAPPER: Final = """
define i32 @kernel(ptr %thread0, ptr %group, ptr %worker) #1 {{
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
  %result = call i32 @body(ptr %thread0, ptr %group, ptr %worker)
  %fault = icmp eq i32 %result, -1
  %bit = and i32 %result, {again}
  %isagain = icmp ne i32 %bit, 0
  %not = xor i1 %fault, true
  %go = and i1 %isagain, %not
  br i1 %go, label %back, label %leave
back:
  %number = xor i32 %result, {again}
  store i32 %number, ptr %resume, align 4
  br label %again
leave:
  ret i32 %result
}}
declare void @llvm.x86.sse.ldmxcsr(ptr)
"""
_EARLY: Final = """\
  %place = load i32, ptr %resume, align 4
  %begins = icmp eq i32 %place, 0
  %found = load i32, ptr %cr0, align 4
  %stays = and i32 %found, {kept}
  %written = or i32 %stays, {set}
  %first = select i1 %begins, i32 %written, i32 %found
  store i32 %first, ptr %cr0, align 4
"""
_KEEP_F, _KEEP_DF = 1 << 7, 1 << 6


def wrapper(*, doubles: bool, early: EarlyModes) -> str:
    """The function that is called. ``doubles``: whether DF's denormal bit is to be followed, and
    not F's, since the host has one bit for both (see `single_ops.py`). ``early``: what it does
    before the body begins."""
    before = _EARLY.format(kept=early.kept, set=early.set) if early.offsets else ""
    return _WRAPPER.format(
        cr0=layout.offset("eu_thread", "cr0"),
        resume=layout.offset("eu_thread", "resume"),
        modes=layout.offset("eu_worker", "host_modes"),
        early=before,
        keep=_KEEP_DF if doubles else _KEEP_F,
        again=AGAIN,
    )
