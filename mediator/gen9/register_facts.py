"""The plain registers of a Gen9 GT2 GPU: name, offset, access kind, reset value. Facts only.

`softgpu/mmio_table.py` attaches the behaviour of the software GPU to these rows, and
`vgpu/mmio_table.py` that of a vGPU; rows of the engines stand in `engine_register_facts.py`. The
rows cover what i915 of Linux 6.1 to 6.12 reads and writes on Skylake and Kaby Lake GT2 with display
fused off (probe, work, hang, reset, error capture, debugfs, perf) and what user space may load from
a batch. MASKED rows are those that i915 writes with _MASKED_BIT_*; offsets as in i915's
gt/intel_gt_regs.h.
"""

from __future__ import annotations

from typing import Any

from mediator.gen9 import context_image, identity
from mediator.gen9 import interrupts as irq
from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mmio_trap.register_map import Access, Register, register_array

RO, RW, WO, W1C, MASKED = Access.RO, Access.RW, Access.WO, Access.W1C, Access.MASKED

Rows = list[Register[Any]]
"""Rows without handlers."""

_ALL_ONES = 0xFFFF_FFFF
_DONE = 0xFFFF_FFFF
"""INSTDONE registers of units that have nothing to do."""
_MOCS_ENTRIES = 64
_L3CC_DWORDS = 32


def plain_rows() -> Rows:
    """All registers but those of the engines and the page that only a mediator has."""
    return [
        *_forcewake(),
        *_fuses(),
        *_interrupts(),
        *_translation(),
        *_workarounds(),
        *_render_context(),
        *_caching(),
        *_power_management(),
        *_pcode(),
        *_reset_and_faults(),
        *_firmware(),
        *_performance(),
        *_memory_controller(),
        *_display(),
    ]


def _rows(source: str, access: Access, *registers: tuple[str, int] | tuple[str, int, int]) -> Rows:
    """Rows of one access kind: (name, offset) or (name, offset, reset value)."""
    return [
        Register(name, offset, access, reset[0] if reset else 0, source=source)
        for name, offset, *reset in registers
    ]


def _forcewake() -> Rows:
    source = "PRM SKL vol 2c FORCEWAKE; i915 intel_uncore.c"
    return [
        *_rows(
            source,
            MASKED,
            ("FORCEWAKE_RENDER", reg.FORCEWAKE_RENDER),
            ("FORCEWAKE_MEDIA", reg.FORCEWAKE_MEDIA),
            ("FORCEWAKE_GT", reg.FORCEWAKE_GT),
        ),
        *_rows(
            source,
            RO,
            ("FORCEWAKE_ACK_RENDER", reg.FORCEWAKE_ACK_RENDER),
            ("FORCEWAKE_ACK_MEDIA", reg.FORCEWAKE_ACK_MEDIA),
            ("FORCEWAKE_ACK_GT", reg.FORCEWAKE_ACK_GT),
        ),
        *_rows(source, RW, ("FORCEWAKE", 0xA18C), ("ECOBUS", 0xA180)),
        *_rows(source, W1C, ("FPGA_DBG", 0x42300)),
    ]


def _fuses() -> Rows:
    source = "PRM SKL vol 2c; values in gen9/identity.py"
    names = {
        reg.SKL_DFSM: "DFSM",
        reg.GEN8_FUSE2: "FUSE2",
        reg.GEN9_EU_DISABLE: "EU_DISABLE[0]",
        reg.GEN9_EU_DISABLE + 4: "EU_DISABLE[1]",
        reg.GEN9_EU_DISABLE + 8: "EU_DISABLE[2]",
        reg.CTC_MODE: "CTC_MODE",
        reg.EDRAM_CAP: "EDRAM_CAP",
        reg.RP_STATE_CAP: "RP_STATE_CAP",
        identity.MCHBAR_MAD_INTER_CHANNEL: "MAD_INTER_CHANNEL",
        identity.MCHBAR_MAD_DIMM_CH0: "MAD_DIMM_CH0",
        identity.MCHBAR_MAD_DIMM_CH1: "MAD_DIMM_CH1",
    }
    return [Register(name, offset, RO, source=source) for offset, name in names.items()] + _rows(
        "PRM SKL vol 2c TIMESTAMP_OVERRIDE, MIRROR_FUSE3",
        RO,
        ("TIMESTAMP_OVERRIDE", 0x44074),
        ("MIRROR_FUSE3", 0x9118),
    )


