"""Which function carries out which command. A command of the table in `gen9/commands.py` that is
not here is passed over by its length and counted by its name.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mediator.gen9.pipeline_commands import RENDER_NAMES
from mediator.gen9.pipeline_state import STATE_COMMANDS
from mediator.softgpu import (
    alu,
    blit_command,
    flush_dw,
    mi_flow,
    mi_memory,
    mi_registers,
    pipe_control,
    pipeline_state,
    predicate,
)
from mediator.softgpu.eu.dispatch import commands as eu
from mediator.softgpu.render import primitive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediator.softgpu.outcome import Handler, Run

RUNS: Final[Mapping[str, Run]] = MappingProxyType({"MI_STORE_DATA_IMM": mi_memory.store_run})
"""Commands of which many in a row are worth doing at once."""

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "MI_NOOP": mi_registers.noop,
        "MI_SET_PREDICATE": predicate.set_predicate,
        "MI_USER_INTERRUPT": mi_flow.user_interrupt,
        "MI_WAIT_FOR_EVENT": mi_flow.wait_for_event,
        "MI_FLUSH": mi_flow.no_effect,
        "MI_ARB_CHECK": mi_flow.arb_check,
        "MI_RS_CONTROL": mi_flow.no_effect,
        "MI_REPORT_HEAD": mi_memory.report_head,
        "MI_ARB_ON_OFF": mi_flow.arb_on_off,
        "MI_BATCH_BUFFER_END": mi_flow.batch_buffer_end,
        "MI_SUSPEND_FLUSH": mi_flow.no_effect,
        "MI_PREDICATE": predicate.predicate,
        "MI_SET_APPID": mi_flow.no_effect,
        "MI_MATH": alu.math,
        "MI_SEMAPHORE_SIGNAL": mi_flow.no_effect,
        "MI_SEMAPHORE_WAIT": mi_flow.semaphore_wait,
        "MI_FORCE_WAKEUP": mi_flow.no_effect,
        "MI_STORE_DATA_IMM": mi_memory.store_data_imm,
        "MI_STORE_DATA_INDEX": mi_memory.store_data_index,
        "MI_LOAD_REGISTER_IMM": mi_registers.load_register_imm,
        "MI_UPDATE_GTT": mi_memory.update_gtt,
        "MI_STORE_REGISTER_MEM": mi_registers.store_register_mem,
        "MI_FLUSH_DW": flush_dw.flush_dw,
        "MI_CLFLUSH": mi_flow.no_effect,
        "MI_REPORT_PERF_COUNT": mi_memory.report_perf_count,
        "MI_LOAD_REGISTER_MEM": mi_registers.load_register_mem,
        "MI_LOAD_REGISTER_REG": mi_registers.load_register_reg,
        "MI_RS_STORE_DATA_IMM": mi_memory.rs_store_data_imm,
        "MI_COPY_MEM_MEM": mi_memory.copy_mem_mem,
        "MI_ATOMIC": mi_memory.atomic,
        "MI_BATCH_BUFFER_START": mi_flow.batch_buffer_start,
        "MI_CONDITIONAL_BATCH_BUFFER_END": mi_flow.conditional_batch_buffer_end,
        "XY_SETUP_BLT": blit_command.setup,
        "XY_SETUP_CLIP_BLT": blit_command.setup,
        "XY_COLOR_BLT": blit_command.blit,
        "XY_SRC_COPY_BLT": blit_command.blit,
        "XY_FAST_COPY_BLT": blit_command.blit,
        "PIPE_CONTROL": pipe_control.pipe_control,
        "MEDIA_CURBE_LOAD": eu.curbe_load,
        "MEDIA_INTERFACE_DESCRIPTOR_LOAD": eu.descriptor_load,
        "MEDIA_STATE_FLUSH": mi_flow.no_effect,
        "MEDIA_OBJECT": eu.media_object,
        "GPGPU_WALKER": eu.gpgpu_walker,
        primitive.NAME: primitive.primitive,
        **{RENDER_NAMES[key]: pipeline_state.latch for key in STATE_COMMANDS},
    }
)
