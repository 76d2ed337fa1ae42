"""What a vGPU's registers are to the hardware: one policy for each, and the lists behind it.

Facts and small functions of them; handlers stand in `mmio_table.py`. Every register of
`gen9/register_facts.py` and `gen9/engine_register_facts.py` gets a policy; a register without one
is refused. Sources of the lists: PRM SKL vol 7 (logical ring context, user mode registers), GVT-g
mmio_context.c (registers switched between vGPUs) and handlers.c (FORCE_TO_NONPRIV), i915
gt/intel_workarounds.c, gt/intel_mocs.c and i915_perf.c of Linux 6.1 and 6.12 for Gen9.
"""

from __future__ import annotations

from enum import Enum

from mediator.gen9 import context_image
from mediator.gen9 import registers as reg
from mediator.gen9.engine_register_facts import engine_register_rows
from mediator.gen9.engines import ENGINES
from mediator.gen9.privilege import user_registers
from mediator.gen9.register_facts import plain_rows
from mmio_trap.register_map import Access


class Policy(Enum):
    """Where the value of a guest's register is."""

    PASSTHROUGH_READ = "passthrough-read"
    """On the hardware: reads reach it, writes are ignored."""
    EMULATED = "emulated"
    """In the control block alone."""
    CONTEXT = "context"
    """In the logical context: commands reach the hardware's. What the processor writes is kept."""
    SWITCHED = "switched"
    """In the control block, and on the hardware while it is in the vGPU's world."""


_ROWS = {
    row.offset: row
    for row in (*plain_rows(), *(row for facts in ENGINES for row in engine_register_rows(facts)))
}

# -- context: what the hardware saves and restores with each context -------------------------------

_CONTEXT_RELATIVE = frozenset(
    {
        reg.RING_INSTPM,
        reg.RING_PR_CTR_CTL,
        reg.RING_PR_CTR_THRSH,
        reg.RING_BB_OFFSET,
        reg.MI_PREDICATE_RESULT_1,
        reg.RING_R_PWR_CLK_STATE,
        reg.RING_SWCTRL,
        *range(reg.RING_CS_GPR, reg.RING_CS_GPR + 8 * reg.RING_CS_GPR_COUNT, 4),
    }
)
"""Of the registers at an engine's base that a context keeps, those that a guest may change freely.

The others say where ring, batches and page tables are: those are the mediator's.
"""
_CONTEXT = frozenset(
    register.address(facts.mmio_base)
    for facts in ENGINES
    for register in context_image.LAYOUTS[facts.engine_class].registers
    if not register.relative or register.offset in _CONTEXT_RELATIVE
)

# -- switched: state of the GPU that is no context's -----------------------------------------------

_SLOTS = tuple(
    facts.mmio_base + reg.RING_FORCE_TO_NONPRIV + 4 * slot
    for facts in ENGINES
    for slot in range(reg.RING_FORCE_TO_NONPRIV_COUNT)
)
_CACHING = (
    *(facts.mocs_base + 4 * entry for facts in ENGINES for entry in range(64)),
    *(0xB020 + 4 * entry for entry in range(32)),  # LNCFCMOCS
    reg.GEN8_PRIVATE_PAT_LO,
    reg.GEN8_PRIVATE_PAT_HI,
    reg.GAMW_ECO_DEV_RW_IA,  # whether IPS in page tables has a meaning
)
_CHICKEN = (
    0x20A0,  # FF_THREAD_MODE
    0x20D4,  # CSFE_CHICKEN1_RCS
    0x20E0,  # FF_SLICE_CS_CHICKEN1
    0x20E4,  # FF_SLICE_CS_CHICKEN2
    0x4024,  # GTT_CACHE_EN
    0x4090,  # GAM_ECOCHK
    0x4AB0,  # GAMT_ECO_REG_RW_IA
    0x4AB8,  # GAMT_CHKN_BIT_REG
    0x4DD4,  # L3_LRA_1_GPGPU
    0x4DDC,  # MMCD_MISC_CTRL
    0x5588,  # WM_CHICKEN3
    0x7018,  # HIZ_CHICKEN
    0x731C,  # SLICE_COMMON_ECO_CHICKEN1
    0x940C,  # UCGCTL4
    0xB004,  # GARBCNTL
    0xB008,  # SCRATCH_LNCF1
    0xB100,  # L3SQCREG1
    0xB11C,  # SCRATCH1
    0xE49C,  # ROW_CHICKEN3
    0xE4F4,  # ROW_CHICKEN2
    *(facts.mmio_base + reg.RING_SEMA_WAIT_POLL for facts in ENGINES),
)
"""What i915 sets from the processor for good, and GVT-g switches: workarounds and tuning."""

_L3SQCREG4 = 0xB118
OACONTROL = 0x2B00
_NONPRIV_LIST = (
    0x20EC,  # CS_DEBUG_MODE1
    0x2248,  # CTX_PREEMPT
    0x2690,
    0x2694,
    0x2698,
    0x28A0,
    0x7700,
    0x7704,
    0x7708,
    0x770C,
    0x83A8,
    0xB110,  # L3SQCREG3
    _L3SQCREG4,
    0xE18C,  # SAMPLER_MODE
    0xE48C,  # ROW_CHICKEN4
    0xE5F4,
)
"""Registers of no context that GVT-g lets user batches write where the guest's driver wants it."""

_USER = frozenset().union(*(user_registers(f.engine_class, f.mmio_base) for f in ENGINES))