def _interrupts() -> Rows:
    source = "PRM SKL vol 2c interrupt registers; i915 gt/intel_gt_irq.c"
    rows: Rows = [Register("MASTER_IRQ", irq.MASTER_IRQ, RW, source=source)]
    for bank in irq.BANKS:
        name = bank.name
        rows += [
            Register(f"{name}_ISR", bank.isr, RO, source=source),
            Register(f"{name}_IMR", bank.imr, RW, _ALL_ONES, source=source),
            Register(f"{name}_IIR", bank.iir, W1C, source=source),
            Register(f"{name}_IER", bank.ier, RW, source=source),
        ]
    return rows


def _translation() -> Rows:
    source = "PRM SKL vol 2c; i915 gt/intel_gtt.c, gt/intel_ggtt_fencing.c"
    return [
        Register("RTCR", reg.GEN8_RTCR, RW, source=source),
        Register("M1TCR", reg.GEN8_M1TCR, RW, source=source),
        Register("M2TCR", reg.GEN8_M2TCR, RW, source=source),
        Register("BTCR", reg.GEN8_BTCR, RW, source=source),
        Register("VTCR", reg.GEN8_VTCR, RW, source=source),
        Register("GTCR", reg.GEN8_GTCR, RW, source=source),
        Register("GFX_FLSH_CNTL", reg.GFX_FLSH_CNTL, WO, source=source),
        *register_array(
            "FENCE",
            reg.FENCE_BASE,
            2 * reg.FENCE_COUNT,
            access=RW,
            source=source,
        ),
        *_rows(
            source,
            RW,
            ("PRIVATE_PAT_LO", reg.GEN8_PRIVATE_PAT_LO),
            ("PRIVATE_PAT_HI", reg.GEN8_PRIVATE_PAT_HI),
            ("GAMW_ECO_DEV_RW_IA", reg.GAMW_ECO_DEV_RW_IA),
            ("GTT_CACHE_EN", 0x4024),
            ("L3_LRA_1_GPGPU", 0x4DD4, 0x67F1_427F),
            ("TILECTL", 0x101000),
            ("GAMTARBMODE", 0x4A08),
            ("PGTBL_CTL", 0x2020),
        ),
        *_rows(source, MASKED, ("ARB_MODE", 0x4030)),
        *_rows(source, W1C, ("PGTBL_ER", 0x2024)),
    ]


def _workarounds() -> Rows:
    source = "i915 gt/intel_workarounds.c, intel_clock_gating.c (gen9)"
    return [
        *_rows(
            source,
            RW,
            ("MCR_SELECTOR", 0x0FDC),
            ("FF_THREAD_MODE", 0x20A0),
            ("CTX_PREEMPT", 0x2248),
            ("GAM_ECOCHK", 0x4090),
            ("GAMT_ECO_REG_RW_IA", 0x4AB0),
            ("GAMT_CHKN_BIT_REG", 0x4AB8),
            ("MMCD_MISC_CTRL", 0x4DDC),
            ("MBCUNIT_SNPCR", 0x900C),
            ("SQ_CHICKEN_MBCUNIT_CONFIG", 0x9030),
            ("FBC_LLC_READ_CTRL", 0x9044),
            ("MBCTL", 0x907C),
            ("UCGCTL1", 0x9400),
            ("UCGCTL2", 0x9404),
            ("UCGCTL3", 0x9408),
            ("UCGCTL4", 0x940C),
            ("RSTCTL", 0x9420),
            ("MISCCPCTL", 0x9424, 1 << 0),
            ("UCGCTL6", 0x9430),
            ("GARBCNTL", 0xB004),
            ("SCRATCH_LNCF1", 0xB008),
            ("L3SQCREG1", 0xB100),
            ("L3SQCREG3", 0xB110),
            ("L3SQCREG4", 0xB118),
            ("SCRATCH1", 0xB11C),
        ),
        *_rows(
            source,
            MASKED,
            ("CSFE_CHICKEN1_RCS", 0x20D4),
            ("FF_SLICE_CS_CHICKEN1", 0x20E0),
            ("FF_SLICE_CS_CHICKEN2", 0x20E4),
            ("CS_DEBUG_MODE1", 0x20EC),
            ("WM_CHICKEN3", 0x5588),
            ("HIZ_CHICKEN", 0x7018),
            ("SLICE_COMMON_ECO_CHICKEN1", 0x731C),
            ("SAMPLER_MODE", 0xE18C),
            ("ROW_CHICKEN4", 0xE48C),
            ("ROW_CHICKEN3", 0xE49C),
            ("ROW_CHICKEN2", 0xE4F4),
        ),
        *_rows(
            "GVT-g FORCE_TO_NONPRIV white list",
            RW,
            ("NONPRIV_2690", 0x2690),
            ("NONPRIV_2694", 0x2694),
            ("NONPRIV_2698", 0x2698),
            ("NONPRIV_28A0", 0x28A0),
            ("NONPRIV_7700", 0x7700),
            ("NONPRIV_7704", 0x7704),
            ("NONPRIV_7708", 0x7708),
            ("NONPRIV_770C", 0x770C),
            ("NONPRIV_83A8", 0x83A8),
            ("NONPRIV_E5F4", 0xE5F4),
        ),
    ]


