"""A small driver for a Gen9 GPU, in place of a guest: GGTT, page tables, contexts, requests.

Does what i915 does, in its simplest form, through any pair of BAR0 accessors and a stretch of guest
RAM: tests and benchmarks use it on a `SoftGpu` in the same process, or over a vfio-user socket on
a served GPU or vGPU. Start at `driver.py`.
"""

from tests.gpu_driver.commands import (
    MI_ARB_CHECK,
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    MI_BATCH_BUFFER_START_PPGTT,
    MI_FLUSH_DW_POST_SYNC,
    MI_NOOP,
    MI_SEMAPHORE_WAIT_GGTT_POLL_EQ,
    MI_STORE_DATA_IMM,
    MI_STORE_DATA_IMM_GGTT,
    MI_USER_INTERRUPT,
)
from tests.gpu_driver.context import RING_PAGES, Context, Request
from tests.gpu_driver.driver import ENGINE_BASES, GSM, SEQNO_OFFSET, GpuDriver
from tests.gpu_driver.memory import PAGE, PRESENT_RW, GgttParts, PageTables, Ram

__all__ = [
    "ENGINE_BASES",
    "GSM",
    "MI_ARB_CHECK",
    "MI_ARB_OFF",
    "MI_ARB_ON",
    "MI_BATCH_BUFFER_END",
    "MI_BATCH_BUFFER_START_PPGTT",
    "MI_FLUSH_DW_POST_SYNC",
    "MI_NOOP",
    "MI_SEMAPHORE_WAIT_GGTT_POLL_EQ",
    "MI_STORE_DATA_IMM",
    "MI_STORE_DATA_IMM_GGTT",
    "MI_USER_INTERRUPT",
    "PAGE",
    "PRESENT_RW",
    "RING_PAGES",
    "SEQNO_OFFSET",
    "Context",
    "GgttParts",
    "GpuDriver",
    "PageTables",
    "Ram",
    "Request",
]
