"""The registers that each Gen9 engine has: rows at its base. Facts only.

Behaviour is attached in `softgpu/engine_registers.py` and `vgpu/engine_registers.py`; registers of
no engine stand in `register_facts.py`. Source: PRM SKL vol 2c "Command Reference: Registers";
offsets in `registers.py`.
"""

from __future__ import annotations

from typing import Any

from mediator.gen9 import registers as reg
from mediator.gen9.engines import EngineFacts
from mediator.gen9.execlist import CSB_ENTRIES, CSB_RESET_POINTER
from mmio_trap.register_map import Access, Register, register_array

_ALL_MASKED = 0xFFFF_FFFF
_PAGE_DIRECTORY_DWORDS = 8
_POINTERS_AT_RESET = reg.CONTEXT_STATUS_WRITE.put(
    CSB_RESET_POINTER, reg.CONTEXT_STATUS_READ.put(CSB_RESET_POINTER)
)


def engine_register_rows(facts: EngineFacts) -> list[Register[Any]]:
    """Rows of the engine's own registers, at absolute BAR0 offsets, without handlers."""
    prefix, base = facts.name.upper(), facts.mmio_base

    def row(label: str, offset: int, access: Access, *, reset: int = 0) -> Register[Any]:
        return Register(f"{prefix}_{label}", base + offset, access, reset, source="PRM SKL vol 2c")

    def array(label: str, offset: int, count: int, **rest: Any) -> list[Register[Any]]:
        return register_array(
            f"{prefix}_{label}", base + offset, count, source="PRM SKL vol 2c", **rest
        )

    rw, ro, wo, w1c, masked = Access.RW, Access.RO, Access.WO, Access.W1C, Access.MASKED
    return [
        row("EXCC", reg.RING_EXCC, masked),
        row("TAIL", reg.RING_TAIL, rw),
        row("HEAD", reg.RING_HEAD, rw),
        row("START", reg.RING_START, rw),
        row("CTL", reg.RING_CTL, rw),
        row("SYNC_0", reg.RING_SYNC_0, rw),
        row("SYNC_1", reg.RING_SYNC_1, rw),
        row("SYNC_2", reg.RING_SYNC_2, rw),
        row("MAX_IDLE", reg.RING_MAX_IDLE, rw),
        row("PSMI_CTL", reg.RING_PSMI_CTL, masked),
        row("ACTHD_UDW", reg.RING_ACTHD_UDW, ro),
        row("DMA_FADD_UDW", reg.RING_DMA_FADD_UDW, ro),
        row("IPEIR", reg.RING_IPEIR, ro),
        row("IPEHR", reg.RING_IPEHR, rw),
        row("INSTDONE", reg.RING_INSTDONE, ro, reset=0xFFFF_FFFE),
        row("INSTPS", reg.RING_INSTPS, ro),
        row("ACTHD", reg.RING_ACTHD, ro),
        row("DMA_FADD", reg.RING_DMA_FADD, ro),
        row("HWS_PGA", reg.RING_HWS_PGA, rw),
        row("NOPID", reg.RING_NOPID, rw),
        row("HWSTAM", reg.RING_HWSTAM, rw, reset=_ALL_MASKED),
        row("MI_MODE", reg.RING_MI_MODE, masked),
        row("IMR", reg.RING_IMR, rw, reset=_ALL_MASKED),
        row("EIR", reg.RING_EIR, w1c),
        row("EMR", reg.RING_EMR, rw, reset=_ALL_MASKED),
        row("ESR", reg.RING_ESR, ro),
        row("INSTPM", reg.RING_INSTPM, masked),
        row("R_PWR_CLK_STATE", reg.RING_R_PWR_CLK_STATE, rw),
        row("CMD_CCTL", reg.RING_CMD_CCTL, rw),
        row("RESET_CTL", reg.RING_RESET_CTL, masked),
        row("BB_STATE", reg.RING_BB_STATE, ro),
        row("SBB_ADDR", reg.RING_SBB_ADDR, ro),
        row("SBB_STATE", reg.RING_SBB_STATE, ro),
        row("SBB_ADDR_UDW", reg.RING_SBB_ADDR_UDW, ro),
        row("BB_ADDR", reg.RING_BB_ADDR, ro),
        row("BB_START_ADDR", reg.RING_BB_START_ADDR, rw),
        row("BB_START_ADDR_UDW", reg.RING_BB_START_ADDR_UDW, rw),
        row("BB_ADDR_DIFF", reg.RING_BB_ADDR_DIFF, rw),
        row("BB_OFFSET", reg.RING_BB_OFFSET, rw),
        row("BB_ADDR_UDW", reg.RING_BB_ADDR_UDW, ro),
        row("PR_CTR_CTL", reg.RING_PR_CTR_CTL, rw),
        row("PR_CTR_THRSH", reg.RING_PR_CTR_THRSH, rw),
        row("CCID", reg.RING_CCID, rw),
        row("BB_PER_CTX_PTR", reg.RING_BB_PER_CTX_PTR, rw),
        row("INDIRECT_CTX", reg.RING_INDIRECT_CTX, rw),
        row("INDIRECT_CTX_OFFSET", reg.RING_INDIRECT_CTX_OFFSET, rw),
        row("ECOSKPD", reg.RING_ECOSKPD, masked),
        row("SWCTRL", reg.RING_SWCTRL, masked),
        row("PP_DIR_DCLV", reg.RING_PP_DIR_DCLV, rw),
        row("PP_DIR_BASE", reg.RING_PP_DIR_BASE, rw),
        row("SEMA_WAIT_POLL", reg.RING_SEMA_WAIT_POLL, rw),
        row("ELSP", reg.RING_ELSP, wo),
        row("EXECLIST_STATUS_LO", reg.RING_EXECLIST_STATUS_LO, ro),
        row("EXECLIST_STATUS_HI", reg.RING_EXECLIST_STATUS_HI, ro),
        row("CONTEXT_CONTROL", reg.RING_CONTEXT_CONTROL, masked),
        *array("PDP", reg.RING_PDP0_LDW, _PAGE_DIRECTORY_DWORDS, access=rw),
        row("MODE", reg.RING_MODE, masked),
        row("TIMESTAMP", reg.RING_TIMESTAMP, ro),
        row("TIMESTAMP_UDW", reg.RING_TIMESTAMP_UDW, ro),
        *array("CONTEXT_STATUS", reg.RING_CONTEXT_STATUS_BUFFER, 2 * CSB_ENTRIES, access=ro),
        row(
            "CONTEXT_STATUS_PTR",
            reg.RING_CONTEXT_STATUS_PTR,
            masked,
            reset=_POINTERS_AT_RESET,
        ),
        row("CTX_TIMESTAMP", reg.RING_CTX_TIMESTAMP, ro),
        row("MI_PREDICATE_RESULT_2", reg.RING_MI_PREDICATE_RESULT_2, rw),
        *array("MI_PREDICATE", reg.MI_PREDICATE_SRC0, 8, access=rw),
        *array(
            "FORCE_TO_NONPRIV",
            reg.RING_FORCE_TO_NONPRIV,
            reg.RING_FORCE_TO_NONPRIV_COUNT,
            access=rw,
            reset=base + reg.RING_NOPID,
        ),
        *array("GPR", reg.RING_CS_GPR, 2 * reg.RING_CS_GPR_COUNT, access=rw),
    ]