def _render_context() -> Rows:
    source = "PRM SKL vol 7 Register State Context; IGT gem_ctx_isolation"
    plain = (
        context_image.RENDER_STATE_REGISTERS
        | context_image.OA_REGISTERS
        | context_image.FLEXIBLE_EU_REGISTERS
    )
    masked = context_image.RENDER_MASKED_REGISTERS
    return [
        *_rows(source, MASKED, *((name, offset) for offset, name in masked.items())),
        *_rows(source, RW, *((name, offset) for offset, name in plain.items())),
        *register_array("MFC_VDBOX", 0x12800, 64, access=RW, source="IGT gem_ctx_isolation"),
    ]


def _caching() -> Rows:
    source = "PRM SKL vol 2c GFX_MOCS, LNCFCMOCS; i915 gt/intel_mocs.c"
    rows: Rows = []
    for engine in ENGINES:
        name = f"{engine.name.upper()}_MOCS"
        rows += register_array(name, engine.mocs_base, _MOCS_ENTRIES, access=RW, source=source)
    rows += register_array("VCS1_MOCS", 0xCA00, _MOCS_ENTRIES, access=RW, source=source)
    rows += register_array("LNCFCMOCS", 0xB020, _L3CC_DWORDS, access=RW, source=source)
    return rows


def _power_management() -> Rows:
    source = "PRM SKL vol 2c RC and RP registers; i915 gt/intel_rc6.c, gt/intel_rps.c"
    return [
        Register("RC_CONTROL", reg.GEN6_RC_CONTROL, RW, source=source),
        Register("GT_GFX_RC6", reg.GEN6_GT_GFX_RC6, RO, source=source),
        Register(
            "GT_CORE_STATUS",
            reg.GEN6_GT_CORE_STATUS,
            RO,
            source=source,
        ),
        Register("PWRGT_STATUS", reg.PWRGT_STATUS, RO, source=source),
        Register("RPSTAT1", reg.GEN6_RPSTAT1, RO, source=source),
        *_rows(
            source,
            RW,
            ("GFXPAUSE", 0xA000),
            ("RPNSWREQ", reg.GEN6_RPNSWREQ),
            ("RC_VIDEO_FREQ", 0xA00C),
            ("RP_DOWN_TIMEOUT", 0xA010),
            ("RP_INTERRUPT_LIMITS", 0xA014),
            ("RP_CONTROL", reg.GEN6_RP_CONTROL),
            ("RP_UP_THRESHOLD", 0xA02C),
            ("RP_DOWN_THRESHOLD", 0xA030),
            ("RP_UP_EI", 0xA068),
            ("RP_DOWN_EI", 0xA06C),
            ("RP_IDLE_HYSTERESIS", 0xA070),
            ("RC_STATE", reg.GEN6_RC_STATE),
            ("RC1_WAKE_RATE_LIMIT", 0xA098),
            ("RC6_WAKE_RATE_LIMIT", 0xA09C),
            ("RC6PP_WAKE_RATE_LIMIT", 0xA0A0),
            ("RC_EVALUATION_INTERVAL", 0xA0A8),
            ("RC_IDLE_HYSTERESIS", 0xA0AC),
            ("RC_SLEEP", 0xA0B0),
            ("RC1E_THRESHOLD", 0xA0B4),
            ("RC6_THRESHOLD", 0xA0B8),
            ("RC6P_THRESHOLD", 0xA0BC),
            ("RC6PP_THRESHOLD", 0xA0C0),
            ("MEDIA_PG_IDLE_HYSTERESIS", 0xA0C4),
            ("RENDER_PG_IDLE_HYSTERESIS", 0xA0C8),
            ("PMINTRMSK", 0xA168, _ALL_ONES),
            ("GUC_ARAT_C6DIS", 0xA178),
            ("PG_ENABLE", 0xA210),
            ("PUSHBUS_CONTROL", 0xA248),
            ("PUSHBUS_ENABLE", 0xA250),
            ("PUSHBUS_SHIFT", 0xA25C),
            ("GT_PERF_LIMIT_REASONS", 0x1381A8),
        ),
        *_rows(
            source,
            RO,
            ("RP_CUR_UP_EI", 0xA050),
            ("RP_CUR_UP", 0xA054),
            ("RP_PREV_UP", 0xA058),
            ("RP_CUR_DOWN_EI", 0xA05C),
            ("RP_CUR_DOWN", 0xA060),
            ("RP_PREV_DOWN", 0xA064),
            ("GT_THREAD_STATUS", 0x13805C),
            ("GT_SLICE_INFO", 0x138064),
            ("GT_GFX_RC6_LOCKED", reg.GEN6_GT_GFX_RC6_LOCKED),
            ("GT_GFX_RC6P", 0x13810C),
            ("GT_GFX_RC6PP", 0x138110),
            ("GT_PM_CONFIG", 0x13816C),
            ("RC6_LOCATION", reg.RC6_LOCATION, 1 << 0),
            ("RC6_CTX_BASE", reg.RC6_CTX_BASE),
            ("RC6_CTX_INFO", reg.RC6_CTX_INFO, 1 << 0),  # 0 means that RC6 lost its context
            # Slice and subslice acknowledges of slice 0: three subslices up, slices 1, 2 absent.
            ("SLICE_PGCTL_ACK[0]", 0x804C, 0x55),
            ("SLICE_PGCTL_ACK[1]", 0x8050),
            ("SLICE_PGCTL_ACK[2]", 0x8054),
            ("SS01_EU_PGCTL_ACK[0]", 0x805C, 0x5555),
            ("SS23_EU_PGCTL_ACK[0]", 0x8060, 0x0055),
            ("SS01_EU_PGCTL_ACK[1]", 0x8064),
            ("SS23_EU_PGCTL_ACK[1]", 0x8068),
            ("SS01_EU_PGCTL_ACK[2]", 0x806C),
            ("SS23_EU_PGCTL_ACK[2]", 0x8070),
        ),
    ]


