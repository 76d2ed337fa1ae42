"""How badly the software GPU behaves: each way in which hardware may be less kind, as a knob.

Work that holds on a kind GPU alone is wrong: whoever drives this GPU is tested with the knobs
turned (docs/security.md lists them with their sources). A GPU keeps its knobs for good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

AT_OLD_TAIL: Final = -1
"""A `ListDelay`: the list is taken once the running context has drained its ring, or waits.

Or has carried out `LONGEST_DELAY` commands: a batch may be endless.
"""
LONGEST_DELAY: Final = 2_000

ListDelay = Callable[[str], int]
"""How many commands an engine that is busy carries out before it looks at a submitted list.

Called with the engine's name once for each submission. Until then the engine goes on in its ring up
to the old tail. If it gets there first, the context completes as though nothing had been submitted.
Then the list is taken between any two commands that allow arbitration.
"""


@dataclass(frozen=True, slots=True)
class Strictness:
    """One GPU's knobs. As built it is as kind as can be."""

    list_delay: ListDelay | None = None
    """None: a list is taken at the first arbitration point after it was submitted.

    Nothing bounds the delay on hardware: Linux i915 leaves a port alone until the status buffer
    acknowledges what it holds, and forces a full restore where a tail moves back
    (gt/intel_execlists_submission.c, execlists_update_context).
    """
    answer_looks: Callable[[], int] | None = None
    """How often the driver must look until a request is answered; None: the answer is there.

    Forcewake, ring stop, readiness for a reset, and the reset itself, which is done only then. i915
    waits for each (intel_uncore.c, gt/intel_reset.c).
    """
    needs_forcewake: bool = False
    """What is asleep reads 0 and loses what is written (`gen9/forcewake.py`)."""
    ring_reads_on: bool = False
    """A command of the ring that begins before the tail is fetched whole.

    Past the tail, and past the ring's end straight on rather than from its beginning. The manual
    asks for neither: i915 fills up a ring with MI_NOOP before its end (gt/intel_ring.c).
    """
    bcs_unprotected: bool = True
    """User batches on the blitter write any register.

    Linux i915 scans them in software for that reason, and for no other: all its table checks are
    registers (i915_cmd_parser.c, gen9_blt_cmds and gen9_blt_regs, made for CVE-2019-0155). What
    else needs privilege the blitter refuses as other engines do.
    """
    stale_translations: bool = False
    """Old translations stay until something is documented to drop them.

    Those of the GGTT until GFX_FLSH_CNTL or a TLB register is written; those of a PPGTT, with its
    upper levels, until the context is loaded, PIPE_CONTROL or MI_FLUSH_DW invalidates, a TLB
    register or a reset (i915 gt/intel_ggtt.c, gt/intel_tlb.c; PRM SKL vol 5 "TLB Caching").
    """
    image_as_commands: bool = False
    """Every image is carried out as the commands that it is made of.

    Without, that is done only where an image is not as a save leaves it: the effect is the same.
    """
    inhibit_keeps_state: bool = False
    """A context that inhibits its restore finds the registers as the one before left them.

    GVT-g loads registers by commands in the ring of such a context for that reason (mmio_context.c,
    intel_vgpu_restore_inhibit_context); i915 inhibits one context of each engine, after a reset.
    """
    idle_keeps_ring: bool = False
    """The context that left last, if it comes back first, has its tail alone loaded.

    Its head and its ring are those that it left with, whatever its image says, unless a restore is
    forced. i915 knows it as idle lite restore (gt/intel_execlists_submission.c, WaIdleLiteRestore),
    and forces a restore after it has changed an image (gt/intel_lrc.c, lrc_update_regs).
    """
    preemption_levels: bool = False
    """Threads are interrupted only where CS_CHICKEN1 of their context lets them be.

    i915 sets it to whole commands and leaves the register to user batches (gt/intel_workarounds.c);
    compute-runtime asks for any place in a thread. Without, a walker gives way anywhere.
    """


KIND: Final = Strictness()
"""Nothing is worse than it has to be."""

_LONG_DELAY: Final = 200
_MOST_LOOKS: Final = 6


def strict(seed: int) -> Strictness:
    """As bad as hardware may be. What hardware may choose is drawn from ``seed``."""
    random = Random(seed)  # noqa: S311 - dice, no secret

    def delay(_engine: str) -> int:
        longest = random.choice((0, 4, _LONG_DELAY))
        return random.choice((AT_OLD_TAIL, random.randint(0, longest)))

    return Strictness(
        list_delay=delay,
        answer_looks=lambda: random.randint(0, _MOST_LOOKS),
        needs_forcewake=True,
        ring_reads_on=True,
        stale_translations=True,
        image_as_commands=True,
        inhibit_keeps_state=True,
        idle_keeps_ring=True,
        preemption_levels=True,
    )
