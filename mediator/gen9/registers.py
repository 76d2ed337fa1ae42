"""Register offsets and fields of the Gen9 GPU that more than one file names.

``RING_*``, ``CTX_*`` and ``MI_PREDICATE_*`` offsets are relative to an engine's ``mmio_base``; all
others are BAR0 offsets. Registers with no behaviour stand in `register_facts.py` alone. Source: PRM
SKL vol 2c "Command Reference: Registers"; names as in Linux i915 gt/intel_engine_regs.h and
gt/intel_gt_regs.h.
"""

from __future__ import annotations

from mediator.gen9.field import Field

REGISTER_BLOCK_SIZE = 2 << 20
"""Bytes of BAR0 that are registers."""

# -- engine registers, relative to the engine's base (rows: engine_register_facts.py) ----------

RING_EXCC = 0x028
RING_TAIL = 0x030
RING_HEAD = 0x034
RING_START = 0x038
RING_CTL = 0x03C
RING_SYNC_0 = 0x040
RING_SYNC_1 = 0x044
RING_SYNC_2 = 0x048
RING_PSMI_CTL = 0x050
RING_MAX_IDLE = 0x054
RING_ACTHD_UDW = 0x05C
RING_DMA_FADD_UDW = 0x060
RING_IPEIR = 0x064
RING_IPEHR = 0x068
RING_INSTDONE = 0x06C
RING_INSTPS = 0x070
RING_ACTHD = 0x074
RING_DMA_FADD = 0x078
RING_HWS_PGA = 0x080
RING_NOPID = 0x094
RING_HWSTAM = 0x098
RING_MI_MODE = 0x09C
RING_IMR = 0x0A8
RING_EIR = 0x0B0
RING_EMR = 0x0B4
RING_ESR = 0x0B8
RING_INSTPM = 0x0C0
RING_CMD_CCTL = 0x0C4
RING_R_PWR_CLK_STATE = 0x0C8
RING_RESET_CTL = 0x0D0
RING_BB_STATE = 0x110
RING_SBB_ADDR = 0x114
RING_SBB_STATE = 0x118
RING_SBB_ADDR_UDW = 0x11C
RING_BB_ADDR = 0x140
RING_BB_START_ADDR = 0x150
RING_BB_ADDR_DIFF = 0x154
RING_BB_OFFSET = 0x158
RING_BB_ADDR_UDW = 0x168
RING_BB_START_ADDR_UDW = 0x170
RING_PR_CTR_CTL = 0x178
RING_PR_CTR_THRSH = 0x17C
RING_CCID = 0x180
RING_BB_PER_CTX_PTR = 0x1C0
RING_INDIRECT_CTX = 0x1C4
RING_INDIRECT_CTX_OFFSET = 0x1C8
RING_ECOSKPD = 0x1D0
RING_SWCTRL = 0x200
"""On BCS the tiling of blits (BCS_SWCTRL), MASKED; saved with the context of every non-render
engine."""
RING_PP_DIR_DCLV = 0x220
RING_PP_DIR_BASE = 0x228
RING_ELSP = 0x230
RING_EXECLIST_STATUS_LO = 0x234
RING_EXECLIST_STATUS_HI = 0x238
RING_CONTEXT_CONTROL = 0x244
RING_SEMA_WAIT_POLL = 0x24C
"""Plain; i915 writes 1 on BCS, VCS and VECS of Kaby Lake and verifies it."""
RING_PDP0_LDW = 0x270
"""PDPn: low dword at +8n, high dword 4 above."""
RING_PDP0_UDW = 0x274
RING_MODE = 0x29C
RING_TIMESTAMP = 0x358
RING_TIMESTAMP_UDW = 0x35C
RING_CONTEXT_STATUS_BUFFER = 0x370
"""Six qwords: status, context id."""
RING_CONTEXT_STATUS_PTR = 0x3A0
RING_CTX_TIMESTAMP = 0x3A8
RING_MI_PREDICATE_RESULT_2 = 0x3BC
MI_PREDICATE_SRC0 = 0x400
MI_PREDICATE_SRC0_UDW = 0x404
MI_PREDICATE_SRC1 = 0x408
MI_PREDICATE_SRC1_UDW = 0x40C
MI_PREDICATE_DATA = 0x410
MI_PREDICATE_DATA_UDW = 0x414
MI_PREDICATE_RESULT = 0x418
MI_PREDICATE_RESULT_1 = 0x41C
RING_FORCE_TO_NONPRIV = 0x4D0
RING_FORCE_TO_NONPRIV_COUNT = 12
RING_CS_GPR = 0x600
"""Sixteen 64-bit general purpose registers, low dword first."""
RING_CS_GPR_COUNT = 16