def _pcode() -> Rows:
    source = "PRM SKL vol 2c GT_DRIVER_MAILBOX; i915 intel_pcode.c"
    return [
        Register("PCODE_MAILBOX", reg.PCODE_MAILBOX, RW, source=source),
        *_rows(source, RW, ("PCODE_DATA", reg.PCODE_DATA), ("PCODE_DATA1", reg.PCODE_DATA1)),
    ]


def _reset_and_faults() -> Rows:
    source = "PRM SKL vol 2c GDRST, fault and INSTDONE registers; i915 i915_gpu_error.c"
    return [
        Register("GDRST", reg.GDRST, RW, source=source),
        *_rows(
            source,
            RW,
            ("RING_FAULT", reg.GEN8_RING_FAULT_REG),
            ("FAULT_TLB_DATA0", reg.GEN8_FAULT_TLB_DATA0),
            ("FAULT_TLB_DATA1", reg.GEN8_FAULT_TLB_DATA1),
        ),
        *_rows(source, W1C, ("ERROR", 0x40A0)),
        *_rows(
            source,
            RO,
            ("DONE_REG", 0x40B0, _DONE),
            ("SC_INSTDONE", 0x7100, _DONE),
            ("SAMPLER_INSTDONE", 0xE160, _DONE),
            ("ROW_INSTDONE", 0xE164, _DONE),
        ),
    ]


def _firmware() -> Rows:
    source = "PRM SKL vol 2c GuC registers; i915 gt/uc: no microcontroller"
    return [
        *_rows(
            source,
            RO,
            ("GUC_STATUS", 0xC000, 0x1),  # MIA_IN_RESET: the controller never leaves reset
            ("GUC_HEADER_INFO", 0xC014),
            # A lock or valid bit here means that firmware was loaded: they stay 0.
            ("GUC_WOPCM_SIZE", reg.GUC_WOPCM_SIZE),
            ("DMA_GUC_WOPCM_OFFSET", reg.DMA_GUC_WOPCM_OFFSET),
            ("DMA_CTRL", 0xC314),
            ("GUC_PM_TIMESTAMP", 0xC3E8),
            ("HUC_STATUS2", 0xD3B0),
        ),
        *_rows(
            source,
            RW,
            ("GUC_SHIM_CONTROL", 0xC064),
            ("GUC_MAX_IDLE_COUNT", 0xC3E4),
            ("GUC_SEND_INTERRUPT", 0xC4C8),
        ),
        *register_array("SOFT_SCRATCH", 0xC180, 16, access=RW, source=source),
    ]