VOLATILE: tuple[int, ...] = tuple(sorted({*_NONPRIV_LIST, *(_USER & _ROWS.keys() - _CONTEXT)}))
"""Switched registers that a guest's commands may change on the hardware, unseen.

Always to be written when a world is entered, whatever was written before; to be read back when it
is left, by `virtual_value`, if the guest is to find there what it left.
"""

SWITCHED: tuple[int, ...] = (*_CACHING, *_CHICKEN, *VOLATILE, *_SLOTS)
"""BAR0 offsets in the order in which they are written. FORCE_TO_NONPRIV comes last."""

# -- passthrough: counters and states of the GPU that no guest owns --------------------------------

_PASSTHROUGH = frozenset(
    {
        *(
            facts.mmio_base + offset
            for facts in ENGINES
            for offset in (reg.RING_TIMESTAMP, reg.RING_TIMESTAMP_UDW, reg.RING_CTX_TIMESTAMP)
        ),
        reg.GEN6_GT_GFX_RC6,
        reg.GEN6_GT_GFX_RC6_LOCKED,
        0x13810C,  # GT_GFX_RC6P
        0x138110,  # GT_GFX_RC6PP
        reg.GEN6_GT_CORE_STATUS,
        0x13805C,  # GT_THREAD_STATUS
        reg.PWRGT_STATUS,
        reg.GEN6_RPSTAT1,
        0x145948,  # GT_PERF_STATUS
        0x44074,  # TIMESTAMP_OVERRIDE
        *range(0x804C, 0x8058, 4),  # SLICE_PGCTL_ACK
        *range(0x805C, 0x8074, 4),  # SSxx_EU_PGCTL_ACK
    }
)

_SETS = (
    (_CONTEXT, Policy.CONTEXT),
    (frozenset(SWITCHED), Policy.SWITCHED),
    (_PASSTHROUGH, Policy.PASSTHROUGH_READ),
)


def _policy(offset: int) -> Policy:
    return next((policy for members, policy in _SETS if offset in members), Policy.EMULATED)


ROW_POLICY: dict[int, Policy] = {offset: _policy(offset) for offset in sorted(_ROWS)}
"""The policy of every register that Gen9 has, by BAR0 offset."""

# -- what the hardware gets ------------------------------------------------------------------------

_MASKED_SWITCHED = frozenset(o for o in SWITCHED if _ROWS[o].access is Access.MASKED)
_MASK_ALL = 0xFFFF_0000
_NEVER_SET = {0x20D4: 0x18}
"""Bits of masked registers that no guest sets on the hardware: of CSFE_CHICKEN1_RCS what GVT-g
refuses (handlers.c, csfe_chicken1_mmio_write)."""
_NONPRIV = frozenset({*_CONTEXT, *_NONPRIV_LIST})
"""What a slot may name. What user batches may write anyway needs no slot."""
_SLOT_NOPID = {
    offset: facts.mmio_base + reg.RING_NOPID
    for facts in ENGINES
    for offset in _SLOTS
    if facts.mmio_base <= offset < facts.mmio_base + 0x1000
}
_SLOT_RANGE = 0x3
"""Bits 1:0 of a slot, of Coffee Lake and later: 1, 4, 16 or 64 registers, aligned to as many."""
_SLOT_BITS = 0x33FF_FFFF
"""Access (29:28), address (25:2) and range of a slot."""


def hardware_value(offset: int, virtual: int) -> int:
    """What is written to the hardware's switched register for its virtual value.

    A FORCE_TO_NONPRIV slot that names what a guest's user may not write becomes an unused one; a
    masked register gets all of its bits, less those that no guest sets; performance reports stay
    off, since they go to one place for all.
    """
    if offset in _SLOT_NOPID:
        return virtual & _SLOT_BITS if _may_be_named(virtual) else _SLOT_NOPID[offset]
    if offset in _MASKED_SWITCHED:
        return _MASK_ALL | virtual & 0xFFFF & ~_NEVER_SET.get(offset, 0)
    return 0 if offset == OACONTROL else virtual


def _may_be_named(slot: int) -> bool:
    size = 4 << 2 * (slot & _SLOT_RANGE)
    first = slot & reg.FORCE_TO_NONPRIV_ADDRESS_MASK & -size
    return all(at in _NONPRIV for at in range(first, first + size, 4))


def virtual_value(offset: int, hardware: int) -> int:
    """What is kept of a volatile register that reads ``hardware`` on the hardware."""
    return hardware & 0xFFFF if offset in _MASKED_SWITCHED else hardware


# -- commands --------------------------------------------------------------------------------------

COMMAND_STORED: frozenset[int] = frozenset(
    {
        0x20CC,  # WAIT_FOR_RC6_EXIT
        *range(0x0D00, 0x0D30, 4),  # RPM_CONFIG, NOA_CONFIG
        *range(0x2710, 0x2730, 4),  # OASTARTTRIG
        *range(0x2740, 0x2760, 4),  # OAREPORTTRIG
        *range(0x2770, 0x27B0, 4),  # OACEC
        *range(0x91B8, 0x91D0, 4),  # OA_PERFCNT, OA_PERFMATRIX
        *range(0x9800, 0x988C, 4),  # MICRO_BP0_0 .. NOA_WRITE
        0x44050,  # DERRMR
    }
)
"""Emulated registers that commands of i915 write: those that a performance configuration may name
(i915_perf.c, its tables of valid addresses), and what older drivers do around a page flip.

The values are kept and have no effect."""

PERFORMANCE_GAPS: tuple[int, ...] = tuple(sorted(COMMAND_STORED - _ROWS.keys()))
"""Of these, the offsets that are storage on a vGPU alone."""