FORCE_TO_NONPRIV_ADDRESS_MASK = 0x03FF_FFFC
"""Bits 25:2 of a slot: the register's BAR0 offset."""

MI_MODE_STOP_RING = 1 << 8
MI_MODE_IDLE = 1 << 9
RESET_CTL_REQUEST = 1 << 0
RESET_CTL_READY = 1 << 1
RESET_CTL_CAT_ERROR = 1 << 2
EIR_INSTRUCTION_ERROR = 1 << 0
GFX_RUN_LIST_ENABLE = 1 << 15
GFX_PRIVILEGE_CHECK_DISABLE = 1 << 0
"""RING_MODE of Skylake and Kaby Lake: user batches may do all that a ring may."""
RING_CTL_VALID = 1 << 0
RING_CTL_WAIT_SEMAPHORE = 1 << 10
"""The ring stands at a semaphore wait: i915's performance counters sample it."""
RING_CTL_PAGES = Field(20, 12)
"""Ring size in 4 KiB pages, minus 1."""
RING_HEAD_OFFSET = Field(20, 2)
RING_HEAD_WRAPS = Field(31, 21)
CONTEXT_STATUS_WRITE = Field(2, 0)
CONTEXT_STATUS_READ = Field(10, 8)
BB_STATE_PPGTT = 1 << 5

# -- engine reset ---------------------------------------------------------------------------------

GDRST = 0x941C
GDRST_FULL = 1 << 0
GDRST_RENDER = 1 << 1
GDRST_MEDIA = 1 << 2
GDRST_BLIT = 1 << 3
GDRST_VIDEO_ENHANCE = 1 << 4
GDRST_GUC = 1 << 5

# -- translation ----------------------------------------------------------------------------------

GEN8_RTCR = 0x4260
GEN8_M1TCR = 0x4264
GEN8_M2TCR = 0x4268
GEN8_BTCR = 0x426C
GEN8_VTCR = 0x4270
GEN8_GTCR = 0x4274
TLB_CONTROLS = (GEN8_RTCR, GEN8_M1TCR, GEN8_M2TCR, GEN8_BTCR, GEN8_VTCR, GEN8_GTCR)
"""A 1 written drops cached translations; it reads 0 again when that is done."""
GFX_FLSH_CNTL = 0x101008
FENCE_BASE = 0x100000
FENCE_COUNT = 32
FENCE_BYTES = 8
FENCE_VALID = 1 << 0
FENCE_TILED_Y = 1 << 1
FENCE_START = Field(31, 12)
"""First page, in the low dword."""
FENCE_END = Field(31, 12)
"""Last page, in the high dword."""
FENCE_PITCH = Field(11, 0)
"""Pitch minus 1 in units of `FENCE_PITCH_UNIT`, in the high dword."""
FENCE_PITCH_UNIT = 128
GEN8_PRIVATE_PAT_LO = 0x40E0
GEN8_PRIVATE_PAT_HI = 0x40E4
GAMW_ECO_DEV_RW_IA = 0x4080

# -- faults ---------------------------------------------------------------------------------------