def _performance() -> Rows:
    source = "PRM SKL vol 2c OA registers; i915 i915_perf.c"
    return [
        *_rows(
            source,
            RW,
            ("RPM_CONFIG0", 0x0D00),
            ("RPM_CONFIG1", 0x0D04),
            ("OACONTROL", 0x2B00),
            ("OASTATUS", 0x2B08),
            ("OAHEADPTR", 0x2B0C),
            ("OATAILPTR", 0x2B10),
            ("OABUFFER", 0x2B14),
            ("OABUFFER_UDW", 0x23B4),
            ("OA_PERFCNT1_LO", 0x91B8),
            ("OA_PERFCNT1_HI", 0x91BC),
            ("OA_PERFCNT2_LO", 0x91C0),
            ("OA_PERFCNT2_HI", 0x91C4),
            ("OA_PERFMATRIX_LO", 0x91C8),
            ("OA_PERFMATRIX_HI", 0x91CC),
            ("MICRO_BP0_0", 0x9800),
            ("GDT_CHICKEN_BITS", 0x9840),
            ("NOA_DATA", 0x986C),
            ("NOA_WRITE", 0x9888),
        ),
        *_rows(source, MASKED, ("WAIT_FOR_RC6_EXIT", 0x20CC), ("OA_DEBUG", 0x2B04)),
        *register_array("OASTARTTRIG", 0x2710, 8, access=RW, source=source),
        *register_array("OAREPORTTRIG", 0x2740, 8, access=RW, source=source),
        *register_array("OACEC", 0x2770, 16, access=RW, source=source),
    ]


def _memory_controller() -> Rows:
    return _rows(
        "i915 gt/intel_llc.c, gt/intel_rps.c, i915_debugfs.c (MCHBAR mirror)",
        RO,
        ("MAD_DIMM_C0", 0x145004),
        ("MAD_DIMM_C1", 0x145008),
        ("GT_PERF_STATUS", 0x145948),
        ("RP_STATE_LIMITS", 0x145994, 0xFF),
        ("DCLK", 0x145E04, 8),  # memory clock in units of 266 MHz
        ("FREQ_INFO_REC", 0x145EF0),
        ("GGC", 0x108040),
        ("DSMBASE", 0x1080C0),
        ("GSMBASE", 0x108100),
        ("STOLEN_RESERVED", 0x1082C0),
    )


def _display() -> Rows:
    """What a driver touches before it knows that display is fused off, or regardless of it."""
    source = "PRM SKL vol 2c display registers; i915 intel_clock_gating.c, display/"
    return [
        *_rows(
            source,
            RW,
            ("VGACNTRL", 0x41000, 1 << 31),
            ("DISPLAY_CHICKEN2", 0x42004),
            ("CHICKEN_PAR1_1", 0x42080),
            ("CHICKEN_PAR2_1", 0x42090),
            ("DPFC_CHICKEN", 0x43224),
            ("DERRMR", 0x44050, _ALL_ONES),
            ("DISP_ARB_CTL", 0x45000),
            ("DISP_ARB_CTL2", 0x45004),
            ("DBUF_CTL", 0x45008),
            ("DC_STATE_EN", 0x45504),
            ("NDE_RSTWRN_OPT", 0x46408),
            ("CHICKEN_DCPR_1", 0x46430),
            ("CLKGATE_DIS_0", 0x46530),
            ("PSR_IMR", 0x64834, _ALL_ONES),
            ("SOUTH_CHICKEN1", 0xC2000),
            ("SOUTH_CHICKEN2", 0xC2004),
            ("SOUTH_DSPCLK_GATE_D", 0xC2020),
            ("RAWCLK_FREQ", 0xC6204, 24),
        ),
        *_rows(source, W1C, ("PSR_IIR", 0x64838), ("SERR_INT", 0xC4040)),
        *_rows(source, RO, ("SFUSE_STRAP", 0xC2014)),
        Register(
            "FUSE_STATUS",
            reg.FUSE_STATUS,
            RO,
            reset=reg.FUSE_STATUS_DOWNLOADED | reg.FUSE_STATUS_POWER_GATES,
            source=source,
        ),
        *(
            Register(f"PWR_WELL_CTL{n}", offset, RW, source=source)
            for n, offset in enumerate(reg.PWR_WELL_CTL, start=1)
        ),
    ]