GEN8_RING_FAULT_REG = 0x4094
RING_FAULT_VALID = 1 << 0
RING_FAULT_ENGINE = Field(14, 12)
GEN8_FAULT_TLB_DATA0 = 0x4B10
"""Bits 43:12 of the faulting address."""
GEN8_FAULT_TLB_DATA1 = 0x4B14
"""Bits 47:44 of the faulting address in 3:0; bit 4 set for a GGTT access."""
FAULT_GTT_SELECT = 1 << 4

# -- power ----------------------------------------------------------------------------------------

FORCEWAKE_RENDER = 0xA278
FORCEWAKE_MEDIA = 0xA270
FORCEWAKE_GT = 0xA188
FORCEWAKE_ACK_RENDER = 0x0D84
FORCEWAKE_ACK_MEDIA = 0x0D88
FORCEWAKE_ACK_GT = 0x130044
FORCEWAKE_KERNEL = 1 << 0

GEN6_RPNSWREQ = 0xA008
RPNSWREQ_RATIO = Field(31, 23)
"""Requested frequency in units of 50/3 MHz (Gen9)."""
GEN6_RP_CONTROL = 0xA024
RP_CONTROL_ENABLE = 1 << 7
GEN6_RPSTAT1 = 0xA01C
RPSTAT1_RATIO = Field(31, 23)
"""Actual frequency in units of 50/3 MHz (Gen9); 0 while the GT sleeps in RC6."""
GEN6_RC_CONTROL = 0xA090
RC_CONTROL_HW_ENABLE = 1 << 31
RC_CONTROL_RC6_ENABLE = 1 << 18
GEN6_RC_STATE = 0xA094
GEN6_GT_CORE_STATUS = 0x138060
GT_CORE_STATUS_RCN = Field(2, 0)
PWRGT_STATUS = 0xA2A0
"""Which power domains are up."""
GEN6_GT_GFX_RC6_LOCKED = 0x138104
GEN6_GT_GFX_RC6 = 0x138108
"""Time in RC6 in units of 1.28 us."""
PCODE_MAILBOX = 0x138124
PCODE_READY = 1 << 31
PCODE_ERROR = Field(7, 0)
PCODE_DATA = 0x138128
PCODE_DATA1 = 0x13812C

RP_STATE_CAP = 0x145998
RP_STATE_CAP_RP0 = Field(7, 0)
"""Highest frequency in units of 50 MHz; RP1 is the guaranteed one, RPn the lowest."""
RP_STATE_CAP_RP1 = Field(15, 8)
RP_STATE_CAP_RPN = Field(23, 16)

# -- identity (values: identity.py) ---------------------------------------------------------------

GEN8_FUSE2 = 0x9120
GEN9_EU_DISABLE = 0x9134
"""Three dwords, one for each slice; 8 bits for each subslice, 1 = EU absent."""
SKL_DFSM = 0x51000
CTC_MODE = 0xA26C
EDRAM_CAP = 0x120010
RC6_CTX_BASE = 0x0D48
RC6_LOCATION = 0x0D40
RC6_CTX_INFO = 0x8504

# -- the uC write-once memory window: 0 means that no firmware has claimed it ---------------------

GUC_WOPCM_SIZE = 0xC050
DMA_GUC_WOPCM_OFFSET = 0xC340

# -- display power --------------------------------------------------------------------------------

PWR_WELL_CTL = (0x45400, 0x45404, 0x45408, 0x4540C)
"""BIOS, driver, KVMR, debug."""
PWR_WELL_REQUESTS = 0xAAAA_AAAA
"""Bit 2n + 1 requests well n, bit 2n shows its state."""
FUSE_STATUS = 0x42000
FUSE_STATUS_DOWNLOADED = 1 << 31
FUSE_STATUS_POWER_GATES = 0b111 << 25
"""Fuses distributed to power gates 0, 1 and 2."""
